import os
from pathlib import Path

import numpy as np
import pytest
from image_pairs import save_images
from PIL import Image

from dms_jax.errors import UserError
from dms_jax.evaluation.maps.files import match_maps, match_names, read_map, read_truth, shortened

BLACK = np.zeros((2, 3), np.uint8)
GREYS = np.array([[0, 1, 100], [127, 128, 255]], np.uint8)


def folders(root, maps, masks):
    """Folders of black images of these names."""
    for folder, names in (("maps", maps), ("masks", masks)):
        (root / folder).mkdir()
        save_images(root / folder, dict.fromkeys(names, BLACK))
    return root / "maps", root / "masks"


def sentences(error):
    return str(error.value).splitlines()


def test_pairs_are_in_the_order_of_names_and_nested(tmp_path):
    maps, masks = folders(tmp_path, ["b", "Ü/ß é", "a.1"], ["Ü/ß é", "a.1", "b"])
    matching = match_maps(maps, masks)
    assert [pair.name for pair in matching.pairs] == ["a.1", "b", "Ü/ß é"]
    for pair in matching.pairs:
        assert pair.map_path == f"{maps}/{pair.name}.png"
        assert pair.mask_path == f"{masks}/{pair.name}.png"
    assert matching.notes == ()


def test_every_map_and_mask_without_partner_is_named(tmp_path):
    maps, masks = folders(tmp_path, ["a", "extra", "sub/b"], ["a", "missing", "b"])
    with pytest.raises(UserError) as error:
        match_maps(maps, masks)
    assert sentences(error) == [
        f"{masks}/b.png has no map in {maps}: add b.png there, or remove the mask.",
        f"{masks}/missing.png has no map in {maps}: add missing.png there, or remove the mask.",
        f"{maps}/extra.png has no mask in {masks}: add extra.png there, or remove the map.",
        f"{maps}/sub/b.png has no mask in {masks}: add sub/b.png there, or remove the map.",
    ]
    assert error.value.exit_code == 1


def test_maps_of_defect_free_images_need_no_mask(tmp_path):
    maps, masks = folders(tmp_path, ["test/crack/a", "test/good/b", "test/good/a"], ["test/crack/a", "test/good/b"])
    matching = match_maps(maps, masks)
    assert [(pair.name, pair.mask_path and Path(pair.mask_path).name) for pair in matching.pairs] == [
        ("test/crack/a", "a.png"),
        ("test/good/a", None),
        ("test/good/b", "b.png"),
    ]
    assert matching.notes == (f"1 map has no mask in {masks}, and counts as of a defect-free image: test/good/a.",)
    with pytest.raises(UserError, match=r"test/good/a\.png has no mask"):
        match_maps(maps, masks, lambda names: [])


@pytest.mark.parametrize(
    ("maps", "masks", "wanted", "shown"),
    [
        # Without the folders, in one more, with the method's name, with names of their own.
        (["b", "a", "x"], ["test/crack/a", "test/crack/b"], "test/crack/a", "a"),
        (["sal/test/a", "sal/test/b"], ["test/a", "test/b"], "test/a", "sal/test/a"),
        (["b_sal", "a_sal"], ["a", "b"], "a", "a_sal"),
        (["0002", "0001"], ["a", "b"], "a", "0001"),
    ],
)
def test_maps_in_another_layout_are_told_so_once(tmp_path, maps, masks, wanted, shown):
    maps, masks = folders(tmp_path, maps, masks)
    with pytest.raises(UserError) as error:
        match_maps(maps, masks)
    assert sentences(error) == [
        f"{maps} has another layout: of {masks}/{wanted}.png a map {wanted}.png is expected there, not "
        f"{maps}/{shown}.png: give the maps the folders and names of their masks."
    ]


