import os
import re
from pathlib import Path

import pytest

from dms_jax.data.datasets.files import files_by_stem, find_folder, find_root, pair_files
from dms_jax.errors import UserError


def make(root, *paths):
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()


class TestFindFolder:
    @pytest.mark.parametrize("name", ["Rail surface images", "rail Surface IMAGES", "Rail_surface_images"])
    def test_case_spaces_and_underscores_do_not_matter(self, tmp_path, name):
        (tmp_path / "Type-I" / name).mkdir(parents=True)
        assert find_folder(tmp_path, "type-i/Rail surface images") == tmp_path / "Type-I" / name

    def test_exact_name_comes_first(self, tmp_path):
        for name in ("IMAGE", "image", "Image"):
            (tmp_path / name).mkdir()
        assert find_folder(tmp_path, "image").name == "image"

    def test_other_names_and_files_do_not_count(self, tmp_path):
        (tmp_path / "images2").mkdir()
        (tmp_path / "Images").touch()
        assert find_folder(tmp_path, "images/train") == tmp_path / "images" / "train"
        assert not find_folder(tmp_path, "images").exists()


class TestFindRoot:
    def test_folder_itself(self, tmp_path):
        (tmp_path / "image").mkdir()
        assert find_root(tmp_path, ("groundTruth", "image")) == tmp_path

    def test_folder_around(self, tmp_path):
        make(tmp_path, "readme.md", "other/notes.txt", "Dataset/Ground Truth/1.mat")
        assert find_root(tmp_path, ("groundTruth",)) == tmp_path / "Dataset"

    def test_several_or_none(self, tmp_path):
        make(tmp_path, "a/notes.txt", "b/image/1.jpg")
        assert find_root(tmp_path / "a", ("image",)) is None
        make(tmp_path, "a/image/1.jpg")
        assert find_root(tmp_path, ("image",)) is None

    def test_what_may_not_be_read_is_no_root(self, tmp_path, monkeypatch):
        """The folder lost+found, where a whole disk is named."""
        make(tmp_path, "lost+found/image/1.jpg", "b/image/1.jpg")
        status, entries = os.stat, os.scandir

        def refuse_below(path, *args, **options):
            if "lost+found/" in str(path):
                raise PermissionError(13, "Permission denied", str(path))
            return status(path, *args, **options)

        def refuse(path):
            if Path(path).name in ("lost+found", "closed"):
                raise PermissionError(13, "Permission denied", str(path))
            return entries(path)

        monkeypatch.setattr(os, "stat", refuse_below)
        monkeypatch.setattr(os, "scandir", refuse)
        assert find_root(tmp_path, ("image",)) == tmp_path / "b"
        (tmp_path / "closed").mkdir()
        assert find_root(tmp_path / "closed", ("image",)) is None

    def test_no_file_of_many_is_looked_at(self, tmp_path, monkeypatch):
        """A user's folder is looked at each time that it is used, and may hold many thousands of images."""
        make(tmp_path, *(f"{folder}{i}.jpg" for folder in ("", "a/", "b/image/") for i in range(50)))
        status, looked_at = os.stat, []

        def counted(path, *args, **options):
            if str(path).startswith(str(tmp_path)):
                looked_at.append(path)
            return status(path, *args, **options)

        monkeypatch.setattr(os, "stat", counted)
        assert find_root(tmp_path, ("image",)) == tmp_path / "b"
        assert len(looked_at) < 20


class TestFilesByStem:
    def test_suffix_in_any_case_and_no_hidden_files(self, tmp_path):
        make(tmp_path, "2.JPG", "1.jpg", "._1.jpg", "3.png")
        found = files_by_stem(tmp_path, ".jpg", "images", "fix it")
        assert list(found.items()) == [("1", tmp_path / "1.jpg"), ("2", tmp_path / "2.JPG")]

    @pytest.mark.parametrize("folder", ["", "absent"])
    def test_none(self, tmp_path, folder):
        make(tmp_path, "1.png")
        with pytest.raises(UserError, match=r"holds no images \(\*\.jpg\): fix it\.$"):
            files_by_stem(tmp_path / folder, ".jpg", "images", "fix it")


class TestPairFiles:
    def test_pairs(self, tmp_path):
        pairs = {"1": (tmp_path / "1.jpg", tmp_path / "1.png")}
        assert pair_files({"1": tmp_path / "1.jpg"}, {"1": tmp_path / "1.png"}) == pairs

    @pytest.mark.parametrize(
        ("images", "masks", "message"),
        [
            ("12", "1", r"/images/2\.jpg has no mask 2\.png in \S+/masks: restore it or remove both"),
            ("1", "12", r"/masks/2\.png has no image 2\.jpg in \S+/images: restore it or remove both"),
        ],
    )
    def test_what_is_missing_is_named(self, tmp_path, images, masks, message):
        files = (
            {stem: tmp_path / "images" / f"{stem}.jpg" for stem in images},
            {stem: tmp_path / "masks" / f"{stem}.png" for stem in masks},
        )
        with pytest.raises(UserError, match=rf"{message}, or leave such files out with --skip-bad "):
            pair_files(*files)
        skipped = []
        assert pair_files(*files, skipped) == {"1": (tmp_path / "images/1.jpg", tmp_path / "masks/1.png")}
        (sentence,) = skipped
        assert re.search(rf"{message}\.$", sentence)
