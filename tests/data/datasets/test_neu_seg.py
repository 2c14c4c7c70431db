from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from published_datasets import found_in

from dms_jax.data.datasets.neu_seg import find_images, label_of, read_annotation, split_images
from dms_jax.data.prepare import prepare
from dms_jax.errors import UserError

REAL = Path(__file__).parents[4] / "shared" / "datasets" / "neu_seg"
CLASSES = ("inclusion", "patches", "scratches")


def pattern(seed):
    """An image of 8 x 8 patches, like no other of another seed."""
    return np.kron(np.random.default_rng(seed).integers(0, 256, (5, 5), np.uint8), np.ones((8, 8), np.uint8))


def annotation(number):
    pixels = np.zeros((40, 40), np.uint8)
    pixels[5:15, 10:20] = number
    return pixels


def add_image(root, name, seed, number, quarters=0):
    for kind, pixels, suffix in (("images", pattern(seed), ".jpg"), ("annotations", annotation(number), ".png")):
        path = (root / kind / name).with_suffix(suffix)
        path.parent.mkdir(parents=True, exist_ok=True)
        turned = Image.fromarray(np.ascontiguousarray(np.rot90(pixels, quarters)))
        turned.save(path, **({"quality": 95} if suffix == ".jpg" else {}))


def make_dataset(root):
    """For each class four training images, each turned once, and two test images, one a turned copy."""
    seeds = iter(range(100))
    for number in (1, 2, 3):
        for i in range(4):
            seed = next(seeds)
            add_image(root, f"training/{number}0{i}", seed, number)
            add_image(root, f"training/{number}1{i}", seed, number, quarters=1 + i % 3)
        add_image(root, f"test/{number}00", next(seeds), number)
        add_image(root, f"test/{number}01", seed, number, quarters=2)
    return root


def prepare_neu_seg(tmp_path, root, split="", **options):
    return prepare("neu_seg", split=split, data_dir=str(tmp_path / "data"), manual_dir=str(root), **options)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return make_dataset(tmp_path_factory.mktemp("neu_seg"))


@pytest.fixture
def copy(tmp_path):
    return make_dataset(tmp_path / "neu_seg")


@pytest.fixture(scope="module")
def real_images():
    return found_in("neu_seg")


class TestImages:
    def test_names_labels_and_files(self, small):
        images = find_images(small)
        assert [image.name for image in images] == sorted(image.name for image in images)
        assert Counter(image.label for image in images) == dict.fromkeys(CLASSES, 10)
        for image in images:
            assert image.image_path == small / image.name
            assert image.label == CLASSES[int(image.image_path.stem[0]) - 1]
            assert image.mask_path.relative_to(small / "annotations").with_suffix("") == image.image_path.relative_to(
                small / "images"
            ).with_suffix("")

    def test_copies_are_a_group_named_after_the_first(self, small):
        group_of = {image.name: image.group for image in find_images(small)}
        assert group_of["images/training/100.jpg"] == group_of["images/training/110.jpg"] == "images/training/100.jpg"
        assert group_of["images/training/213.jpg"] == group_of["images/training/203.jpg"] == "images/test/201.jpg"
        assert Counter(Counter(group_of.values()).values()) == {1: 3, 2: 9, 3: 3}

    def test_published_split(self, small):
        splits = split_images(find_images(small), "published")
        assert {image.name.split("/")[1] for image in splits["test"]} == {"test"}
        assert {image.name.split("/")[1] for image in splits["train"] + splits["validation"]} == {"training"}
        assert [len(splits[split]) for split in ("train", "validation", "test")] == [18, 6, 6]
        train, validation = ({image.group for image in splits[split]} for split in ("train", "validation"))
        assert not train & validation

    def test_grouped_split_keeps_copies_together(self, small):
        splits = split_images(find_images(small), "grouped")
        groups = [{image.group for image in members} for members in splits.values()]
        assert sum(map(len, groups)) == len(set.union(*groups)) == 15
        for members in splits.values():
            assert {image.label for image in members} == set(CLASSES)


class TestAnnotation:
    @pytest.mark.parametrize(
        ("counts", "label"),
        [
            ((5, 0, 0), "inclusion"),
            ((3, 4, 2), "patches"),
            ((1, 1, 2), "scratches"),
            ((0, 3, 3), "patches"),
            ((2, 1, 2), "inclusion"),
        ],
    )
    def test_label_is_the_class_with_most_pixels(self, tmp_path, counts, label):
        numbers = np.repeat([0, 1, 2, 3], [20 - sum(counts), *counts]).astype(np.uint8)
        Image.fromarray(numbers.reshape(4, 5)).save(tmp_path / "a.png")
        assert label_of(tmp_path / "a.png") == label
        np.testing.assert_array_equal(read_annotation(tmp_path / "a.png"), 255 * (numbers.reshape(4, 5) > 0))


