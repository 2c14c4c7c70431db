import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from dms_jax.errors import UserError
from dms_jax.inference.folder.listing import ImageFile, list_files, refuse_overwriting, take_shard


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def touch(*paths: str) -> None:
    for path in paths:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).touch()


def listed(*sources: str, passed_over: Sequence[Path] = ()) -> dict[str, str]:
    return {file.path: file.name for file in list_files(sources, passed_over)}


def test_files_folders_and_patterns(folder: Path) -> None:
    touch(
        "in/b.png", "in/a/2.JPG", "in/a/1.tiff", "in/notes.txt", "in/a/mask.json", "x.bmp", "line1/u.png", "line2/v.png"
    )
    assert listed("in") == {"in/a/1.tiff": "a/1", "in/a/2.JPG": "a/2", "in/b.png": "b"}
    assert list(listed("in")) == ["in/a/1.tiff", "in/a/2.JPG", "in/b.png"]
    assert listed("x.bmp", "in/b.png") == {"x.bmp": "x", "in/b.png": "b"}
    assert listed("line*/*.png") == {"line1/u.png": "line1/u", "line2/v.png": "line2/v"}
    assert listed("in/**") == listed("in")
    assert listed(str(folder / "in")) == {str(folder / path): name for path, name in listed("in").items()}
    # A file that is named is an image, whatever it is called.
    assert listed("in/notes.txt") == {"in/notes.txt": "notes"}
    assert listed(".")["in/a/2.JPG"] == "in/a/2"


def test_a_file_is_listed_once(folder: Path) -> None:
    touch("in/a.png", "in/b.png")
    os.symlink("in", "again")
    assert listed("in", "in/a.png", "./in/../in/b.png", "in/*.png", "again") == {"in/a.png": "a", "in/b.png": "b"}


def test_links_are_followed_each_by_its_own_name(folder: Path) -> None:
    touch("store/1.png", "store/2.png")
    os.makedirs("in")
    os.symlink("../store", "in/linked")
    os.symlink("../store/1.png", "in/a.png")
    os.symlink("../store/1.png", "in/b.png")
    os.symlink("..", "in/around")
    os.symlink("nothing", "in/broken.png")
    names = listed("in")
    assert {"a", "b", "linked/1", "linked/2", "broken"} <= set(names.values())
    # Not round and round.
    assert not any("around" in name for name in names.values())
    os.symlink("../in", "store/in")
    assert len(listed("in")) == 5


def test_hidden_files_are_passed_over_unless_they_are_named(folder: Path) -> None:
    touch("in/a.png", "in/._a.png", "in/.thumbnails/a.png", ".hidden/x.png")
    assert listed("in") == listed("in/*") == {"in/a.png": "a"}
    assert listed("in/._a.png") == {"in/._a.png": "._a"}
    assert listed(".hidden") == {".hidden/x.png": "x"}


def test_earlier_predictions_are_no_images_unless_they_are_named(folder: Path) -> None:
    touch("in/a.png", "in/out/maps/a.png", "in/out/overlays/a.jpg", "in/out/b.png")
    written = (Path("in/out/maps"), folder / "in" / "out" / "overlays")
    images = {"in/a.png", "in/out/b.png"}
    assert listed("in", passed_over=written).keys() == images
    assert listed("in/**", passed_over=written).keys() == images
    assert listed("in/out/maps", passed_over=written).keys() == {"in/out/maps/a.png"}
    assert listed("in/out/maps/*", passed_over=written).keys() == {"in/out/maps/a.png"}
    assert listed("in/out/maps/a.png", passed_over=written).keys() == {"in/out/maps/a.png"}


@pytest.mark.parametrize("settings", ["predictions.json", "predictions-2-of-3.json"])
def test_maps_and_overlays_of_any_predictions_are_no_images(folder: Path, settings: str) -> None:
    touch("in/a.png", f"in/out/{settings}", "in/out/maps/a.png", "in/out/overlays/b/a.jpg", "in/maps/c.png")
    assert listed("in").keys() == listed("in/**").keys() == {"in/a.png", "in/maps/c.png"}
    assert listed("in/out/maps").keys() == {"in/out/maps/a.png"}
    with pytest.raises(UserError, match="in/out has no images"):
        listed("in/out")


@pytest.mark.parametrize(
    ("files", "sources", "names"),
    [
        # Only those that need it are called otherwise.
        (["a.png", "a.jpg", "b.png"], ["."], {"a.png", "a.jpg", "b"}),
        (["a.png", "A.jpg"], ["."], {"a.png", "A.jpg"}),
        (["A/x.png", "B/x.png"], ["A", "B"], {"A/x", "B/x"}),
        (["A/x.png", "B/x.png", "B/y.png"], ["A", "B"], {"A/x", "B/x", "y"}),
        (["A/x.png", "A/x.jpg", "B/x.png"], ["A", "B"], {"A/x", "x.jpg", "B/x"}),
        (["1/cam/x.png", "2/cam/x.png"], ["1/cam/x.png", "2/cam/x.png"], {"1/cam/x", "2/cam/x"}),
        (["1/cam/x.png", "2/cam/x.png"], ["1/cam", "2/cam"], {"1/cam/x", "2/cam/x"}),
        (["a b.png", "ä.png", "%s.png", "-rf.png"], ["."], {"a b", "ä", "%s", "-rf"}),
    ],
)
def test_names_differ(files: list[str], sources: list[str], names: set[str], folder: Path) -> None:
    touch(*files)
    assert set(listed(*sources).values()) == names


