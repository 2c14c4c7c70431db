import builtins

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
from pycocotools import mask as coco_mask

from dms_jax.data.datasets.folder.annotations import list_annotations
from dms_jax.data.datasets.folder.annotations.coco import split_of
from dms_jax.errors import UserError

SQUARE = [2, 3, 6, 3, 6, 5, 2, 5]


def image(key, name, **others):
    return {"id": key, "file_name": name, "width": WIDTH, "height": HEIGHT} | others


def annotation(image_id=1, segmentation=(), category_id=1, **others):
    return {
        "id": 7,
        "image_id": image_id,
        "category_id": category_id,
        "segmentation": segmentation,
        "iscrowd": 0,
    } | others


def write(root, *annotations, images=None, names=("dent", "hole"), path="instances.json", **others):
    """A JSON of COCO's, for the image a.png unless others are named."""
    if images is None:
        images = [image(1, "a.png")]
        add_image(root, "a.png")
    categories = [{"id": number, "name": name, "supercategory": ""} for number, name in enumerate(names, start=1)]
    content = {"images": images, "annotations": list(annotations), "categories": categories}
    return add_json(root, path, content | others)


def noise():
    return (np.random.default_rng(0).random((HEIGHT, WIDTH)) < 0.4).astype(np.uint8)


def column_runs(mask):
    """Run lengths of COCO's, sound first, column by column; written without pycocotools."""
    runs, value = [0], 0
    for pixel in mask.T.ravel():
        if pixel != value:
            runs.append(0)
            value = pixel
        runs[-1] += 1
    return runs


@pytest.fixture
def root(tmp_path):
    return tmp_path / "parts"


class TestSegmentations:
    @pytest.mark.parametrize("segmentation", [[SQUARE], SQUARE, [[float(x) for x in SQUARE]]])
    def test_a_polygon_has_its_area_in_pixels(self, root, segmentation):
        write(root, annotation(segmentation=segmentation))
        np.testing.assert_array_equal(the_mask(root), box_mask(2, 3, 6, 5))

    def test_several_parts_and_several_annotations(self, root):
        write(
            root,
            annotation(segmentation=[SQUARE, [8, 6, 11, 6, 11, 9, 8, 9]]),
            annotation(segmentation=[[0, 0, 1, 0, 1, 1, 0, 1]]),
        )
        expected = box_mask(2, 3, 6, 5) | box_mask(8, 6, 11, 9) | box_mask(0, 0, 1, 1)
        np.testing.assert_array_equal(the_mask(root), expected)

    def test_a_polygon_as_pycocotools_draws_it(self, root):
        polygon = [1.3, 0.7, 10.2, 2.6, 8.8, 9.1, 4.4, 6.2]
        write(root, annotation(segmentation=[polygon]))
        (packed,) = coco_mask.frPyObjects([polygon], HEIGHT, WIDTH)
        assert np.count_nonzero(the_mask(root)) == coco_mask.area(packed)

    @pytest.mark.parametrize("scale", [1, 40])
    @pytest.mark.parametrize("compressed", [False, True])
    def test_run_lengths(self, root, compressed, scale):
        # Lengths of several hundred, so that some are written as several characters.
        mask = np.kron(noise(), np.ones((scale, scale), np.uint8))
        height, width = mask.shape
        counts = column_runs(mask)
        if compressed:
            packed = coco_mask.frPyObjects({"size": [height, width], "counts": counts}, height, width)
            counts = packed["counts"].decode()
        add_image(root, "a.png", (width, height))
        images = [image(1, "a.png", width=width, height=height)]
        write(root, annotation(segmentation={"size": [height, width], "counts": counts}, iscrowd=1), images=images)
        np.testing.assert_array_equal(the_mask(root), mask * 255)

    @pytest.mark.parametrize("segmentation", [[], None])
    def test_a_box_alone_is_filled(self, root, segmentation):
        write(root, annotation(segmentation=segmentation, bbox=[2, 3, 4, 2]))
        np.testing.assert_array_equal(the_mask(root), box_mask(2, 3, 6, 5))
        assert any(note.startswith("1 boxes are filled") for note in list_annotations(root).notes)

    def test_label_studios_outlines_are_told(self, root):
        path = write(root, annotation(segmentation=[SQUARE]), info={"contributor": "Label Studio Converter"})
        assert list_annotations(root).notes[-1].startswith(f"{path} holds the outlines of Label Studio's brush strokes")


