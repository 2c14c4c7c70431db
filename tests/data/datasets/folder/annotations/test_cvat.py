import math

import numpy as np
import pytest
from annotated_images import (
    HEIGHT,
    WIDTH,
    add_image,
    box_mask,
    examples,
    masks,
    prepared,
    refused,
    the_mask,
    the_problem,
)

from dms_jax.data.datasets.folder.annotations import list_annotations
from dms_jax.errors import UserError

SQUARE = (
    '<polygon label="dent" source="manual" occluded="0" points="2.00,3.00;6.00,3.00;6.00,5.00;2.00,5.00" z_order="0"/>'
)


def image(name, *shapes, size=(WIDTH, HEIGHT), **others):
    attributes = {"id": 0, "name": name, "width": size[0], "height": size[1]} | others
    text = " ".join(f'{key}="{value}"' for key, value in attributes.items())
    return f"<image {text}>{''.join(shapes)}</image>"


def write(root, *images, path="annotations.xml"):
    """An XML file as CVAT exports it for images."""
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    meta = "<meta><task><labels><label><name>dent</name></label></labels></task></meta>"
    text = f"<annotations><version>1.1</version>{meta}{''.join(images)}</annotations>"
    text = f'<?xml version="1.0" encoding="utf-8"?>\n{text}'
    (root / path).write_text(text, encoding="utf-8")
    return root / path


def write_one(root, *shapes, **others):
    add_image(root, "images/a.png", others.get("size", (WIDTH, HEIGHT)))
    return write(root, image("a.png", *shapes, **others))


@pytest.fixture
def root(tmp_path):
    return tmp_path / "parts"


class TestShapes:
    @pytest.mark.parametrize(
        "shape",
        [
            SQUARE,
            '<box label="dent" xtl="2.00" ytl="3.00" xbr="6.00" ybr="5.00"/>',
            '<box label="dent" xtl="3.00" ytl="2.00" xbr="5.00" ybr="6.00" rotation="90.00"/>',
            '<mask label="dent" rle="0, 8" left="2" top="3" width="4" height="2"/>',
            '<mask label="dent" rle="3, 4, 2, 4, 2" left="1" top="3" width="5" height="3"><attribute/></mask>',
        ],
    )
    def test_areas(self, root, shape):
        expected = box_mask(2, 3, 6, 5)
        if "3, 4" in shape:
            # Row by row: 3 off, 4 on, 2 off, 4 on, 2 off.
            expected[:] = 0
            rows = np.array([[0, 0, 0, 1, 1], [1, 1, 0, 0, 1], [1, 1, 1, 0, 0]])
            expected[3:6, 1:6] = rows * 255
        write_one(root, shape)
        np.testing.assert_array_equal(the_mask(root), expected)

    def test_mask_of_noise(self, root):
        part = np.random.default_rng(0).random((7, 9)) < 0.4
        runs, value = [0], False
        for pixel in part.ravel():
            if pixel != value:
                runs.append(0)
                value = pixel
            runs[-1] += 1
        write_one(root, f'<mask label="dent" rle="{", ".join(map(str, runs))}" left="3" top="2" width="9" height="7"/>')
        expected = np.zeros((HEIGHT, WIDTH), np.uint8)
        expected[2:9, 3:12] = part * 255
        np.testing.assert_array_equal(the_mask(root), expected)

    def test_ellipse(self, root):
        write_one(root, '<ellipse label="dent" cx="30.00" cy="25.00" rx="20.00" ry="10.00"/>', size=(60, 50))
        mask = the_mask(root)
        assert np.count_nonzero(mask) == pytest.approx(math.pi * 200, rel=0.02)
        rows, columns = np.nonzero(mask)
        assert (columns.min(), columns.max(), rows.min(), rows.max()) == (10, 49, 15, 34)
        write_one(
            root, '<ellipse label="dent" cx="30.00" cy="25.00" rx="20.00" ry="10.00" rotation="90"/>', size=(60, 50)
        )
        np.testing.assert_array_equal(the_mask(root)[5:45, 20:40], mask[15:35, 10:50].T)

    def test_polyline_and_points(self, root):
        write_one(root, '<polyline label="dent" points="-3,4.5;20,4.5"/>')
        np.testing.assert_array_equal(the_mask(root), box_mask(0, 3, WIDTH, 6))
        write_one(root, SQUARE, '<points label="dent" points="1,1;2,2"/>')
        assert masks(root) == {"images/a.png": ("dent", None)}


