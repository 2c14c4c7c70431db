import base64
import io
import math
import pickle

import numpy as np
import pytest
from annotated_images import (
    HEIGHT,
    WIDTH,
    add_image,
    add_json,
    box_mask,
    examples,
    masks,
    prepared,
    refused,
    the_mask,
    the_problem,
)
from PIL import Image

from dms_jax.data.datasets.folder.annotations import list_annotations
from dms_jax.errors import UserError

EXIF_ORIENTATION = 0x0112


def shape(kind, points, label="dent", **others):
    return {"label": label, "points": points, "group_id": None, "shape_type": kind, "flags": {}, **others}


def annotate(root, name, *shapes, size=(WIDTH, HEIGHT), **others):
    """A JSON as labelme writes it, beside the image of that name."""
    content = {
        "version": "5.5.0",
        "flags": {},
        "shapes": list(shapes),
        "imagePath": name.rpartition("/")[2],
        "imageData": base64.b64encode(bytes(100)).decode(),
        "imageHeight": size[1],
        "imageWidth": size[0],
    }
    return add_json(root, name.rpartition(".")[0] + ".json", content | others)


def add(root, name, *shapes, **others):
    add_image(root, name)
    return annotate(root, name, *shapes, **others)


def rectangle(left=2, top=3, right=6, bottom=5, **others):
    return shape("rectangle", [[left, top], [right, bottom]], **others)


@pytest.fixture
def root(tmp_path):
    return tmp_path / "parts"