def test_the_name_that_a_suffix_makes_may_be_another_image_s(folder: Path) -> None:
    touch("in/a.png", "in/a.jpg", "in/a.png.tif")
    assert listed("in") == {"in/a.jpg": "a.jpg", "in/a.png": "in/a", "in/a.png.tif": "a.png.tif"}


def test_what_cannot_be_told_apart_is_refused(folder: Path) -> None:
    touch("a.png", "A.png")
    with pytest.raises(UserError, match=r"^A\.png and a\.png would have the same name .*: predict them apart\.$"):
        listed(".")


def test_names_need_not_be_utf_8_nor_patterns_match_themselves(folder: Path) -> None:
    name = os.fsdecode(b"in/\xff\xfe.png")
    touch(name, "in/[1].png", "in/~x.png", "~nobody-at-all.png", "in/new\nline.png")
    assert listed("in")[name] == os.fsdecode(b"\xff\xfe")
    assert listed("in/[1].png") == {"in/[1].png": "[1]"}
    # The shell has expanded what was a home folder.
    assert listed("~nobody-at-all.png") == {"~nobody-at-all.png": "~nobody-at-all"}
    assert len(listed("in")) == 4


def test_a_pattern_may_not_lead_out_of_the_predictions(folder: Path) -> None:
    touch("in/1/a.png", "other/b.png")
    assert listed("in/*/../../other/*.png") == {"in/1/../../other/b.png": "b"}


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("absent.png", "absent.png does not exist: name a file"),
        ("~nobody-at-all/x", "~nobody-at-all/x does not exist"),
        ("empty", "empty has no images"),
        ("empty/*.png", r"empty/\*.png matches no image"),
        ("", "one of --images is empty"),
    ],
)
def test_what_is_not_there_is_said(source: str, sentence: str, folder: Path) -> None:
    os.makedirs("empty")
    with pytest.raises(UserError, match=sentence):
        listed(source)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read_is_named(folder: Path) -> None:
    touch("in/closed/a.png", "in/b.png")
    os.chmod("in/closed", 0)
    with pytest.raises(UserError, match="in/closed cannot be read"):
        listed("in")
    os.chmod("in/closed", 0o700)


@pytest.mark.parametrize("count", [1, 2, 3, 10])
def test_shards_have_each_file_once(count: int) -> None:
    files = [ImageFile(str(number), str(number)) for number in range(7)]
    shards = [take_shard(files, number, count) for number in range(1, count + 1)]
    assert sorted(file.path for shard in shards for file in shard) == [file.path for file in files]
    assert max(map(len, shards)) - min(map(len, shards)) <= 1


WRITTEN = {Path("out/maps"): ".png", Path("out/overlays"): ".jpg"}


class TestOverwriting:
    def refused(self, *sources: str) -> str:
        with pytest.raises(UserError) as caught:
            refuse_overwriting(list_files(sources), WRITTEN)
        return str(caught.value)

    def test_images_where_predictions_are_written(self, folder: Path) -> None:
        touch("out/maps/a.png", "out/overlays/x/b.jpg", "in/a.png")
        assert self.refused("out/maps") == "out/maps/a.png lies where predictions are written: choose another --output."
        assert self.refused("out/overlays/x/b.jpg").startswith("out/overlays/x/b.jpg lies where")
        refuse_overwriting(list_files(["in"]), WRITTEN)

    def test_images_beside(self, folder: Path) -> None:
        """Also in a folder that begins with the same letters."""
        touch("out/maps2/a.png", "out/b.png")
        refuse_overwriting(list_files(["out/maps2", "out"]), WRITTEN)

    def test_through_links(self, folder: Path) -> None:
        touch("in/a.png", "in/sub/b.png", "other/c.png")
        os.makedirs("out")
        os.symlink("../in", "out/maps")
        assert "in/a.png lies where" in self.refused("in")
        os.remove("out/maps")
        os.makedirs("out/maps")
        os.symlink("../../in/sub", "out/maps/sub")
        assert self.refused("in") == (
            "in/sub/b.png would be overwritten by the prediction of in/sub/b.png: choose another --output."
        )
        os.symlink("../out/maps", "other/link")
        os.symlink(folder / "other" / "c.png", "out/maps/d.png")
        assert "lies where" in self.refused("other/link/d.png")
        # A file is replaced in its folder, and what it was a link to stays.
        os.symlink(folder / "other" / "c.png", "out/maps/c.png")
        refuse_overwriting(list_files(["other/c.png"]), WRITTEN)