def test_names_that_differ_by_a_space_are_matched_and_reported(tmp_path):
    maps, masks = folders(tmp_path, ["Blowhole(1)", "b"], ["Blowhole (1)", "b"])
    matching = match_maps(maps, masks)
    assert [(pair.name, pair.map_path) for pair in matching.pairs] == [
        ("Blowhole (1)", f"{maps}/Blowhole(1).png"),
        ("b", f"{maps}/b.png"),
    ]
    assert matching.notes == (
        f"{maps}/Blowhole(1).png is taken for the map of {masks}/Blowhole (1).png, although the names differ.",
    )


def test_accents_match_in_either_unicode_form(tmp_path):
    maps, masks = folders(tmp_path, ["fe\u0301lure"], ["f\u00e9lure"])
    matching = match_maps(maps, masks)
    assert len(matching.pairs) == len(matching.notes) == 1


def test_case_of_the_extension_is_matched_and_reported(tmp_path):
    maps, masks = folders(tmp_path, ["a.PNG", "b.png", "c.bmp"], ["a.png", "b.png", "c.png"])
    matching = match_maps(maps, masks)
    assert [pair.name for pair in matching.pairs] == ["a", "b", "c"]
    assert matching.notes == (f"{maps}/a.PNG is taken for the map of {masks}/a.png, although the names differ.",)


def test_two_files_of_one_name_are_refused(tmp_path):
    maps, masks = folders(tmp_path, ["a.png", "a.bmp"], ["a"])
    with pytest.raises(UserError) as error:
        match_maps(maps, masks)
    assert sentences(error) == [f"{maps}/a.bmp and {maps}/a.png have one name: remove one of them."]


def test_hidden_files_are_passed_over(tmp_path):
    maps, masks = folders(tmp_path, ["a", ".ipynb_checkpoints/a"], ["a", "b/._a", "._c"])
    for folder in (maps, masks):
        (folder / ".DS_Store").write_bytes(b"")
        (folder / "._x.png").write_bytes(b"no image")
    matching = match_maps(maps, masks)
    assert ([pair.name for pair in matching.pairs], matching.notes) == (["a"], ())


def test_files_that_are_no_images_are_reported(tmp_path):
    maps, masks = folders(tmp_path, ["a"], ["a"])
    (maps / "notes.txt").write_text("")
    (masks / "Thumbs.db").write_text("")
    assert match_maps(maps, masks).notes == (
        f"{maps}/notes.txt is no image, and left out.",
        f"{masks}/Thumbs.db is no image, and left out.",
    )


def test_links_to_images_are_read_and_others_are_reported(tmp_path):
    maps, masks = folders(tmp_path, ["a"], ["a", "b"])
    (maps / "b.png").symlink_to(masks / "b.png")
    (maps / "elsewhere").symlink_to(masks)
    (maps / "gone.png").symlink_to(tmp_path / "nowhere.png")
    matching = match_maps(maps, masks)
    assert [pair.name for pair in matching.pairs] == ["a", "b"]
    assert matching.notes == (
        f"{maps}/elsewhere is a link to a folder or to nothing, and left out.",
        f"{maps}/gone.png is a link to a folder or to nothing, and left out.",
    )


def test_missing_and_empty_folders_are_refused(tmp_path):
    maps, masks = folders(tmp_path, [], ["a"])
    with pytest.raises(UserError, match=r"maps holds no images: name a folder that does\.$"):
        match_maps(maps, masks)
    with pytest.raises(UserError, match=r"nowhere is not a folder: name one that holds images\.$"):
        match_maps(tmp_path / "nowhere", masks)
    with pytest.raises(UserError, match=r"a\.png is not a folder"):
        match_maps(masks / "a.png", masks)


def test_folders_that_may_not_be_read_are_refused(tmp_path, monkeypatch):
    maps, masks = folders(tmp_path, ["a", "sub/b"], ["a", "sub/b"])
    scandir = os.scandir

    def without_permission(path):
        if Path(path).name == "sub":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", without_permission)
    with pytest.raises(UserError) as error:
        match_maps(maps, masks)
    assert sentences(error) == [f"{maps}/sub cannot be read (Permission denied): change its permissions."]


