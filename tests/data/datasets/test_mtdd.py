import io
import ssl
import urllib.error
import zipfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.fft
import scipy.ndimage
import tensorflow_datasets as tfds
from PIL import Image
from published_datasets import found_in

from dms_jax.data.datasets.archives import unpack
from dms_jax.data.datasets.mtdd import (
    Mtdd,
    group_names,
    paper_test_names,
    split_images,
)
from dms_jax.data.prepare import prepare
from dms_jax.errors import UserError

REAL = Path(__file__).parents[4] / "shared" / "datasets" / "mtdd"
FOLDERS = ("MT_Free", "MT_Blowhole", "MT_Break", "MT_Crack", "MT_Fray", "MT_Uneven")
CONFIGS = ("paper", "tiles")

needs_real_images = pytest.mark.skipif(not REAL.is_dir(), reason="the images of MTDD are not here")


def add_image(root, name, level=100, size=(9, 7)):
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", size, level).save(path)
    mask = Image.new("L", size, 0)
    if not name.startswith("MT_Free"):
        mask.putpixel((2, 3), 255)
        mask.putpixel((3, 3), 60)
    mask.save(path.with_suffix(".png"))


def make_dataset(root, frames_per_class=3):
    """A dataset of a few tiles of two images for each class."""
    for folder in FOLDERS:
        for tile in range(frames_per_class):
            for exposure in (1, 2):
                add_image(root, f"{folder}/Imgs/exp{exposure}_num_{tile * 1000 + exposure}.jpg")
    return root


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return make_dataset(tmp_path_factory.mktemp("mtdd"))


@pytest.fixture
def copy(tmp_path):
    return make_dataset(tmp_path / "mtdd")


def prepare_tiles(tmp_path, manual_dir, **options):
    return prepare("mtdd", split="tiles", data_dir=str(tmp_path / "data"), manual_dir=str(manual_dir), **options)


@pytest.fixture(scope="module")
def real_images():
    return found_in("mtdd")


def signs(path):
    """Whether each block of 6 x 6 pixels is brighter or darker than those along its row and column, -1, 0 or 1."""
    blocks = np.asarray(Image.open(path).convert("L").reduce(6), np.float64)
    for axis in (0, 1):
        blocks = blocks - scipy.ndimage.uniform_filter1d(blocks, 7, axis=axis)
    return np.sign(blocks).astype(np.float32)


