import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import tensorflow_datasets as tfds
from PIL import Image

from dms_jax.data.datasets.crackforest import find_images, read_segmentation
from dms_jax.data.datasets.splitting import split_by_hash
from dms_jax.data.prepare import prepare
from dms_jax.errors import UserError

REAL = Path(__file__).parents[4] / "shared" / "datasets" / "crackforest"
COUNT = 12


def regions(seed, size=(6, 9)):
    """Every region from 1 to 4, at random places."""
    numbers = np.random.default_rng(seed).integers(1, 5, size).astype(np.uint8)
    numbers.flat[:4] = (1, 2, 3, 4)
    return numbers


def save_segmentation(path, segmentation, **others):
    truth = {"Segmentation": segmentation, "Boundaries": np.zeros((6, 9)), **others}
    scipy.io.savemat(path, {"groundTruth": truth}, do_compression=True)


def make_dataset(root):
    (root / "image").mkdir(parents=True)
    (root / "groundTruth").mkdir()
    for number in (*range(1, COUNT + 1), 201, 329):
        pixels = np.random.default_rng(number).integers(0, 256, (6, 9, 3), np.uint8)
        Image.fromarray(pixels).save(root / "image" / f"{number:03d}.jpg")
        if number <= COUNT:
            save_segmentation(root / "groundTruth" / f"{number:03d}.mat", regions(number))
    # The last of those without a mask is damaged as published.
    whole = (root / "image" / "329.jpg").read_bytes()
    (root / "image" / "329.jpg").write_bytes(whole[:-20])
    return root


def prepare_crackforest(tmp_path, root, **options):
    return prepare("crackforest", data_dir=str(tmp_path / "data"), manual_dir=str(root), **options)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return make_dataset(tmp_path_factory.mktemp("crackforest") / "data")


@pytest.fixture
def copy(tmp_path):
    return make_dataset(tmp_path / "crackforest")


class TestPrepared:
    def test_examples(self, small, tmp_path):
        data = prepare_crackforest(tmp_path, small)
        assert (data.config, data.class_names, data.free_class) == ("hashed", ("crack",), None)
        # 40 % of 12, and 10 % of the other 7.
        assert data.sizes == {"train": 6, "validation": 1, "test": 5}
        (note,) = data.notes
        assert "37 published images without a mask" in note
        examples = [example for split in data.sizes for example in data.source(split)]
        assert sorted(example["name"] for example in examples) == [f"image/{i:03d}.jpg" for i in range(1, COUNT + 1)]
        for example in examples:
            assert example["group"] == example["name"]
            assert example["label"] == 0
            np.testing.assert_array_equal(example["image"], np.asarray(Image.open(small / example["name"])))
            number = int(Path(example["name"]).stem)
            np.testing.assert_array_equal(example["mask"][..., 0], np.where(regions(number) == 2, 255, 0))

    def test_split_is_that_of_the_published_names(self, small, copy, tmp_path):
        (copy / "image").rename(copy / "Image")
        (copy / "groundTruth").rename(copy / "GroundTruth")
        (copy / "Image" / "001.jpg").rename(copy / "Image" / "001.JPG")
        other = {image.name: image.group for image in find_images(copy)}
        assert other == {image.name: image.group for image in find_images(small)}
        assert prepare_crackforest(tmp_path, tmp_path).sizes["test"] == 5

    def test_archive(self, small, tmp_path, monkeypatch):
        archive = tmp_path / "master.zip"
        with zipfile.ZipFile(archive, "w") as opened:
            for file in small.rglob("*.*"):
                opened.write(file, Path("CrackForest-dataset-master") / file.relative_to(small))
        monkeypatch.setattr(tfds.download.DownloadManager, "download", lambda self, url: archive)
        monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: io.BytesIO())
        assert prepare_crackforest(tmp_path, "").sizes["test"] == 5


