import shutil

import numpy as np
import pytest
from PIL import Image

from dms_jax.data.prepare import prepare
from dms_jax.errors import UserError

# Every third has a defect.
TRAIN, TEST = range(10000, 10030), range(20000, 20012)
SIZE = (23, 63)


def make_dataset(root):
    for split, numbers in (("train", TRAIN), ("test", TEST)):
        (root / split).mkdir(parents=True)
        for number in numbers:
            width, height = SIZE[0] + number % 2, SIZE[1]
            pixels = np.random.default_rng(number).integers(0, 256, (height, width, 3), np.uint8)
            Image.fromarray(pixels).save(root / split / f"{number}.png")
            mask = np.zeros((height, width), np.uint8)
            if number % 3 == 0:
                mask[10:20, 5:9] = 255
            Image.fromarray(mask).save(root / split / f"{number}_GT.png")
    return root


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return make_dataset(tmp_path_factory.mktemp("kolektor") / "KolektorSDD2")


@pytest.fixture
def copy(small, tmp_path):
    return shutil.copytree(small, tmp_path / "KolektorSDD2")


def prepare_kolektor(tmp_path, root, **options):
    return prepare("kolektor_sdd2", data_dir=str(tmp_path / "data"), manual_dir=str(root), **options)


@pytest.mark.parametrize("around", [False, True])
def test_examples(small, tmp_path, around):
    data = prepare_kolektor(tmp_path, small.parent if around else small)
    assert (data.config, data.class_names, data.free_class) == ("published", ("free", "defect"), 0)
    # A tenth of the 10 training images with a defect and of the 20 without.
    assert data.sizes == {"train": 27, "validation": 3, "test": 12}
    assert np.bincount(data.source("validation").labels()).tolist() == [2, 1]
    (note,) = data.notes
    assert "names no kinds of defects" in note
    for split in data.sizes:
        for example in data.source(split):
            folder, name = example["name"].split("/")
            assert folder == ("test" if split == "test" else "train")
            number = int(name.removesuffix(".png"))
            assert example["label"] == (number % 3 == 0)
            assert example["has_mask"]
            np.testing.assert_array_equal(example["image"], np.asarray(Image.open(small / example["name"])))
            mask = np.asarray(Image.open(small / folder / f"{number}_GT.png"))
            np.testing.assert_array_equal(example["mask"][..., 0], mask)


def test_the_image_that_is_published_twice(copy, tmp_path):
    for name in ("10001", "10001_GT"):
        shutil.copy(copy / f"train/{name}.png", copy / f"train/{name} (copy).png")
    assert sum(prepare_kolektor(tmp_path, copy).sizes.values()) == 42


def test_missing_files(copy, tmp_path):
    (copy / "train/10003_GT.png").unlink()
    with pytest.raises(UserError, match=r"train/10003\.png has no mask 10003_GT\.png beside it: restore it or remove"):
        prepare_kolektor(tmp_path, copy)
    (copy / "test/20001.png").unlink()
    (copy / "test/20002_GT.png").write_bytes(b"damaged")
    data = prepare_kolektor(tmp_path, copy, skip_bad=True)
    assert sum(data.sizes.values()) == 39
    for part in ("10003.png has no mask", "20001_GT.png is a mask of no image", "20002_GT.png cannot be read"):
        assert sum(part in sentence for sentence in data.skipped) == 1


def test_mask_of_another_size(copy, tmp_path):
    Image.new("L", (20, 20)).save(copy / "train/10002_GT.png")
    with pytest.raises(UserError, match=r"10002\.png is 23 x 63 pixels but its mask \S+10002_GT\.png is 20 x 20"):
        prepare_kolektor(tmp_path, copy)


def test_missing_split(copy, tmp_path):
    shutil.rmtree(copy / "test")
    with pytest.raises(UserError, match=r"KolektorSDD2/test holds no images \(\*\.png\): get KolektorSDD2 from https:"):
        prepare_kolektor(tmp_path, copy)


def test_not_downloaded(tmp_path):
    with pytest.raises(UserError, match=r"^kolektor_sdd2 cannot be downloaded: get KolektorSDD2 from .*manual_dir"):
        prepare_kolektor(tmp_path, "")
