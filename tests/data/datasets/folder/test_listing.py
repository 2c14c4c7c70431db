import os
import sys
import unicodedata
from pathlib import Path

import pytest

from dms_jax.data.datasets.folder.listing import list_folder
from dms_jax.data.datasets.folder.tree import class_name
from dms_jax.errors import UserError


def touch(root, *names):
    """Empty files: nothing is opened here."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def listed(root):
    """Every usable image: its label, its split and the path of its mask relative to the root."""
    return {
        image.name: (
            image.label,
            image.split,
            image.mask_path and image.mask_path.relative_to(root).as_posix(),
        )
        for image in list_folder(root).images
    }


class TestLayouts:
    def test_split_folders(self, tmp_path):
        touch(tmp_path, "train/good/1.png", "train/dent/1.png", "test/dent/1.jpg", "validation/good/7.bmp")
        touch(tmp_path, "masks/train/dent/1.png", "masks/test/dent/1.tif")
        assert listed(tmp_path) == {
            "test/dent/1.jpg": ("dent", "test", "masks/test/dent/1.tif"),
            "train/dent/1.png": ("dent", "train", "masks/train/dent/1.png"),
            "train/good/1.png": ("good", "train", None),
            "validation/good/7.bmp": ("good", "validation", None),
        }
        assert list_folder(tmp_path).splits == {"train", "validation", "test"}
        assert list_folder(tmp_path).problems == ()

    def test_class_folders_alone(self, tmp_path):
        touch(tmp_path, "good/1.png", "dent/1.png", "dent/2.png", "masks/dent/2.png")
        assert listed(tmp_path) == {
            "dent/1.png": ("dent", None, None),
            "dent/2.png": ("dent", None, "masks/dent/2.png"),
            "good/1.png": ("good", None, None),
        }
        assert list_folder(tmp_path).splits == frozenset()

    def test_mvtec(self, tmp_path):
        touch(tmp_path, "train/good/000.png", "test/good/000.png", "test/hole/000.png", "test/hole/001.png")
        touch(tmp_path, "ground_truth/hole/000_mask.png", "ground_truth/hole/001.png")
        assert listed(tmp_path) == {
            "test/good/000.png": ("good", "test", None),
            "test/hole/000.png": ("hole", "test", "ground_truth/hole/000_mask.png"),
            "test/hole/001.png": ("hole", "test", "ground_truth/hole/001.png"),
            "train/good/000.png": ("good", "train", None),
        }

    def test_ground_truth_is_of_test_alone(self, tmp_path):
        touch(tmp_path, "train/hole/000.png", "test/hole/001.png", "ground_truth/hole/000.png")
        assert listed(tmp_path)["train/hole/000.png"] == ("hole", "train", None)
        (problem,) = list_folder(tmp_path).problems
        assert problem.startswith(f"{tmp_path}/ground_truth/hole/000.png is a mask of no image")

    def test_ground_truth_of_class_folders(self, tmp_path):
        touch(tmp_path, "hole/000.png", "ground_truth/hole/000_mask.png")
        assert listed(tmp_path) == {"hole/000.png": ("hole", None, "ground_truth/hole/000_mask.png")}

    def test_names_of_split_folders(self, tmp_path):
        touch(tmp_path, "Train/a/1.png", "val/a/1.png", "masks/train/a/1.png", "masks/validation/a/1.png")
        assert listed(tmp_path) == {
            "Train/a/1.png": ("a", "train", "masks/train/a/1.png"),
            "val/a/1.png": ("a", "validation", "masks/validation/a/1.png"),
        }

    def test_folders_within_a_class(self, tmp_path):
        touch(tmp_path, "dent/monday/1.png", "dent/tuesday/1.png", "masks/dent/tuesday/1.png")
        assert listed(tmp_path) == {
            "dent/monday/1.png": ("dent", None, None),
            "dent/tuesday/1.png": ("dent", None, "masks/dent/tuesday/1.png"),
        }

    def test_linked_folders(self, tmp_path):
        touch(tmp_path / "elsewhere", "1.png")
        (tmp_path / "root").mkdir()
        (tmp_path / "root/dent").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
        assert listed(tmp_path / "root") == {"dent/1.png": ("dent", None, None)}

    def test_an_image_may_be_named_like_a_mask(self, tmp_path):
        touch(tmp_path, "dent/1.png", "dent/1_mask.png", "masks/dent/1_mask.png")
        assert listed(tmp_path)["dent/1_mask.png"][2] == "masks/dent/1_mask.png"
        assert listed(tmp_path)["dent/1.png"][2] is None

    def test_only_the_last_ending_is_no_part_of_the_name(self, tmp_path):
        touch(tmp_path, "dent/1.a.png", "dent/1.b.png", "masks/dent/1.b.png")
        assert listed(tmp_path)["dent/1.a.png"][2] is None
        assert listed(tmp_path)["dent/1.b.png"][2] == "masks/dent/1.b.png"

    def test_names_that_are_not_ascii(self, tmp_path):
        composed, decomposed = (unicodedata.normalize(form, "Ölfleck/größe 測試") for form in ("NFC", "NFD"))
        assert composed != decomposed
        touch(tmp_path, f"train/{decomposed}.png", f"test/{composed}.png", f"masks/train/{composed}.png")
        assert listed(tmp_path) == {
            f"train/{decomposed}.png": ("Ölfleck", "train", f"masks/train/{composed}.png"),
            f"test/{composed}.png": ("Ölfleck", "test", None),
        }

    def test_classes_with_masks(self, tmp_path):
        touch(tmp_path, "train/a/1.png", "train/b/1.png", "train/c/1.png", "test/d/1.png", "train/e/1.png")
        touch(tmp_path, "masks/train/a/1.png", "masks/train/b/unreadable.npy", "masks/train/c/of_no_image.png")
        touch(tmp_path, "ground_truth/d/1.png")
        assert list_folder(tmp_path).masked == {"a", "b", "c", "d"}


class TestProblems:
    def test_two_images_of_one_name(self, tmp_path):
        touch(tmp_path, "a/1.png", "a/1.jpg", "b/1.png", "masks/a/1.png")
        listing = list_folder(tmp_path)
        assert [image.name for image in listing.images] == ["b/1.png"]
        (problem,) = listing.problems
        assert problem.startswith(f"{tmp_path}/a/1.jpg and {tmp_path}/a/1.png have the same name but for its ending")

    def test_two_masks_of_one_image(self, tmp_path):
        touch(tmp_path, "test/a/1.png", "masks/test/a/1.png", "ground_truth/a/1_mask.png")
        listing = list_folder(tmp_path)
        assert listing.images == ()
        (problem,) = listing.problems
        assert f"{tmp_path}/ground_truth/a/1_mask.png and {tmp_path}/masks/test/a/1.png have the same" in problem

    @pytest.mark.parametrize("name", ["masks/a/2.png", "masks/b/1.png", "masks/1/1.png"])
    def test_mask_of_no_image(self, tmp_path, name):
        touch(tmp_path, "a/1.png", name)
        (problem,) = list_folder(tmp_path).problems
        assert problem.startswith(f"{tmp_path}/{name} is a mask of no image")

    @pytest.mark.skipif(sys.platform != "linux", reason="needs a file system that takes any bytes for a name")
    @pytest.mark.parametrize("name", [b"a/x\xff.png", b"b\xff/1.png", b"masks/a/x\xff.png"])
    def test_name_that_is_not_utf8(self, tmp_path, name):
        touch(tmp_path, "a/1.png")
        path = os.path.join(os.fsencode(tmp_path), name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        open(path, "w").close()
        listing = list_folder(tmp_path)
        assert [image.name for image in listing.images] == ["a/1.png"]
        (problem,) = listing.problems
        problem.encode()
        shown = name.decode("utf-8", "backslashreplace")
        assert problem == f"{tmp_path}/{shown} has a name that is not valid UTF-8: rename it."

    def test_folder_that_may_not_be_read(self, tmp_path, monkeypatch):
        touch(tmp_path, "a/1.png")
        entries = Path.iterdir

        def refuse(path):
            if path.name == "a":
                raise PermissionError(13, "Permission denied")
            return entries(path)

        monkeypatch.setattr(Path, "iterdir", refuse)
        with pytest.raises(UserError, match=r"/a cannot be read \(Permission denied\): change its permissions\.$"):
            list_folder(tmp_path)


class TestIgnored:
    def test_other_files_are_listed_and_hidden_ones_are_not(self, tmp_path):
        touch(tmp_path, "train/a/1.png", "train/a/Thumbs.db", "train/a/1.txt", "masks/train/a/1.json", "readme.md")
        touch(tmp_path, "train/a/.DS_Store", "train/a/._1.png", ".git/x.png", "train/.cache/2.png")
        listing = list_folder(tmp_path)
        assert [image.name for image in listing.images] == ["train/a/1.png"]
        assert listing.problems == ()
        names = ["masks/train/a/1.json", "readme.md", "train/a/1.txt", "train/a/Thumbs.db"]
        assert sorted(listing.ignored) == [f"{tmp_path}/{name}" for name in names]

    def test_images_in_no_class_folder(self, tmp_path):
        touch(tmp_path, "train/a/1.png", "train/2.png", "3.png", "other/a/4.png", "masks/5.png", "masks/train/6.png")
        listing = list_folder(tmp_path)
        assert [image.name for image in listing.images] == ["train/a/1.png"]
        names = ["3.png", "masks/5.png", "masks/train/6.png", "other", "train/2.png"]
        assert sorted(listing.ignored) == [f"{tmp_path}/{name}" for name in names]
        assert listing.splits == {"train"}

    @pytest.mark.parametrize("ending", ["png", "PNG", "jpg", "JPEG", "bmp", "tif", "tiff", "webp", "pgm", "gif"])
    def test_endings_of_images(self, tmp_path, ending):
        touch(tmp_path, f"a/1.{ending}")
        assert len(list_folder(tmp_path).images) == 1

    @pytest.mark.parametrize("ending", ["pdf", "txt", "npy", "csv", "xml", ""])
    def test_endings_of_others(self, tmp_path, ending):
        touch(tmp_path, f"a/1.{ending}")
        assert list_folder(tmp_path).images == ()


def test_files_are_those_of_images_and_masks(tmp_path):
    touch(tmp_path, "a/1.png", "a/2.png", "a/2.jpg", "a/x.txt", "masks/a/1.png", "masks/a/3.png")
    names = ["a/1.png", "a/2.jpg", "a/2.png", "masks/a/1.png", "masks/a/3.png"]
    assert sorted(list_folder(tmp_path).files) == [tmp_path / name for name in names]


def test_empty_folder(tmp_path):
    assert list_folder(tmp_path).images == ()


@pytest.mark.parametrize(
    ("text", "name"), [("a", "a"), ("  oil\tand \n water ", "oil and water"), ("o\u0308l", "öl"), (" ", None)]
)
def test_class_name(text, name):
    assert class_name(text) == name