class TestPrepared:
    @pytest.mark.parametrize(("split", "config"), [("", "published"), ("grouped", "grouped")])
    def test_examples(self, small, tmp_path, split, config):
        data = prepare_neu_seg(tmp_path, small, split)
        assert (data.config, data.class_names, data.free_class) == (config, CLASSES, None)
        assert sum(data.sizes.values()) == 30
        assert "is not the NEU of the SDMS/BDMS paper" in data.notes[0]
        assert ("split=grouped" in data.notes[1]) == (config == "published")
        assert data.sizes["test"] == (6 if config == "published" else len(data.source("test")))
        for example in data.source("test"):
            image = np.asarray(Image.open(small / example["name"]))
            path = small / example["name"].replace("images", "annotations").replace(".jpg", ".png")
            np.testing.assert_array_equal(example["image"], np.stack([image] * 3, -1))
            np.testing.assert_array_equal(example["mask"][..., 0], 255 * (np.asarray(Image.open(path)) > 0))

    def test_folder_around_and_other_case(self, copy, tmp_path):
        (copy / "images").rename(copy / "Images")
        next((copy / "Images" / "training").iterdir()).rename(copy / "Images" / "training" / "100.JPG")
        (tmp_path / "around").mkdir()
        copy.rename(tmp_path / "around" / "NEU_Seg")
        data = prepare_neu_seg(tmp_path, tmp_path / "around")
        assert data.sizes["test"] == 6
        assert all(example["name"].startswith("images/test/") for example in data.source("test"))


class TestFailures:
    def test_not_downloaded(self, tmp_path):
        with pytest.raises(
            UserError, match=r"^neu_seg cannot be downloaded: get NEU-Seg as published with .*manual_dir"
        ):
            prepare_neu_seg(tmp_path, "")

    def test_folder_of_something_else(self, tmp_path):
        (tmp_path / "other" / "notes").mkdir(parents=True)
        with pytest.raises(UserError, match=r"other holds none of the folders images/training, annotations/training:"):
            prepare_neu_seg(tmp_path, tmp_path / "other")

    def test_missing_folder(self, copy, tmp_path):
        (copy / "annotations" / "test").rename(tmp_path / "elsewhere")
        with pytest.raises(UserError, match=r"annotations/test holds no annotations \(\*\.png\): get NEU-Seg"):
            prepare_neu_seg(tmp_path, copy)

    def test_missing_annotation(self, copy, tmp_path):
        (copy / "annotations/training/100.png").unlink()
        with pytest.raises(
            UserError, match=r"images/training/100\.jpg has no mask 100\.png in \S*annotations/training"
        ):
            prepare_neu_seg(tmp_path, copy)

    @pytest.mark.parametrize(
        ("pixels", "message"),
        [
            (annotation(4), r"test/100\.png has a pixel of value 4: class numbers are 0 to 3, or leave .*skip_bad\.$"),
            (annotation(0), r"test/100\.png has no defective pixel, so that its class is unknown"),
            (annotation(1)[:30], r"test/100\.jpg is 40 x 40 pixels but its mask \S+test/100\.png is 40 x 30"),
        ],
    )
    def test_wrong_annotation(self, copy, tmp_path, pixels, message):
        Image.fromarray(pixels).save(copy / "annotations/test/100.png")
        with pytest.raises(UserError, match=message):
            prepare_neu_seg(tmp_path, copy)

    @pytest.mark.parametrize("name", ["images/training/100.jpg", "annotations/training/100.png"])
    def test_damaged_file(self, copy, tmp_path, name):
        (copy / name).write_bytes((copy / name).read_bytes()[:60])
        with pytest.raises(UserError, match=rf"{name} cannot be read as an image"):
            prepare_neu_seg(tmp_path, copy)

    @pytest.mark.parametrize("config", ["published", "grouped"])
    def test_bad_files_can_be_skipped(self, copy, tmp_path, config):
        bad = ["images/training/100.jpg", "annotations/training/101.png", "images/training/102.jpg"]
        for name in bad[:2]:
            (copy / name).write_bytes((copy / name).read_bytes()[:60])
        (copy / bad[2]).unlink()
        Image.fromarray(annotation(0)).save(copy / "annotations/test/100.png")
        data = prepare_neu_seg(tmp_path, copy, config, skip_bad=True)
        assert sum(data.sizes.values()) == 26
        assert len(data.skipped) == 4
        for name in (*bad[:2], "annotations/training/102.png has no image 102.jpg", "annotations/test/100.png"):
            assert sum(name in sentence for sentence in data.skipped) == 1

    def test_nothing_but_bad_files(self, copy, tmp_path):
        for path in copy.rglob("*.jpg"):
            path.write_bytes(b"")
        with pytest.raises(UserError, match=r"too few groups of images"):
            prepare_neu_seg(tmp_path, copy, skip_bad=True)


@pytest.mark.skipif(not REAL.is_dir(), reason="needs ../shared/datasets/neu_seg: the published images")
class TestRealImages:
    def test_classes(self, real_images):
        counts = Counter((image.name.split("/")[1], image.label) for image in real_images)
        assert counts == {
            ("training", "inclusion"): 1134, ("training", "patches"): 1336, ("training", "scratches"): 1160,
            ("test", "inclusion"): 253, ("test", "patches"): 319, ("test", "scratches"): 268,
        }  # fmt: skip

    def test_all_but_thirty_come_in_four_quarter_turns(self, real_images):
        sizes = Counter(Counter(image.group for image in real_images).values())
        assert sizes == {1: 30, 4: 1094, 8: 8}

    def test_published_split_leaks(self, real_images):
        splits = split_images(real_images, "published")
        rest = {image.group for image in [*splits["train"], *splits["validation"]]}
        assert sum(image.group in rest for image in splits["test"]) == 810
        assert len(splits["train"]) + len(splits["validation"]) == 3630

    @pytest.mark.parametrize(("config", "apart"), [("published", 2), ("grouped", 3)])
    def test_groups_stay_whole(self, real_images, config, apart):
        groups = [{image.group for image in members} for members in split_images(real_images, config).values()]
        assert sum(map(len, groups[:apart])) == len(set.union(*groups[:apart]))
        assert len(set.union(*groups)) == 1132
