import shutil

import numpy as np
import pytest
from PIL import Image

from dms_jax.data.datasets.neu_det import find_images, read_boxes
from dms_jax.data.prepare import prepare
from dms_jax.errors import UserError

CLASSES = ("crazing", "inclusion", "patches", "pitted_surface", "rolled-in_scale", "scratches")
COUNT, SIDE = 10, 20
BOXES = ((3, 4, 6, 8), (10, 1, 20, 2))


def voc(*boxes, size=SIDE, name="crazing"):
    """A Pascal VOC annotation."""
    objects = "".join(
        f"<object><name>{name}</name><bndbox><xmin>{left}</xmin><ymin>{top}</ymin><xmax>{right}</xmax><ymax>{bottom}</ymax>"
        "</bndbox></object>"
        for left, top, right, bottom in boxes
    )
    return (
        f"<annotation><size><width>{size}</width><height>{size}</height><depth>1</depth></size>{objects}</annotation>"
    )


def save(image_path, annotation_path):
    image_path.parent.mkdir(parents=True, exist_ok=True)
    annotation_path.parent.mkdir(parents=True, exist_ok=True)
    seed = list(image_path.name.encode())
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (SIDE, SIDE), np.uint8)).save(image_path)
    annotation_path.write_text(voc(*BOXES))


def make_published(root):
    for label in CLASSES:
        for number in range(1, COUNT + 1):
            name = f"{label}_{number}"
            save(root / f"IMAGES/{name}.jpg", root / f"ANNOTATIONS/{name}.xml")
    return root


def make_folders(root):
    for label in CLASSES:
        for number in range(1, COUNT + 1):
            name, split = f"{label}_{number}", "train" if number <= 8 else "validation"
            save(root / split / f"images/{label}/{name}.jpg", root / split / f"annotations/{name}.xml")
    # As in a common copy.
    shutil.move(root / "train/annotations/crazing_4.xml", root / "validation/annotations/crazing_4.xml")
    return root


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    return make_published(tmp_path_factory.mktemp("neu") / "NEU-DET")


@pytest.fixture
def copy(published, tmp_path):
    return shutil.copytree(published, tmp_path / "NEU-DET")


def prepare_neu_det(tmp_path, root, **options):
    return prepare("neu_det", data_dir=str(tmp_path / "data"), manual_dir=str(root), **options)


def members(data):
    return {split: sorted(example["name"] for example in data.source(split)) for split in data.sizes}


class TestPrepared:
    def test_examples(self, published, tmp_path):
        data = prepare_neu_det(tmp_path, published)
        assert (data.config, data.class_names, data.free_class) == ("hashed", CLASSES, None)
        # Of ten images of each class two are for testing, and one of the rest for validation.
        assert data.sizes == {"train": 42, "validation": 6, "test": 12}
        assert any("masks are the annotated boxes, filled" in note for note in data.notes)
        expected = np.zeros((SIDE, SIDE))
        # Pascal VOC counts pixels from 1, and the last one is in the box.
        expected[3:8, 2:6] = 255
        expected[0:2, 9:20] = 255
        for split in data.sizes:
            for example in data.source(split):
                assert CLASSES[example["label"]] == example["name"].rpartition("_")[0]
                assert example["has_mask"]
                np.testing.assert_array_equal(example["mask"][..., 0], expected)
                with Image.open(published / f"IMAGES/{example['name']}.jpg") as image:
                    np.testing.assert_array_equal(example["image"][..., 0], np.asarray(image))

    def test_both_layouts_are_split_alike(self, published, tmp_path):
        other = prepare_neu_det(tmp_path / "a", make_folders(tmp_path / "archive/NEU-DET").parent)
        assert members(other) == members(prepare_neu_det(tmp_path / "b", published))

    def test_split_by_folders(self, tmp_path):
        data = prepare_neu_det(tmp_path, make_folders(tmp_path / "NEU-DET"), split="folders")
        assert data.sizes == {"train": 42, "validation": 6, "test": 12}
        assert members(data)["test"] == sorted(f"{label}_{number}" for label in CLASSES for number in (9, 10))
        assert len(data.notes) == 2

    def test_folders_of_other_case(self, copy, tmp_path):
        (copy / "IMAGES").rename(copy / "images")
        (copy / "ANNOTATIONS").rename(copy / "Annotations")
        assert len(find_images(copy)) == 60

    def test_no_folders_to_split_by(self, published, tmp_path):
        with pytest.raises(UserError, match="has no images in a folder validation to test on: use split=hashed"):
            prepare_neu_det(tmp_path, published, split="folders")


class TestFailures:
    def test_missing_files(self, copy, tmp_path):
        (copy / "ANNOTATIONS/patches_3.xml").unlink()
        with pytest.raises(UserError, match=r"IMAGES/patches_3\.jpg has no annotation patches_3\.xml: restore it or"):
            prepare_neu_det(tmp_path, copy)
        (copy / "IMAGES/patches_4.jpg").unlink()
        (copy / "IMAGES/patches_5.jpg").rename(copy / "IMAGES/other_5.jpg")
        (copy / "ANNOTATIONS/patches_5.xml").rename(copy / "ANNOTATIONS/other_5.xml")
        (copy / "ANNOTATIONS/patches_6.xml").write_text("<annotation>")
        data = prepare_neu_det(tmp_path, copy, skip_bad=True)
        assert sum(data.sizes.values()) == 56
        assert len(data.skipped) == 4

    def test_same_name_twice(self, copy):
        shutil.copytree(copy / "IMAGES", copy / "train/images")
        with pytest.raises(
            UserError, match=r"train/images/crazing_1\.jpg has the name of \S+IMAGES/crazing_1\.jpg: rem"
        ):
            find_images(copy)

    def test_no_images(self, copy, tmp_path):
        shutil.rmtree(copy / "IMAGES")
        with pytest.raises(UserError, match="NEU-DET holds no images: get NEU-DET as published with He et al"):
            prepare_neu_det(tmp_path, copy)

    def test_another_size(self, copy, tmp_path):
        (copy / "ANNOTATIONS/patches_3.xml").write_text(voc(*BOXES, size=21))
        with pytest.raises(
            UserError, match=r"patches_3\.jpg is 20 x 20 pixels but its mask \S+patches_3\.xml is 21 x 21"
        ):
            prepare_neu_det(tmp_path, copy)

    @pytest.mark.parametrize(
        ("text", "sentence"),
        [
            (voc(), r"a\.xml has no box: restore it"),
            (voc((1, 1, 21, 5)), r"a\.xml has the box 1, 1, 21, 5, which lies outside of the image of 20 x 20 pixels"),
            (voc((5, 1, 2, 5)), r"a\.xml has the box 5, 1, 2, 5, which lies outside"),
            (voc((1, 1, "x", 5)), r"a\.xml has 'x' for xmax, where a number of pixels is needed"),
            (voc((1, 1, "inf", 5)), r"a\.xml has 'inf' for xmax"),
            ("<annotation/>", r"a\.xml has None for size/height"),
            ("<annotation>", r"a\.xml cannot be read as XML \("),
        ],
    )
    def test_annotations(self, tmp_path, text, sentence):
        (tmp_path / "a.xml").write_text(text)
        with pytest.raises(UserError, match=sentence):
            read_boxes(tmp_path / "a.xml")

    def test_not_downloaded(self, tmp_path):
        with pytest.raises(UserError, match=r"^neu_det cannot be downloaded: get NEU-DET as published"):
            prepare_neu_det(tmp_path, "")