class TestImages:
    def test_ids_that_are_texts(self, root):
        path = write(
            root, annotation("x", [SQUARE], "c"), images=[image("x", "a.png")], categories=[{"id": "c", "name": "dent"}]
        )
        add_image(root, "a.png")
        assert masks(path)["a.png"][0] == "dent"

    def test_in_folders(self, root):
        images = [image(1, "deep/a.png"), image(2, "b.png"), image(3, "images/c.png")]
        for name in ("images/deep/a.png", "images/b.png", "images/c.png"):
            add_image(root, name)
        write(root, annotation(1, [SQUARE]), images=images, path="annotations/all.json")
        assert {name: label for name, (label, _) in masks(root).items()} == {
            "images/deep/a.png": "dent",
            "images/b.png": "good",
            "images/c.png": "good",
        }

    def test_the_file_itself_can_be_named(self, root):
        path = write(root, annotation(segmentation=[SQUARE]))
        write(root, path="older.json")
        assert sorted(masks(path)) == ["a.png"]
        assert "a.png is annotated 2 times, in instances.json and older.json: remove all but one." in the_problem(root)

    def test_missing(self, root):
        write(root, images=[image(1, "a.png"), image(2, "deep/b.png")])
        add_image(root, "a.png")
        assert "instances.json lists deep/b.png, which does not exist in" in the_problem(root)

    def test_sizes(self, root):
        write(root, annotation(segmentation=[SQUARE]), images=[image(1, "a.png", width=HEIGHT, height=WIDTH)])
        exif = Image.Exif()
        exif[0x0112] = 6
        add_image(root, "a.png", (WIDTH, HEIGHT), exif=exif)
        np.testing.assert_array_equal(the_mask(root)[:6, :7], box_mask(2, 3, 6, 5)[:6, :7])
        write(root, annotation(segmentation=[SQUARE]), images=[image(1, "a.png")])
        with pytest.raises(UserError, match=r"the size 12 x 10 that it has before its EXIF data turn it \(10 x 12\)"):
            the_mask(root)
        write(root, annotation(segmentation=[SQUARE]), images=[image(1, "a.png", width=13)])
        with pytest.raises(UserError, match=r"json gives \S+a\.png the size 13 x 10, but it has 10 x 12 pixels"):
            the_mask(root)
        write(root, annotation(segmentation=[SQUARE]), images=[{"id": 1, "file_name": "a.png"}])
        assert np.count_nonzero(the_mask(root)) == 8

    def test_unlisted(self, root):
        write(root, annotation(segmentation=[SQUARE]))
        add_image(root, "b.png")
        assert sorted(masks(root)) == ["a.png"]
        assert "1 images that no annotation is about are left out (the first: b.png)." in list_annotations(root).notes


class TestSplits:
    @pytest.mark.parametrize(
        ("path", "split"),
        [
            ("annotations/instances_train2017.json", "train"),
            ("annotations/instances_val2017.json", "validation"),
            ("train/_annotations.coco.json", "train"),
            ("valid/_annotations.coco.json", "validation"),
            ("Test/_annotations.coco.json", "test"),
            ("annotations/trainval.json", None),
            ("annotations/train_test.json", None),
            ("latest/result.json", None),
        ],
    )
    def test_of_names(self, tmp_path, path, split):
        assert split_of(tmp_path / path, tmp_path) == split

    @pytest.mark.parametrize("name", ["test", "valid", "val_2026"])
    def test_the_name_of_the_folder_of_all_says_none(self, tmp_path, name):
        root = tmp_path / name
        images = [image(i, f"{i}.png") for i in range(20)]
        for listed in images:
            add_image(root, listed["file_name"])
        path = write(root, *(annotation(i, [SQUARE], id=i) for i in range(0, 20, 2)), images=images)
        assert dict(prepared(root).sizes) == {"train": 14, "validation": 2, "test": 4}
        assert {listed.split for listed in list_annotations(path).images} == {None}

    def test_images_of_one_name(self, root):
        for split in ("train", "val"):
            add_image(root, f"{split}2017/1.png")
            write(root, annotation(segmentation=[SQUARE]), images=[image(1, "1.png")], path=f"annotations/{split}.json")
        listed = {image.name: image.split for image in list_annotations(root).images}
        assert listed == {"train2017/1.png": "train", "val2017/1.png": "validation"}


