import shutil

import numpy as np
import pytest
from PIL import Image

from dms_jax.data.datasets.rsdds import find_images
from dms_jax.data.prepare import prepare
from dms_jax.errors import UserError

# As published, but fewer.
TYPES = {"Type-I RSDDs dataset": (160, 1000), "Type-II RSDDs dataset": (55, 1250)}
COUNT = 5


def make_dataset(root):
    for folder, (width, height) in TYPES.items():
        for kind in ("Rail surface images", "GroundTruth"):
            (root / folder / kind).mkdir(parents=True)
        for number in range(1, COUNT + 1):
            rng = np.random.default_rng(number)
            surface = rng.integers(90, 130, (height // 10, width // 5), np.uint8)
            image = Image.fromarray(surface).resize((width, height))
            image.save(root / folder / "Rail surface images" / f"rail_{number}.jpg")
            mask = np.zeros((height, width), np.uint8)
            row = int(rng.integers(height - 40))
            mask[row : row + 31, 10:33] = 255
            Image.fromarray(mask).save(root / folder / "GroundTruth" / f"rail_{number}.jpg")
    return root


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return make_dataset(tmp_path_factory.mktemp("rsdds") / "RSDDs dataset")


@pytest.fixture
def copy(small, tmp_path):
    return shutil.copytree(small, tmp_path / "RSDDs dataset")


def prepare_rsdds(tmp_path, root, **options):
    return prepare("rsdds", data_dir=str(tmp_path / "data"), manual_dir=str(root), **options)


class TestPrepared:
    @pytest.mark.parametrize("around", [False, True])
    def test_examples(self, small, tmp_path, around):
        data = prepare_rsdds(tmp_path, small.parent if around else small)
        assert (data.config, data.class_names, data.free_class) == ("hashed", ("type-I", "type-II"), None)
        # Of five images of each type one is for testing, and one of the rest for validation.
        assert data.sizes == {"train": 6, "validation": 2, "test": 2}
        for split in data.sizes:
            assert set(data.source(split).labels()) == {0, 1}

    def test_masks_are_kept_as_stored(self, small, tmp_path):
        data = prepare_rsdds(tmp_path, small)
        for example in data.source("train"):
            folder = example["name"].partition("/")[0]
            width, height = TYPES[folder]
            assert example["image"].shape == (height, width, 3)
            assert example["label"] == list(TYPES).index(folder)
            filed = np.asarray(Image.open(small / example["name"].replace("Rail surface images", "GroundTruth")))
            np.testing.assert_array_equal(example["mask"][..., 0], filed)
            assert len(np.unique(filed)) > 2
            assert np.count_nonzero(filed > 127) == pytest.approx(31 * 23, rel=0.05)
            image = np.asarray(Image.open(small / example["name"]))
            np.testing.assert_array_equal(example["image"][..., 1], image)

    def test_other_case_and_spaces_are_the_same_images(self, small, copy):
        (copy / "Type-I RSDDs dataset").rename(copy / "type-i_RSDDs_Dataset")
        (copy / "type-i_RSDDs_Dataset" / "GroundTruth").rename(copy / "type-i_RSDDs_Dataset" / "Ground Truth")
        mask = copy / "type-i_RSDDs_Dataset" / "Ground Truth" / "rail_1.jpg"
        mask.rename(mask.with_suffix(".JPG"))
        found, expected = find_images(copy), find_images(small)
        assert [(p.name, p.label, p.group) for p in found] == [(p.name, p.label, p.group) for p in expected]
        assert all(image.image_path.is_file() and image.mask_path.is_file() for image in found)

    def test_lying_images_stay_as_they_are(self, copy, tmp_path):
        for folder in TYPES:
            for path in (copy / folder).rglob("*.jpg"):
                Image.open(path).rotate(90, expand=True).save(path)
        shapes = {example["image"].shape for example in prepare_rsdds(tmp_path, copy).source("test")}
        assert shapes == {(160, 1000, 3), (55, 1250, 3)}


class TestFailures:
    def test_not_downloaded(self, tmp_path):
        with pytest.raises(
            UserError, match=r"^rsdds cannot be downloaded: get RSDDs as published with Gan .*manual_dir"
        ):
            prepare_rsdds(tmp_path, "")

    def test_missing_mask(self, copy, tmp_path):
        (copy / "Type-II RSDDs dataset/GroundTruth/rail_2.jpg").unlink()
        with pytest.raises(UserError, match=r"Type-II .*/Rail surface images/rail_2\.jpg has no mask rail_2\.jpg in "):
            prepare_rsdds(tmp_path, copy)
        data = prepare_rsdds(tmp_path, copy, skip_bad=True)
        assert sum(data.sizes.values()) == 2 * COUNT - 1
        assert "rail_2.jpg has no mask" in data.skipped[0]

    def test_missing_type(self, copy, tmp_path):
        shutil.rmtree(copy / "Type-II RSDDs dataset")
        with pytest.raises(UserError, match=r"Type-II RSDDs dataset/Rail surface images holds no images \(\*\.jpg\)"):
            prepare_rsdds(tmp_path, copy)

    def test_mask_of_another_size(self, copy, tmp_path):
        Image.new("L", (160, 999)).save(copy / "Type-I RSDDs dataset/GroundTruth/rail_3.jpg")
        with pytest.raises(
            UserError, match=r"rail_3\.jpg is 160 x 1000 pixels but its mask .*rail_3\.jpg is 160 x 999"
        ):
            prepare_rsdds(tmp_path, copy)

    def test_damaged_mask(self, copy, tmp_path):
        path = copy / "Type-I RSDDs dataset/GroundTruth/rail_3.jpg"
        path.write_bytes(path.read_bytes()[:100])
        with pytest.raises(UserError, match=r"GroundTruth/rail_3\.jpg cannot be read as an image"):
            prepare_rsdds(tmp_path, copy)