class TestShapes:
    @pytest.mark.parametrize(
        "drawn",
        [
            shape("polygon", [[2, 3], [6, 3], [6, 5], [2, 5]]),
            shape(None, [[2, 3], [6, 3], [6, 5], [2, 5]]),
            shape("rectangle", [[2, 3], [6, 5]]),
            shape("rectangle", [[6, 5], [2, 3]]),
            shape("rectangle", [[2, 3], [6, 3], [6, 5], [2, 5]]),
            shape("oriented_rectangle", [[2, 3], [6, 3], [6, 5], [2, 5]]),
        ],
    )
    def test_boxes_and_polygons_have_their_area_in_pixels(self, root, drawn):
        add(root, "a.png", drawn)
        np.testing.assert_array_equal(the_mask(root), box_mask(2, 3, 6, 5))

    def test_circle(self, root):
        add_image(root, "a.png", (60, 50))
        annotate(root, "a.png", shape("circle", [[30, 25], [42, 41]]), size=(60, 50))
        mask = the_mask(root)
        assert np.count_nonzero(mask) == pytest.approx(math.pi * 20**2, rel=0.01)
        rows, columns = np.nonzero(mask)
        assert (columns.min(), columns.max(), rows.min(), rows.max()) == (10, 49, 5, 44)

    @pytest.mark.parametrize("kind", ["line", "linestrip"])
    def test_lines_are_three_pixels_wide(self, root, kind):
        add(root, "a.png", shape(kind, [[-3, 4.5], [20, 4.5]]))
        np.testing.assert_array_equal(the_mask(root), box_mask(0, 3, WIDTH, 6))
        assert any("1 lines are drawn 3 pixels wide" in note for note in list_annotations(root).notes)

    @pytest.mark.parametrize("white", [1, 255])
    def test_mask(self, root, white):
        part = np.array([[1, 0, 1], [0, 1, 1]], np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(part * white).save(buffer, format="PNG")
        data = base64.b64encode(buffer.getvalue()).decode()
        add(root, "a.png", shape("mask", [[4.0, 5.0], [6.0, 6.0]], mask=data))
        expected = np.zeros((HEIGHT, WIDTH), np.uint8)
        expected[5:7, 4:7] = part * 255
        np.testing.assert_array_equal(the_mask(root), expected)

    def test_shapes_are_united(self, root):
        add(root, "a.png", rectangle(), rectangle(5, 4, 8, 9))
        np.testing.assert_array_equal(the_mask(root), np.maximum(box_mask(2, 3, 6, 5), box_mask(5, 4, 8, 9)))

    def test_a_point_leaves_the_mask_unknown(self, root):
        add(root, "a.png", rectangle(), shape("point", [[2, 3]]))
        assert masks(root) == {"a.png": ("dent", None)}
        assert any("1 points have no area" in note for note in list_annotations(root).notes)

    def test_a_reader_can_be_pickled(self, root):
        add(root, "a.png", rectangle())
        (image,) = pickle.loads(pickle.dumps(list_annotations(root).images))
        assert np.count_nonzero(image.mask_reader(image.mask_path)) == 8


class TestImages:
    def test_paths_from_another_place(self, root):
        add_image(root, "images/deep/a.png")
        annotate(root, "labels/a.png", rectangle(), imagePath="..\\images\\deep\\a.png")
        add_image(root, "images/b.png")
        annotate(root, "labels/b.png", rectangle(), imagePath="C:\\Users\\me\\images\\b.png")
        assert sorted(masks(root)) == ["images/b.png", "images/deep/a.png"]

    def test_two_of_one_name(self, root):
        for folder in "xy":
            add_image(root, f"{folder}/a.png")
        annotate(root, "labels/a.png", rectangle())
        assert "a.png, which may be x/a.png or y/a.png in" in the_problem(root)

    def test_missing_image(self, root):
        add(root, "a.png", rectangle())
        annotate(root, "b.png", rectangle())
        assert "b.json is about b.png, which does not exist in" in the_problem(root)
        refused(root, "b.json is about b.png, which does not exist", "skip_bad")

    @pytest.mark.parametrize("name", ["a.png", "a.tif"])
    def test_an_image_that_is_turned_by_its_exif_data_is_annotated_upright(self, root, name):
        exif = Image.Exif()
        exif[EXIF_ORIENTATION] = 6
        add_image(root, name, (HEIGHT, WIDTH), exif=exif)
        annotate(root, name, rectangle())
        np.testing.assert_array_equal(the_mask(root), box_mask(2, 3, 6, 5))
        annotate(root, name, rectangle(), size=(HEIGHT, WIDTH))
        with pytest.raises(UserError, match="before its EXIF data turn it"):
            the_mask(root)
        annotate(root, name, rectangle(), imageHeight=None, imageWidth=None)
        np.testing.assert_array_equal(the_mask(root), box_mask(2, 3, 6, 5))

    def test_size_that_differs(self, root):
        add(root, "a.png", rectangle(), size=(WIDTH + 1, HEIGHT))
        with pytest.raises(
            UserError, match=r"a\.json gives \S+a\.png the size 13 x 10, but it has 12 x 10 pixels: ann"
        ):
            the_mask(root)

    def test_nothing_of_the_image(self, root):
        add(root, "a.png", rectangle(50, 50, 60, 60))
        with pytest.raises(UserError, match=r"a\.json has regions of \S+a\.png that hold no pixel of it: annotate"):
            the_mask(root)


class TestClasses:
    def test_the_largest_area_counts(self, root):
        add(root, "a.png", rectangle(0, 0, 2, 2, label="dent"), rectangle(4, 4, 8, 9, label="hole"))
        add(root, "b.png", rectangle(0, 0, 9, 2, label="dent"), rectangle(4, 4, 6, 6, label="hole"))
        assert {name: label for name, (label, _) in masks(root).items()} == {"a.png": "hole", "b.png": "dent"}
        assert any(note.startswith("2 images have regions of several classes") for note in list_annotations(root).notes)

    def test_without_shapes(self, root):
        add(root, "a.png", rectangle())
        add(root, "b.png")
        add(root, "c.png", flags={"dent": True, "hole": False})
        add_image(root, "good/d.png")
        add_image(root, "e.png")
        listed = masks(root)
        labels = {name: label for name, (label, _) in listed.items()}
        assert labels == {"a.png": "dent", "b.png": "good", "c.png": "dent", "good/d.png": "good"}
        assert [name for name, (_, mask) in listed.items() if mask is not None] == ["a.png"]
        notes = list_annotations(root).notes
        assert any(
            note.startswith(
                "1 images that no annotation is about are left out (the first: e.png), as they may be without"
            )
            for note in notes
        )
        assert any(note.startswith("2 images have no region and are of class good") for note in notes)

    def test_regions_of_the_free_class_are_not_drawn(self, root):
        add(root, "a.png", rectangle(0, 0, 9, 9, label="OK"), rectangle())
        add(root, "b.png", rectangle(0, 0, 9, 9, label="OK"))
        add(root, "c.png")
        listed = masks(root)
        assert {name: label for name, (label, _) in listed.items()} == {"a.png": "dent", "b.png": "OK", "c.png": "OK"}
        np.testing.assert_array_equal(listed["a.png"][1], box_mask(2, 3, 6, 5))

    def test_names_that_differ_in_case(self, root):
        for name in "abc":
            add(root, f"{name}.png", rectangle(label="Scratch" if name == "b" else "scratch"))
        listing = list_annotations(root)
        (problem,) = listing.problems
        assert "only in upper and lower case, scratch (2 images) and Scratch (1 images): rename one." in problem
        assert [image.name for image in listing.images] == ["a.png", "c.png"]


class TestBadFiles:
    @pytest.mark.parametrize(
        ("drawn", "sentence"),
        [
            (shape("polygon", [[1, 2], [3, 4]]), "number 1, polygon) that has 2 points, where at least 3 are needed"),
            (shape("polygon", [[1, 2, 3]] * 3), "has points that are not pairs of numbers"),
            (shape("polygon", [[1, "x"]] * 3), "has points that are not pairs of numbers"),
            (shape("polygon", [[1, math.inf]] * 3), "has points that lie nowhere near an image"),
            (shape("polygon", None), "has points that are not pairs of numbers"),
            (shape("circle", [[1, 2], [1, 2]]), "has the radius 0"),
            (shape("cuboid", [[1, 2]] * 8), "(number 1) of the unknown type 'cuboid' (polygon, rectangle,"),
            (shape([1], [[1, 2]]), "(number 1) of the unknown type '[1]'"),
            (shape("polygon", [[1, 10**400]] * 3), "has points that are not pairs of numbers"),
            (shape("mask", [[1, 2], [3, 4]]), "has no mask"),
            (rectangle(label=""), "has no class"),
            (rectangle(label=None), "has no class"),
        ],
    )
    def test_shapes(self, root, drawn, sentence):
        path = add(root, "a.png", drawn)
        assert the_problem(root).startswith(f"{path} has a shape (number 1")
        assert sentence in the_problem(root)

    @pytest.mark.parametrize("data", ["no PNG", base64.b64encode(b"no PNG").decode(), "ä"])
    def test_a_mask_that_is_no_png(self, root, data):
        add(root, "a.png", shape("mask", [[1, 2], [3, 4]], mask=data))
        with pytest.raises(
            UserError, match=r"a\.json has a region of \S+a\.png that has a mask that is no PNG: export"
        ):
            the_mask(root)

    @pytest.mark.parametrize(
        ("others", "sentence"),
        [
            ({"shapes": None}, "a.json has no list of shapes: correct it in labelme, or remove the file."),
            ({"shapes": [1]}, "a.json has no list of shapes"),
            ({"imagePath": None}, "a.json has the imagePath None"),
            ({"imagePath": ""}, "a.json is about an image without a name"),
            ({"imageWidth": math.inf}, "a.json has the size inf x 10"),
            ({"imageWidth": "wide"}, "a.json has the size 'wide' x 10"),
            ({"flags": {"dent": True, "hole": True}}, "a.json has no shape and the flags dent and hole"),
        ],
    )
    def test_keys(self, root, others, sentence):
        add(root, "a.png", **others)
        assert sentence in the_problem(root)

    def test_truncated(self, root):
        path = add(root, "a.png", rectangle())
        path.write_text(path.read_text()[:200])
        refused(root, "a.json is no valid JSON (", "export it again")


def test_prepared(root):
    for split in ("train", "val", "test"):
        for i in range(2):
            add(root, f"{split}/dent_{i}.png", rectangle(2 + i))
            add_image(root, f"{split}/ok/{i}.png")
    data = prepared(root)
    assert data.class_names == ("ok", "dent")
    assert data.free_class == 0
    assert data.sizes == {"train": 4, "validation": 4, "test": 4}
    assert not data.skipped
    for name, example in examples(data).items():
        assert example["has_mask"]
        expected = box_mask(2 + int(name[-5]), 3, 6, 5) if "dent" in name else np.zeros((HEIGHT, WIDTH))
        np.testing.assert_array_equal(example["mask"][..., 0], expected)
    assert data.notes[0].startswith("Annotations of labelme from 6 files in ")
    # A change of an annotation is a change of the data.
    annotate(root, "test/dent_0.png", rectangle(7, 7, 9, 9))
    assert prepared(root).config != data.config
    np.testing.assert_array_equal(examples(prepared(root))["test/dent_0.png"]["mask"][..., 0], box_mask(7, 7, 9, 9))