class TestSegmentation:
    @pytest.mark.parametrize("kind", [np.uint8, np.float64])
    def test_only_region_two_is_crack(self, tmp_path, kind):
        save_segmentation(tmp_path / "a.mat", np.array([[1, 2, 3], [4, 2, 1]], kind))
        mask = read_segmentation(tmp_path / "a.mat")
        assert mask.mode == "L"
        np.testing.assert_array_equal(mask, [[0, 255, 0], [0, 255, 0]])

    @pytest.mark.parametrize(
        "contents",
        [
            {"other": 1},
            {"groundTruth": 1},
            {"groundTruth": {"Boundaries": np.ones((2, 2))}},
            {"groundTruth": {"Segmentation": "text"}},
            {"groundTruth": {"Segmentation": np.ones((2, 2, 2))}},
            {"groundTruth": {"Segmentation": np.array([["a", 1], [2, 3]], object)}},
            {"groundTruth": {"Segmentation": {"nested": np.ones((2, 2))}}},
            {"groundTruth": np.array([{"Segmentation": np.ones((2, 2))}] * 2)},
        ],
    )
    def test_other_contents(self, tmp_path, contents):
        scipy.io.savemat(tmp_path / "a.mat", contents)
        with pytest.raises(UserError, match=r"a\.mat holds no image groundTruth\.Segmentation: replace it\.$"):
            read_segmentation(tmp_path / "a.mat")

    @pytest.mark.parametrize("value", [0, 5, 255])
    def test_unknown_region(self, tmp_path, value):
        save_segmentation(tmp_path / "a.mat", np.array([[1, 2], [2, value]], np.uint8))
        with pytest.raises(UserError, match=rf"a\.mat has a pixel of value {value} in groundTruth\.Segmentation"):
            read_segmentation(tmp_path / "a.mat")

    def test_damaged_file(self, tmp_path):
        path = tmp_path / "a.mat"
        save_segmentation(path, regions(1))
        whole = path.read_bytes()
        damaged = bytearray(whole)
        damaged[len(whole) // 2] ^= 255
        for data in (
            b"",
            whole[:60],
            whole[:200],
            whole[:-30],
            bytes(damaged),
            b"MATLAB 7.3 MAT-file".ljust(600, b"\0"),
        ):
            path.write_bytes(data)
            with pytest.raises(UserError, match=r"a\.mat cannot be read as a MATLAB file: replace it\.$"):
                read_segmentation(path)


class TestFailures:
    def test_missing_mask(self, copy, tmp_path):
        (copy / "groundTruth/003.mat").unlink()
        with pytest.raises(UserError, match=r"image/003\.jpg has no mask 003\.mat in \S+groundTruth"):
            prepare_crackforest(tmp_path, copy)

    def test_missing_image(self, copy, tmp_path):
        (copy / "image/003.jpg").unlink()
        with pytest.raises(UserError, match=r"groundTruth/003\.mat has no image 003\.jpg in \S+image"):
            prepare_crackforest(tmp_path, copy)

    def test_bad_files_can_be_skipped(self, copy, tmp_path):
        (copy / "groundTruth/003.mat").unlink()
        (copy / "image/004.jpg").unlink()
        (copy / "image/005.jpg").write_bytes((copy / "image/005.jpg").read_bytes()[:200])
        data = prepare_crackforest(tmp_path, copy, skip_bad=True)
        assert sum(data.sizes.values()) == COUNT - 3
        for name in ("003.jpg has no mask", "004.mat has no image", "005.jpg cannot be read"):
            assert sum(name in sentence for sentence in data.skipped) == 1

    def test_mask_of_another_size(self, copy, tmp_path):
        save_segmentation(copy / "groundTruth/003.mat", regions(3, size=(9, 6)))
        with pytest.raises(UserError, match=r"image/003\.jpg is 9 x 6 pixels but its mask \S+003\.mat is 6 x 9"):
            prepare_crackforest(tmp_path, copy)

    def test_no_network(self, tmp_path, monkeypatch):
        def urlopen(*_, **__):
            raise TimeoutError("timed out")

        monkeypatch.setattr("urllib.request.urlopen", urlopen)
        with pytest.raises(
            UserError, match=r"master\.zip cannot be downloaded: clone .*CrackForest-dataset .*manual_dir"
        ):
            prepare_crackforest(tmp_path, "")


@pytest.mark.skipif(not REAL.is_dir(), reason="needs ../shared/datasets/crackforest: the published images")
class TestRealImages:
    def test_images_with_a_mask(self):
        names = [image.name for image in find_images(REAL)]
        assert names == [f"image/{number:03d}.jpg" for number in range(1, 119)]

    def test_split(self):
        splits = split_by_hash(find_images(REAL), test_share=0.4)
        assert {split: len(members) for split, members in splits.items()} == {"train": 64, "validation": 7, "test": 47}

    def test_every_image_has_a_crack(self):
        shares = [np.mean(np.asarray(read_segmentation(path)) == 255) for path in (REAL / "groundTruth").iterdir()]
        assert min(shares) > 0.003
        assert np.mean(shares) == pytest.approx(0.01616, abs=1e-5)
