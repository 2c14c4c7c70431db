"""The scripts that draw the documents' pictures, where what they are told cannot be."""

import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import paste_image
import pytest
import quickstart_image
from PIL import Image


@pytest.mark.parametrize(
    ("flags", "code", "sentence"),
    [
        (("--rows", "0"), 2, "--rows 0 is too small"),
        (("--columns", "-1"), 2, "--columns -1 is too small"),
        (("--shown", "0"), 2, "--shown 0 is too small"),
        (("--pattern", "*.tif"), 2, "holds no *.tif"),
        # A camera's: Pillow's own conversion would make it white.
        (("--pattern", "dark.png"), 1, "dark.png has 16-bit pixels"),
        (("--pattern", "empty.png"), 1, "empty.png cannot be read as an image"),
    ],
)
def test_normal_images_that_cannot_be_drawn(
    flags: tuple[str, ...],
    code: int,
    sentence: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Image.fromarray(np.full((8, 8), 4000, np.uint16)).save(tmp_path / "dark.png")
    (tmp_path / "empty.png").touch()
    assert ended(paste_image, monkeypatch, "--images", tmp_path, "--output", tmp_path / "drawn", *flags) == code
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "drawn").exists()


@pytest.mark.parametrize(("rows", "code", "sentence"), [(0, 2, "--rows 0 is too small"), (1, 1, "holds no run")])
def test_a_run_that_cannot_be_drawn(
    rows: int,
    code: int,
    sentence: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    flags = ("--workdir", tmp_path, "--output", tmp_path / "drawn", "--rows", rows)
    assert ended(quickstart_image, monkeypatch, *flags) == code
    assert sentence in capsys.readouterr().err


def ended(script: ModuleType, monkeypatch: pytest.MonkeyPatch, *flags: object) -> object:
    """The exit code of a script."""
    monkeypatch.setattr(sys, "argv", [script.__name__, *map(str, flags)])
    try:
        return script.main()
    except SystemExit as error:
        return error.code