def test_one_folder_in_the_other_is_refused(tmp_path):
    masks = save_images(tmp_path / "masks", {"a": BLACK, "maps/a": BLACK})
    (tmp_path / "link").symlink_to(masks)
    with pytest.raises(UserError, match=r"is the folder of maps and of masks: name two folders\.$"):
        match_maps(tmp_path / "link", masks)
    for maps, masks_ in ((masks / "maps", masks), (masks, masks / "maps")):
        with pytest.raises(UserError, match=r"/maps lies in .*/masks, all of which is read: move one out of the other"):
            match_maps(maps, masks_)


def test_long_lists_are_cut_and_counted(tmp_path):
    maps, masks = folders(tmp_path, ["a"], ["a", *(f"b{i:02}" for i in range(25))])
    with pytest.raises(UserError) as error:
        match_maps(maps, masks)
    assert len(sentences(error)) == 11
    assert sentences(error)[-1] == "There are 15 more like the last."
    assert shortened(["a"] * 10) == ["a"] * 10


@pytest.mark.parametrize(
    ("wanted", "offered", "matched"),
    [
        (["a b"], ["ab"], {"a b": "ab"}),
        (["a b"], ["ab", "a b"], {"a b": "a b"}),
        (["a b"], ["ab", "a  b"], {}),
        (["a b", "a  b"], ["ab"], {}),
        (["a b", "ab"], ["ab"], {"ab": "ab"}),
        (["a"], ["b"], {}),
    ],
)
def test_names_are_matched_where_unambiguous(wanted, offered, matched):
    assert match_names(wanted, offered) == matched


def palette_image(colours):
    image = Image.new("P", (2, 1))
    image.putpalette([value for colour in colours for value in colour])
    image.putpixel((1, 0), 1)
    return image


def test_grey_map_is_read_as_stored(tmp_path):
    save_images(tmp_path, {"a": GREYS})
    saliency_map, note = read_map(tmp_path / "a.png")
    np.testing.assert_array_equal(saliency_map, GREYS)
    assert saliency_map.dtype == np.uint8
    assert note is None


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (Image.fromarray(np.stack([GREYS] * 3, -1)), GREYS),
        (Image.fromarray(GREYS > 127), np.where(GREYS > 127, 255, 0)),
        (palette_image([(7, 7, 7), (250, 250, 250)]), [[7, 250]]),
    ],
    ids=["equal channels", "1 bit", "palette of greys"],
)
def test_maps_that_can_be_read_in_one_way_only_are_read_and_reported(tmp_path, image, expected):
    save_images(tmp_path, {"a": image})
    saliency_map, note = read_map(tmp_path / "a.png")
    np.testing.assert_array_equal(saliency_map, expected)
    assert saliency_map.dtype == np.uint8
    assert note == f"{tmp_path}/a.png is read as 8-bit grey, although it was saved otherwise."


COLOUR = np.stack([GREYS, GREYS, BLACK], -1)


@pytest.mark.parametrize(
    ("name", "image", "why"),
    [
        ("a.png", Image.fromarray(GREYS.astype(np.uint16) * 257), "has pixels of more than 8 bits"),
        ("a.tiff", Image.fromarray(GREYS.astype(np.float32) / 255), "has pixels of more than 8 bits"),
        ("a.tiff", Image.fromarray(GREYS.astype(np.int32)), "has pixels of more than 8 bits"),
        ("a.png", Image.fromarray(COLOUR), "is in colour"),
        ("a.png", palette_image([(0, 0, 0), (255, 0, 0)]), "is in colour"),
        ("a.png", Image.fromarray(np.stack([GREYS] * 4, -1)), "has pixels of kind 'RGBA'"),
        ("a.png", Image.fromarray(GREYS).convert("LA"), "has pixels of kind 'LA'"),
        ("a.jpg", Image.fromarray(COLOUR).convert("CMYK"), "has pixels of kind 'CMYK'"),
    ],
)
def test_maps_that_could_be_read_in_several_ways_are_refused(tmp_path, name, image, why):
    save_images(tmp_path, {name: image})
    with pytest.raises(UserError) as error:
        read_map(tmp_path / name)
    fix = "with 8 bits" if "more than 8 bits" in why else "as 8-bit grey"
    assert sentences(error) == [f"{tmp_path}/{name} {why}: save the map {fix}, 255 for certain."]