class TestBadFiles:
    @pytest.mark.parametrize(
        ("given", "sentence"),
        [
            (annotation(), "has neither a segmentation nor a bbox"),
            (annotation(bbox=[1, 2, 3]), "has neither a segmentation nor a bbox"),
            (annotation(bbox=[1, 2, 3, "x"]), "has 'x' where a number is needed"),
            (annotation(segmentation="x"), "has a segmentation that is neither polygons nor run lengths"),
            (annotation(segmentation=[[1, 2, 3, 4]]), "has 2 points, where at least 3 are needed"),
            (annotation(segmentation=[[1, 2, 3, 4, 5, 6, 7]]), "has a polygon that is no list of x and y in turn"),
            (annotation(segmentation=[[1, 2, 3, 4, 5, None]]), "has points that are not pairs of numbers"),
            (annotation(segmentation={"counts": [1]}), "has run lengths without a size"),
            (
                annotation(segmentation={"size": [10, 12], "counts": [100, 19]}),
                "has run lengths that do not add up to 12 x 10 pixels",
            ),
            (
                annotation(segmentation={"size": [12, 10], "counts": [120]}),
                "has run lengths of 10 x 12 pixels for an image of 12 x 10",
            ),
            (
                annotation(segmentation={"size": [10, 12], "counts": None}),
                "has run lengths that are neither numbers nor a text",
            ),
            (annotation(image_id=2, segmentation=[SQUARE]), "is about the image 2, which the file does not list"),
            (annotation(category_id=9, segmentation=[SQUARE]), "is of the category 9, which the file does not list"),
        ],
    )
    def test_annotations(self, root, given, sentence):
        path = write(root, given)
        assert the_problem(root) == f"{path}, annotation 7, {sentence}: correct or remove it."

    @pytest.mark.parametrize("counts", ["", "!", "0", "P", "PPPPPPPP", "zzzzzzzz", "h3h", "ä", "\u20ac"])
    def test_damaged_run_lengths(self, root, counts):
        write(root, annotation(segmentation={"size": [HEIGHT, WIDTH], "counts": counts}))
        with pytest.raises(UserError, match=r"instances\.json has a region of \S+a\.png that has run lengths that "):
            the_mask(root)

    def test_an_annotation_that_is_spoilt_spoils_its_image(self, root):
        add_image(root, "b.png")
        add_image(root, "a.png")
        images = [image(1, "a.png"), image(2, "b.png")]
        write(root, annotation(segmentation=[SQUARE]), annotation(), annotation(2, [SQUARE]), images=images)
        listing = list_annotations(root)
        assert [image.name for image in listing.images] == ["b.png"]
        assert len(listing.problems) == 1

    def test_ids_given_twice(self, root):
        path = write(root, images=[image(1, "a.png"), image(1, "b.png")])
        add_image(root, "a.png")
        add_image(root, "b.png")
        assert the_problem(root) == f"{path} has 2 images with the id 1: give each its own."

    @pytest.mark.parametrize("key", ["annotations", "categories"])
    @pytest.mark.parametrize("value", [None, {}, [1]])
    def test_lists(self, root, key, value):
        path = write(root, **{key: value})
        refused(root, f"{path} has no list of {key}, as COCO's files have: export it again.")

    def test_truncated(self, root):
        path = write(root, annotation(segmentation=[SQUARE]))
        path.write_text(path.read_text()[:-30])
        refused(root, "instances.json is no valid JSON (", "export it again")
        refused(path, "instances.json is no valid JSON (", "export it again")

    def test_without_pycocotools(self, root, monkeypatch):
        write(root, annotation(segmentation=[SQUARE]))
        real = builtins.__import__

        def fail(name, *args, **kwargs):
            if name == "pycocotools":
                raise ImportError(name)
            return real(name, *args, **kwargs)

        monkeypatch.setattr(builtins, "__import__", fail)
        with pytest.raises(UserError, match=r"^COCO's annotations need pycocotools: pip install pycocotools\.$"):
            list_annotations(root)


def test_prepared(root):
    """Roboflow's layout."""
    for split in ("train", "valid", "test"):
        images = [image(i, f"{split}_{i}.jpg") for i in range(4)]
        for listed in images:
            add_image(root, f"{split}/{listed['file_name']}")
        write(
            root,
            annotation(0, [SQUARE]),
            annotation(1, [SQUARE], 2),
            images=images,
            path=f"{split}/_annotations.coco.json",
        )
    data = prepared(root)
    assert data.class_names == ("good", "dent", "hole")
    assert data.free_class == 0
    assert data.sizes == {"train": 4, "validation": 4, "test": 4}
    for name, example in examples(data).items():
        number = int(name[-5])
        assert example["class"] == ("dent", "hole", "good", "good")[number]
        assert example["has_mask"]
        expected = box_mask(2, 3, 6, 5) if number < 2 else np.zeros((HEIGHT, WIDTH))
        np.testing.assert_array_equal(example["mask"][..., 0], expected)
    assert data.notes[:2] == (
        f"Annotations of COCO from 3 files in {root}: 12 images, 6 with a mask, classes: dent, hole.",
        "6 images have no region and are of class good, free of defects.",
    )