@pytest.fixture(scope="module")
def agreement(real_images):
    """How far the signs of each two images agree where they overlap, by names; -1..1, 0 for two of one class and time.

    An independent measure of what `join_groups` finds: of signs and not of strengths, on another grid, for all pairs of
    images that overlap, and none is tilted.
    """
    images = [signs(image.image_path) for image in real_images]
    near = group_names(image.name for image in real_images)
    groups = np.array([near[image.name] for image in real_images])
    sizes = np.array([image.shape for image in images])
    frame = [scipy.fft.next_fast_len(int(longest) + 4, True) for longest in sizes.max(axis=0)]
    upright, turned = (np.stack([scipy.fft.rfft2(i[::step, ::step], frame) for i in images]) for step in (1, -1))
    shifts = np.arange(-4, 5)
    # Of the inverse transform nine shifts each way are needed: a small matrix from both sides.
    down, across = (np.exp(2j * np.pi * np.outer(np.arange(size), shifts) / size) / size for size in frame)
    # Of a real image's spectrum one half is kept.
    half = np.arange(frame[1] // 2 + 1)
    across = across[half] * np.where((half == 0) | (2 * half == frame[1]), 1, 2)[:, None]
    down, across = down.T.astype(np.complex64), across.astype(np.complex64)
    found = np.zeros((len(images), len(images)))
    close = np.triu((np.abs(sizes[:, None] - sizes) <= 10).all(-1) & (groups[:, None] != groups))
    for i in range(len(images)):
        others = np.flatnonzero(close[i])
        overlap = [
            np.minimum(sizes[i, axis], sizes[others, axis, None] - shifts) - np.maximum(0, -shifts) for axis in (0, 1)
        ]
        area = overlap[0][:, :, None] * overlap[1][:, None, :]
        for spectra in (upright, turned):
            sums = (down @ (upright[i].conj() * spectra[others] @ across)).real
            best = (sums / area).max(axis=(1, 2))
            found[i, others] = np.maximum(found[i, others], best)
    found = np.maximum(found, found.T)
    index = {image.name: i for i, image in enumerate(real_images)}
    return lambda one, other: found[np.ix_([index[i.name] for i in one], [index[i.name] for i in other])]


# Of `agreement`: two tiles agree by 0.214 at most, and one tile by more, but for a few that were tilted.
TWINS = 0.25


class TestGroups:
    def test_groups_keep_classes_apart(self):
        names = ["MT_A/Imgs/exp1_num_10.jpg", "MT_A/Imgs/exp6_num_210.jpg", "MT_B/Imgs/exp1_num_11.jpg"]
        assert group_names(names) == {names[0]: "MT_A/10", names[1]: "MT_A/10", names[2]: "MT_B/11"}

    def test_unknown_file_name_is_named(self):
        with pytest.raises(UserError, match=r"MT_Free/Imgs/photo\.jpg is not named like"):
            group_names(["MT_Free/Imgs/photo.jpg"])


def test_paper_test_names():
    names = paper_test_names()
    assert len(names) == 226
    assert Counter(name.partition("/")[0] for name in names) == {
        "MT_Free": 152, "MT_Blowhole": 15, "MT_Break": 15, "MT_Crack": 15, "MT_Fray": 8, "MT_Uneven": 21,
    }  # fmt: skip
    assert Counter(name.partition("Imgs/")[2][:4] for name in names) == {"exp6": 215, "exp5": 11}


# The groups by name that show one tile. Each pair was looked at.
JOINED = [
    ["MT_Blowhole/346311", "MT_Free/346332"],
    ["MT_Blowhole/853", "MT_Fray/797", "MT_Free/743"],
    ["MT_Break/116934", "MT_Free/116949"],
    ["MT_Break/148977", "MT_Free/148923"],
    ["MT_Break/276373", "MT_Crack/276355"],
    ["MT_Break/77583", "MT_Fray/77531"],
    ["MT_Crack/85602", "MT_Crack/86828", "MT_Crack/88149"],
    ["MT_Fray/136254", "MT_Fray/136676"],
    ["MT_Fray/331149", "MT_Free/331174"],
    ["MT_Free/10181", "MT_Free/8676", "MT_Free/9196"],
    ["MT_Free/13526", "MT_Free/5874"],
    ["MT_Free/257630", "MT_Free/257938"],
    ["MT_Free/283203", "MT_Free/283465"],
    ["MT_Free/306425", "MT_Free/309352", "MT_Free/309648"],
    ["MT_Free/337646", "MT_Free/349824"],
    ["MT_Free/355636", "MT_Free/358102"],
    ["MT_Free/37056", "MT_Free/37556"],
    ["MT_Free/53011", "MT_Free/65001"],
    ["MT_Uneven/124236", "MT_Uneven/124592"],
]


@needs_real_images
class TestRealImages:
    def test_counts(self, real_images):
        counts = Counter(image.label for image in real_images)
        assert counts == {"free": 952, "blowhole": 115, "break": 85, "crack": 57, "fray": 32, "uneven": 103}
        assert len({image.name for image in real_images}) == 1344

    def test_groups_by_name(self, real_images):
        near = group_names(image.name for image in real_images)
        sizes = Counter(Counter(near.values()).values())
        assert sum(sizes.values()) == 222
        assert sizes[6] == 175

    def test_groups(self, real_images):
        near = group_names(image.name for image in real_images)
        joined = {}
        for image in real_images:
            joined.setdefault(image.group, set()).add(near[image.name])
        assert len(joined) == 199
        assert sorted(sorted(names) for names in joined.values() if len(names) > 1) == JOINED
        for group, names in joined.items():
            assert group == min(names)

    def test_paper_split_is_the_published_one(self, real_images):
        splits = split_images(real_images, "paper")
        assert {image.name for image in splits["test"]} == paper_test_names()
        assert len(splits["train"]) + len(splits["validation"]) == 1118

    def test_paper_split_leaks(self, real_images):
        splits = split_images(real_images, "paper")
        rest = {image.group for image in [*splits["train"], *splits["validation"]]}
        assert all(image.group in rest for image in splits["test"])
        near = group_names(image.name for image in real_images)
        rest = {near[image.name] for image in [*splits["train"], *splits["validation"]]}
        assert sum(near[image.name] in rest for image in splits["test"]) == 224

    @pytest.mark.parametrize(
        ("config", "held_out", "others", "by_name"),
        [
            ("tiles", "test", ("train", "validation"), 37),
            ("tiles", "validation", ("train",), 6),
            ("paper", "validation", ("train",), 10),
        ],
    )
    def test_no_image_has_a_twin_in_another_split(self, real_images, agreement, config, held_out, others, by_name):
        def twins(images):
            splits = split_images(images, config)
            rest = [image for split in others for image in splits[split]]
            return np.count_nonzero(agreement(splits[held_out], rest).max(axis=1) > TWINS)

        assert twins(real_images) == 0
        near = group_names(image.name for image in real_images)
        assert twins([replace(image, group=near[image.name]) for image in real_images]) == by_name

    def test_images_of_different_groups_differ(self, real_images, agreement):
        groups = np.array([image.group for image in real_images])
        found = agreement(real_images, real_images)
        assert found[groups[:, None] != groups].max() < 0.22

    @pytest.mark.parametrize("config", CONFIGS)
    def test_every_image_is_in_one_split(self, real_images, config):
        splits = split_images(real_images, config)
        names = [image.name for members in splits.values() for image in members]
        assert sorted(names) == [image.name for image in real_images]

    @pytest.mark.parametrize("config", CONFIGS)
    def test_every_split_has_every_class(self, real_images, config):
        for members in split_images(real_images, config).values():
            assert {image.label for image in members} == set(Mtdd.CLASS_NAMES)

    @pytest.mark.parametrize(("config", "apart"), [("paper", 2), ("tiles", 3)])
    def test_groups_stay_whole(self, real_images, config, apart):
        splits = list(split_images(real_images, config).values())[:apart]
        groups = [{image.group for image in members} for members in splits]
        assert sum(map(len, groups)) == len(set.union(*groups))

    def test_tiles_shares(self, real_images):
        splits = split_images(real_images, "tiles")
        groups = {
            split: Counter(group.partition("/")[0] for group in {image.group for image in members})
            for split, members in splits.items()
        }
        for folder in FOLDERS:
            train, validation, test = (groups[split][folder] for split in ("train", "validation", "test"))
            total = train + validation + test
            assert abs(test - total / 5) <= 0.5
            assert abs(validation - max(1, (total - test) / 10)) <= 0.5


class TestPrepared:
    def test_paper(self, tmp_path):
        root = make_dataset(tmp_path / "mtdd", frames_per_class=3)
        for name in paper_test_names():
            add_image(root, name, size=(4, 4))
        data = prepare("mtdd", data_dir=str(tmp_path / "data"), manual_dir=str(root))
        assert data.config == "paper"
        assert data.sizes["test"] == 226
        assert "All 226 published test images" in data.notes[0]
        test = data.source("test")
        assert {test[i]["name"] for i in range(226)} == paper_test_names()

    def test_tiles(self, small, tmp_path):
        data = prepare_tiles(tmp_path, small)
        assert data.class_names == ("free", "blowhole", "break", "crack", "fray", "uneven")
        assert data.free_class == 0
        # Of three tiles of two images, each split has one in every class.
        assert data.sizes == {"train": 12, "validation": 12, "test": 12}
        groups = [
            {(e := source[i])["group"] + data.class_names[e["label"]] for i in range(len(source))}
            for source in map(data.source, data.sizes)
        ]
        assert len(set.union(*groups)) == sum(map(len, groups)) == 18

    def test_example_is_the_file(self, small, tmp_path):
        source = prepare_tiles(tmp_path, small).source("train")
        for i in range(len(source)):
            example = source[i]
            image = np.asarray(Image.open(small / example["name"]))
            mask = np.asarray(Image.open((small / example["name"]).with_suffix(".png")))
            np.testing.assert_array_equal(example["image"], np.stack([image] * 3, -1))
            np.testing.assert_array_equal(example["mask"], mask[..., None])
            assert example["image"].shape == (7, 9, 3)

    def test_folder_around_the_dataset_is_accepted(self, small, tmp_path):
        parent = tmp_path / "around"
        parent.mkdir()
        (parent / "readme.md").touch()
        (parent / "repository").symlink_to(small)
        assert sum(prepare_tiles(tmp_path, parent).sizes.values()) == 36


class TestFailures:
    def test_unknown_class_folder(self, copy, tmp_path):
        add_image(copy, "MT_Foo/Imgs/exp1_num_1.jpg")
        with pytest.raises(UserError, match="MT_Foo is no class of this dataset"):
            prepare_tiles(tmp_path, copy)

    def test_missing_mask(self, copy, tmp_path):
        (copy / "MT_Crack/Imgs/exp1_num_1.png").unlink()
        with pytest.raises(UserError, match=r"exp1_num_1\.jpg has no mask exp1_num_1\.png"):
            prepare_tiles(tmp_path, copy)

    def test_missing_image(self, copy, tmp_path):
        (copy / "MT_Crack/Imgs/exp1_num_1.jpg").unlink()
        with pytest.raises(UserError, match=r"exp1_num_1\.png has no image exp1_num_1\.jpg"):
            prepare_tiles(tmp_path, copy)
        data = prepare_tiles(tmp_path, copy, skip_bad=True)
        assert sum(data.sizes.values()) == 35
        assert "exp1_num_1.png has no image" in data.skipped[0]

    def test_class_without_images(self, copy, tmp_path):
        for path in (copy / "MT_Fray/Imgs").iterdir():
            path.unlink()
        with pytest.raises(UserError, match="MT_Fray/Imgs holds no images"):
            prepare_tiles(tmp_path, copy)

    def test_folder_without_dataset(self, tmp_path):
        (tmp_path / "other").mkdir()
        (tmp_path / "other" / "notes.txt").touch()
        with pytest.raises(UserError, match=r"other holds none of the folders MT_Free.*manual_dir"):
            prepare_tiles(tmp_path, tmp_path / "other")

    def test_folder_that_may_not_be_read(self, tmp_path, monkeypatch):
        entries = Path.iterdir

        def refuse(path):
            if path.name == "closed":
                raise PermissionError(13, "Permission denied")
            return entries(path)

        (tmp_path / "closed").mkdir()
        monkeypatch.setattr(Path, "iterdir", refuse)
        with pytest.raises(UserError, match=r"closed cannot be read \(Permission denied\): change its permissions\.$"):
            prepare_tiles(tmp_path, tmp_path / "closed")

    @pytest.mark.parametrize("create", [False, True])
    def test_missing_or_empty_folder(self, tmp_path, create):
        if create:
            (tmp_path / "nothing").mkdir()
        with pytest.raises(UserError, match="nothing is not a folder with files"):
            prepare_tiles(tmp_path, tmp_path / "nothing")

    def test_missing_test_images(self, small, tmp_path):
        with pytest.raises(UserError, match=r"MT_Blowhole/Imgs/exp.*\.jpg is missing, one of 226 missing"):
            prepare("mtdd", split="paper", data_dir=str(tmp_path), manual_dir=str(small))

    def test_mask_of_another_size(self, copy, tmp_path):
        Image.new("L", (4, 4)).save(copy / "MT_Free/Imgs/exp1_num_1.png")
        with pytest.raises(UserError, match=r"exp1_num_1\.jpg is 9 x 7 pixels .*exp1_num_1\.png is 4 x 4"):
            prepare_tiles(tmp_path, copy)

    def test_too_few_tiles(self, tmp_path):
        with pytest.raises(UserError, match="too few groups of images to give 'validation'"):
            prepare_tiles(tmp_path, make_dataset(tmp_path / "mtdd", frames_per_class=2))


class TestDownload:
    @pytest.fixture
    def archive(self, small, tmp_path):
        path = tmp_path / "master.zip"
        with zipfile.ZipFile(path, "w") as opened:
            for file in small.rglob("*.*"):
                opened.write(file, Path("Magnetic-tile-defect-datasets.-master") / file.relative_to(small))
        return path

    @staticmethod
    def serve(monkeypatch, answer):
        def download(self, url):
            assert url == "https://github.com/abin24/Magnetic-tile-defect-datasets./archive/refs/heads/master.zip"
            if isinstance(answer, Exception):
                raise answer
            return answer

        monkeypatch.setattr(tfds.download.DownloadManager, "download", download)
        monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: io.BytesIO())

    @staticmethod
    def answer(monkeypatch, error):
        def urlopen(*_, **__):
            raise error

        monkeypatch.setattr("urllib.request.urlopen", urlopen)

    def test_archive_is_unpacked_and_removed(self, archive, small, tmp_path, monkeypatch):
        self.serve(monkeypatch, archive)
        unpacked = tmp_path / "unpacked"
        unpacked.mkdir()
        monkeypatch.setattr("tempfile.tempdir", str(unpacked))
        data = prepare_tiles(tmp_path, "")
        assert data.sizes == {"train": 12, "validation": 12, "test": 12}
        assert list(unpacked.iterdir()) == []

    def test_default_manual_folder_comes_first(self, small, tmp_path, monkeypatch):
        self.serve(monkeypatch, AssertionError("no download was needed"))
        default = tmp_path / "data" / "downloads" / "manual"
        default.mkdir(parents=True)
        (default / "mtdd").symlink_to(small)
        assert prepare_tiles(tmp_path, "").sizes["test"] == 12

    def test_default_manual_folder_may_hold_other_datasets(self, archive, tmp_path, monkeypatch):
        self.serve(monkeypatch, archive)
        (tmp_path / "data" / "downloads" / "manual" / "other").mkdir(parents=True)
        assert prepare_tiles(tmp_path, "").sizes["test"] == 12

    @pytest.mark.parametrize("error", [OSError("no route to host"), tfds.download.DownloadError("HTTP code: 404")])
    def test_no_network(self, tmp_path, monkeypatch, error):
        self.serve(monkeypatch, error)
        with pytest.raises(UserError, match=r"master\.zip cannot be downloaded.*--config\.data\.manual_dir=DIR"):
            prepare_tiles(tmp_path, "")

    @pytest.mark.parametrize("error", [urllib.error.URLError("unknown host"), TimeoutError("timed out")])
    def test_no_network_is_noticed_before_the_retries_of_tfds(self, tmp_path, monkeypatch, error):
        self.serve(monkeypatch, AssertionError("not to be tried"))
        self.answer(monkeypatch, error)
        with pytest.raises(UserError, match=r"master\.zip cannot be downloaded"):
            prepare_tiles(tmp_path, "")

    @pytest.mark.parametrize(
        "error",
        [
            urllib.error.HTTPError("", 405, "HEAD is not allowed", None, None),
            urllib.error.URLError(ssl.SSLError("unknown certificate")),
        ],
    )
    def test_server_that_answers_is_tried(self, archive, tmp_path, monkeypatch, error):
        self.serve(monkeypatch, archive)
        self.answer(monkeypatch, error)
        assert prepare_tiles(tmp_path, "").sizes["test"] == 12

    def test_kept_archive_needs_no_network(self, archive, tmp_path, monkeypatch):
        self.serve(monkeypatch, archive)
        self.answer(monkeypatch, urllib.error.URLError("unknown host"))
        kept = tmp_path / "data" / "downloads" / "mtdd" / "master.zip"
        kept.parent.mkdir(parents=True)
        kept.touch()
        assert prepare_tiles(tmp_path, "").sizes["test"] == 12

    def test_broken_download_leaves_nothing(self, tmp_path, monkeypatch):
        kept = tmp_path / "data" / "downloads" / "mtdd"
        (kept / "master.zip.tmp.other").mkdir(parents=True)

        def download(self, url):
            (kept / "master.zip.tmp.ours").mkdir()
            (kept / "master.zip.tmp.ours" / "master.zip").write_bytes(b"half")
            raise ConnectionError("reset")

        self.serve(monkeypatch, None)
        monkeypatch.setattr(tfds.download.DownloadManager, "download", download)
        with pytest.raises(UserError, match="cannot be downloaded"):
            prepare_tiles(tmp_path, "")
        assert [path.name for path in kept.iterdir()] == ["master.zip.tmp.other"]

    def test_archive_of_something_else(self, tmp_path, monkeypatch):
        path = tmp_path / "other.zip"
        with zipfile.ZipFile(path, "w") as opened:
            opened.writestr("readme.md", "moved")
        self.serve(monkeypatch, path)
        with pytest.raises(UserError, match=r"master\.zip holds none of the folders"):
            prepare_tiles(tmp_path, "")

    @pytest.mark.parametrize("damage", [lambda data: data[:-100], lambda data: data.replace(b"JFIF", b"OOPS")])
    def test_damaged_archive_is_named(self, archive, tmp_path, damage):
        archive.write_bytes(damage(archive.read_bytes()))
        with pytest.raises(UserError, match=r"master\.zip is not a whole zip archive"):
            unpack(archive, tmp_path / "folder")
