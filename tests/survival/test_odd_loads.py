"""Odd sets of images: each is prepared, trained on, evaluated, predicted and reported, or refused in one sentence."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from odd_images import ROOT, write_image, write_images, write_tiny_config
from PIL import Image
from tiny_run import save_tiny_run

from dms_jax import cli

pytestmark = pytest.mark.filterwarnings(
    # ml_collections reads configuration files in a way that Python will drop one day.
    r"ignore:the load_module\(\) method is deprecated:DeprecationWarning"
)

NAMES = (
    *("a b  c", "ümläut ñ 日本語 🙂", "line\nbreak", "tab\t", "-dash", "=cmd", "quote'\"", "<script>alert(1)</script>"),
    *("x" * 251, "é" * 125, "a,b;c", "%s{0}", "nbsp\u00a0", "rtl\u202eabc", "back\\slash", "dot.", "$HOME`ls`", "#1"),
    *("ctrl\x01", "trail "),
)
CLASSES = ("free", "a b", "日本", "new\nline", "=x", "<b>")
SIZES = ((1, 1), (1, 5000), (5000, 1), (2, 3))


def one_test_image(folder: Path) -> None:
    write_images(folder, {"free": 6, "scratch": 6}, {"scratch": 1})


def one_normal_test_image(folder: Path) -> None:
    write_images(folder, {"free": 6, "scratch": 6}, {"free": 1})


def empty_validation(folder: Path) -> None:
    write_images(folder, {"free": 6, "scratch": 6})
    (folder / "validation").mkdir()


def all_normal(folder: Path) -> None:
    write_images(folder, {"free": 8})


def all_defective(folder: Path) -> None:
    write_images(folder, {"scratch": 8, "dent": 8})


def one_class(folder: Path) -> None:
    write_images(folder, {"scratch": 8})


def many_classes(folder: Path) -> None:
    write_images(folder, {f"class{number:03}": 2 for number in range(200)}, {f"class{i:03}": 1 for i in range(200)})


def odd_sizes(folder: Path) -> None:
    write_images(folder, {"free": 6, "scratch": 6})
    for height, width in SIZES:
        for split in ("train", "test"):
            for label in ("free", "scratch"):
                write_image(folder, split, label, f"{split} {label} {height} {width}", (height, width))


def single_pixels(folder: Path) -> None:
    for index in range(5):
        for label in ("free", "scratch"):
            write_image(folder, "train", label, f"{label}{index}", (1, 1))
    for label in ("free", "scratch"):
        write_image(folder, "test", label, f"{label}-test", (1, 1))


def odd_names(folder: Path) -> None:
    write_images(folder, {"free": 6, "scratch": 6})
    for name in NAMES:
        for split in ("train", "test"):
            for label in ("free", "scratch"):
                write_image(folder, split, label, name)


def odd_class_names(folder: Path) -> None:
    for label in CLASSES:
        for index in range(6):
            write_image(folder, "test" if index > 3 else "train", label, f"{index}")


def usual(folder: Path) -> None:
    write_images(folder, {"free": 6, "scratch": 6})


LOADS: dict[str, tuple[Callable[[Path], None], tuple[str, ...]]] = {
    "one test image": (one_test_image, ()),
    "one normal test image": (one_normal_test_image, ()),
    "empty validation": (empty_validation, ()),
    "all normal": (all_normal, ()),
    "all defective": (all_defective, ()),
    "one class": (one_class, ()),
    "200 classes": (many_classes, ()),
    "odd sizes": (odd_sizes, ()),
    "odd sizes, letterbox": (odd_sizes, ("--config.data.resize=letterbox",)),
    "odd sizes, tiles": (odd_sizes, ("--config.data.resize=tiles",)),
    "single pixels": (single_pixels, ()),
    "odd names": (odd_names, ()),
    "odd class names": (odd_class_names, ()),
    "batch of one": (usual, ("--config.batch_size=1",)),
    "batch larger than the set": (usual, ("--config.batch_size=52",)),
    "one step": (usual, ("--config.steps=1",)),
}


class Commands:
    """Runs `dms-jax`; whatever comes of it is 0, or a sentence."""

    def __init__(self, capfd: pytest.CaptureFixture[str]) -> None:
        self._capfd = capfd

    def __call__(self, *arguments: object) -> str:
        assert cli.main([str(argument) for argument in arguments]) == 0, self._capfd.readouterr().err
        captured = self._capfd.readouterr()
        assert "Traceback" not in captured.err
        return captured.out

    def on_one_device(self, *arguments: object) -> str:
        """In a process of its own: the tests have four."""
        command = [sys.executable, "-m", "dms_jax.cli", *(str(argument) for argument in arguments)]
        env = {**os.environ, "PYTHONPATH": str(ROOT), "XLA_FLAGS": ""}
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout

    def refused(self, *arguments: object) -> list[str]:
        assert cli.main([str(argument) for argument in arguments]) == 1
        captured = self._capfd.readouterr()
        assert "Traceback" not in captured.err
        return [line for line in captured.err.splitlines() if line.startswith("dms-jax")]


@pytest.fixture
def commands(capfd: pytest.CaptureFixture[str]) -> Commands:
    return Commands(capfd)


# Those with options have the images of another one, and 600 images take as long as all others.
@pytest.mark.parametrize(
    "load", [load for load, (_, options) in LOADS.items() if load != "200 classes" and not options]
)
def test_an_odd_load_is_prepared(load: str, commands: Commands, tmp_path: Path) -> None:
    make, _ = LOADS[load]
    make(tmp_path / "images")
    commands("prepare", "--dataset", "folder", "--manual-dir", tmp_path / "images", "--data-dir", tmp_path / "data")


def test_images_of_odd_sizes_and_names_are_predicted(commands: Commands, tmp_path: Path) -> None:
    """Each, and as many maps as there are images, of their sizes."""
    save_tiny_run(tmp_path / "run", tmp_path / "data", tested=True)
    images = tmp_path / "images"
    for name in NAMES:
        write_image(images, "names", "free", name, (9, 7))
    for height, width in SIZES:
        write_image(images, "sizes", "free", f"{height} {width}", (height, width))
    for tiles in ((), ("--tiles", "100")):
        output = tmp_path / f"predictions{len(tiles)}"
        commands("predict", "--workdir", tmp_path / "run", "--images", images, "--output", output, *tiles)
        maps = sorted((output / "maps").rglob("*.png"))
        assert len(maps) == len(NAMES) + len(SIZES)
        for path in maps:
            with Image.open(path) as found, Image.open(images / path.relative_to(output / "maps")) as image:
                assert found.size == image.size


def test_an_image_of_too_many_pixels_is_refused_with_what_to_do(
    commands: Commands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = tmp_path / "images"
    usual(images)
    write_image(images, "train", "free", "huge", (400, 400))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 400 * 400 // 2 - 1)
    *_, sentence = commands.refused(
        *("prepare", "--dataset", "folder", "--manual-dir", images, "--data-dir", tmp_path / "data")
    )
    assert "huge.png has more than the" in sentence
    assert "cut it into smaller images, or shrink it" in sentence


def test_too_few_images_for_a_validation_are_refused(commands: Commands, tmp_path: Path) -> None:
    images = tmp_path / "images"
    write_images(images, {"free": 1, "scratch": 1}, {"free": 1, "scratch": 1})
    (sentence,) = commands.refused(
        *("prepare", "--dataset", "folder", "--manual-dir", images, "--data-dir", tmp_path / "data")
    )
    assert "has too few groups of images to give 'validation' one: add images." in sentence


@pytest.mark.slow
@pytest.mark.parametrize("load", LOADS)
def test_an_odd_load_goes_all_the_way(load: str, commands: Commands, tmp_path: Path) -> None:
    make, options = LOADS[load]
    images, run = tmp_path / "images", tmp_path / "run"
    make(images)
    train = commands.on_one_device if load == "batch of one" else commands
    train(
        *("train", f"--config={write_tiny_config(tmp_path)}", f"--workdir={run}", *options),
        *(f"--config.data.manual_dir={images}", f"--config.data.data_dir={tmp_path / 'data'}"),
    )
    commands("evaluate", "--workdir", run)
    output = tmp_path / "predictions"
    commands("predict", "--workdir", run, "--images", images / "test", "--output", output)
    assert len(list((output / "maps").rglob("*.png"))) == len(list((images / "test").rglob("*.png")))
    commands("report", "--workdir", run)


@pytest.mark.slow
def test_an_image_of_400_million_pixels_is_refused(commands: Commands, tmp_path: Path) -> None:
    images = tmp_path / "images"
    usual(images)
    Image.fromarray(np.full((20_000, 20_000), 120, np.uint8)).save(images / "train" / "free" / "huge.png")
    *_, sentence = commands.refused(
        *("prepare", "--dataset", "folder", "--manual-dir", images, "--data-dir", tmp_path / "data")
    )
    assert sentence.endswith(
        "huge.png has more than the 178 million pixels that are read: cut it into smaller images, or shrink it, or "
        "leave such files out with --skip-bad (of dms-jax prepare) or config.data.skip_bad."
    )
    save_tiny_run(tmp_path / "run", tmp_path / "drawn", tested=True)
    for number, tiles in enumerate(((), ("--tiles", "1000"))):
        sentences = commands.refused(
            *("predict", "--workdir", tmp_path / "run", "--output", tmp_path / f"predictions{number}"),
            *("--images", images / "train" / "free", *tiles),
        )
        assert "1 of 7 images could not be predicted" in sentences[-1]
        assert "huge.png has more than the 178 million pixels" in sentences[-1]