class TestImages:
    def test_without_shapes(self, root):
        add_image(root, "images/a.png")
        add_image(root, "images/b.png")
        add_image(root, "images/c.png")
        tag = '<tag label="dent" source="manual"></tag>'
        write(root, image("a.png", tag), image("b.png"), image("c.png", SQUARE, '<tag label="hole"></tag>'))
        labels = {name: label for name, (label, _) in masks(root).items()}
        assert labels == {"images/a.png": "dent", "images/b.png": "good", "images/c.png": "dent"}

    def test_subsets_are_splits(self, root):
        listed = [("Train", "a.png"), ("Validation", "a.png"), ("Test", "b.png"), ("other", "c.png")]
        for subset, name in listed:
            add_image(root, f"images/{subset}/{name}")
        path = write(root, *(image(name, SQUARE, subset=subset, task_id=1) for subset, name in listed))
        splits = {listed.name: listed.split for listed in list_annotations(path).images}
        assert splits == {
            "images/Train/a.png": "train",
            "images/Validation/a.png": "validation",
            "images/Test/b.png": "test",
            "images/other/c.png": None,
        }

    def test_missing(self, root):
        path = write(root, image("deep/a.png", SQUARE))
        assert the_problem(root).startswith(f"{path} lists deep/a.png, which does not exist in {root}: restore it or")

    def test_size(self, root):
        write_one(root, SQUARE)
        write(root, image("a.png", SQUARE, size=(WIDTH, HEIGHT + 1)))
        with pytest.raises(UserError, match=r"annotations\.xml gives \S+a\.png the size 12 x 11, but it has 12 x 10"):
            the_mask(root)


class TestBadFiles:
    @pytest.mark.parametrize(
        ("shape", "sentence"),
        [
            ('<polygon label="dent" points="1,2;3,4"/>', "a polygon that has 2 points, where at least 3 are needed"),
            ('<polygon label="dent" points="1,2;3;5,6"/>', "a polygon that has points that are not pairs of numbers"),
            ('<polygon label="dent"/>', "a polygon that has points that are not pairs of numbers"),
            ('<polygon points="1,2;3,4;5,6"/>', "a polygon that has no class"),
            ('<box label="dent" xtl="1"/>', "a box that has None where a number is needed"),
            ('<ellipse label="dent" cx="1" cy="1" rx="0" ry="2"/>', "an ellipse that has a radius of 0"),
            ('<cuboid label="dent"/>', "a shape of the unknown type cuboid (polygon, box,"),
            ('<skeleton label="dent"/>', "a shape of the unknown type skeleton"),
            ('<mask label="dent" rle="1, 2" left="0" top="0" width="2" height="2"/>', "do not add up to 2 x 2 pixels"),
            (
                '<mask label="dent" rle="1, x" left="0" top="0" width="2" height="2"/>',
                "run lengths that are not numbers",
            ),
            ('<mask label="dent" left="0" top="0" width="2" height="2"/>', "run lengths that are not numbers"),
            ('<mask label="dent" rle="5, -1" left="0" top="0" width="2" height="2"/>', "do not add up to 2 x 2 pixels"),
            ('<mask label="dent" rle="4" left="0" top="0" width="2" height="0"/>', "a mask that has the size 2 x 0"),
            ('<tag label="dent"/><tag label="hole"/>', "no shape and the tags dent and hole"),
        ],
    )
    def test_shapes(self, root, shape, sentence):
        path = write_one(root, shape)
        assert the_problem(root).startswith(f"{path}, image a.png, has ")
        assert sentence in the_problem(root)

    def test_export_for_videos(self, root):
        (root).mkdir()
        (root / "annotations.xml").write_text('<annotations><track id="0" label="dent"/></annotations>')
        refused(root, "annotations.xml has tracks", "export it as CVAT for images 1.1.")

    def test_truncated(self, root):
        path = write_one(root, SQUARE)
        path.write_text(path.read_text()[:-20])
        refused(root, "annotations.xml is no valid XML (", "export it again")


def test_prepared(root):
    for i in range(12):
        add_image(root, f"images/{i:02d}.png")
    shape = '<box label="hole" xtl="2" ytl="3" xbr="6" ybr="5"/>'
    write(root, *(image(f"{i:02d}.png", *[SQUARE, shape, ""][i % 3 : i % 3 + 1]) for i in range(12)))
    data = prepared(root)
    assert data.class_names == ("good", "dent", "hole")
    assert data.sizes["test"] > 0
    for name, example in examples(data).items():
        number = int(name[-6:-4]) % 3
        assert example["class"] == ("dent", "hole", "good")[number]
        expected = box_mask(2, 3, 6, 5) if number < 2 else np.zeros((HEIGHT, WIDTH))
        np.testing.assert_array_equal(example["mask"][..., 0], expected)
    assert any(note.startswith("4 boxes are filled") for note in data.notes)