def test_transparent_palette_is_refused(tmp_path):
    palette_image([(0, 0, 0), (255, 255, 255)]).save(tmp_path / "a.png", transparency=b"\x00\xff")
    with pytest.raises(UserError, match=r"a\.png has pixels of kind 'P with transparency': save the map as 8-bit grey"):
        read_map(tmp_path / "a.png")


@pytest.mark.parametrize("read", [read_map, read_truth])
def test_damaged_files_are_refused(tmp_path, read):
    rng = np.random.default_rng(0)
    save_images(tmp_path, {"a": rng.integers(0, 256, (40, 40))})
    whole = (tmp_path / "a.png").read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"no image", b"P5 0 0 255\n"):
        (tmp_path / "a.png").write_bytes(content)
        with pytest.raises(UserError, match=r"a\.png cannot be read as an image \(.*\): replace it\.$"):
            read(tmp_path / "a.png")


def test_masks_are_read_as_stored(tmp_path):
    save_images(tmp_path, {"grey": GREYS, "bits": Image.fromarray(GREYS > 127)})
    mask, note = read_truth(tmp_path / "grey.png")
    np.testing.assert_array_equal(mask, GREYS)
    assert note is None
    mask, note = read_truth(tmp_path / "bits.png")
    np.testing.assert_array_equal(mask, np.where(GREYS > 127, 255, 0))
    assert note == f"{tmp_path}/bits.png is read as an 8-bit grey mask, although it was saved with pixels of kind '1'."


def test_jpeg_mask_without_a_pixel_that_counts_is_reported(tmp_path):
    """Its greys may be the noise of the compression, or 0 and 1 instead of 0 and 255."""
    save_images(tmp_path, {"dark.jpg": np.full((8, 8), 1), "black.jpg": np.zeros((8, 8))})
    mask, note = read_truth(tmp_path / "dark.jpg")
    assert mask.tolist() == [[1] * 8] * 8
    assert note == f"{tmp_path}/dark.jpg has no pixel above 1, and counts as an image without a defect."
    assert read_truth(tmp_path / "black.jpg")[1] is None


def test_images_in_the_place_of_masks_are_reported(tmp_path):
    """As where the folder of images is named for that of masks: the names are the same."""
    photograph = np.add.outer(np.arange(20) * 7, np.arange(30) * 3) % 250
    save_images(tmp_path, {"a": photograph})
    mask, note = read_truth(tmp_path / "a.png")
    np.testing.assert_array_equal(mask, photograph)
    share = np.mean((photograph >= 9) & (photograph < 247))
    assert note == (
        f"{tmp_path}/a.png looks like a photograph, not a mask: {share:.0%} of its pixels are neither black nor white."
    )


def test_several_masks_in_one_file_are_refused(tmp_path):
    masks = [Image.fromarray(np.where(limit < GREYS, 255, 0).astype(np.uint8)) for limit in (127, 200)]
    masks[0].save(tmp_path / "a.tif", save_all=True, append_images=masks[1:])
    with pytest.raises(UserError, match=r"a\.tif holds 2 images: save the one that is the mask alone"):
        read_truth(tmp_path / "a.tif")


def test_mask_of_zeros_and_ones_is_refused(tmp_path):
    save_images(tmp_path, {"a": GREYS > 127})
    with pytest.raises(UserError, match=r"a\.png has no pixel above 1, so that no defect would be seen in it: .*255"):
        read_truth(tmp_path / "a.png")
