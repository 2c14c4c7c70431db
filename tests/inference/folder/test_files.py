import json
from pathlib import Path

import numpy as np
import pytest
from fake_network import reading
from PIL import Image

from dms_jax.data import image_files
from dms_jax.data.framing import Framing
from dms_jax.inference.folder import files
from dms_jax.inference.folder.files import FileStep
from dms_jax.inference.folder.listing import ImageFile
from dms_jax.inference.underway import Answered, Loaded


@pytest.fixture
def image(tmp_path: Path) -> ImageFile:
    grey = np.zeros((40, 64), np.uint8)
    grey[8:16, 30:50] = 255
    Image.fromarray(grey).save(tmp_path / "a.png")
    return ImageFile(str(tmp_path / "a.png"), "sub/a")


def answered(image: Loaded[ImageFile]) -> Answered[ImageFile]:
    """As by a network whose map is the image."""
    maps = np.zeros((0, 32, 32), np.uint8) if image.inputs is None else image.inputs[..., 0]
    probabilities = np.tile(np.float32([0.125, 0.5, 0.375]), (len(maps), 1))
    finite = np.ones(len(maps), bool)
    return Answered(image.item, image.size, image.crops, maps, probabilities, finite, image.error)


def test_a_file_from_reading_to_its_record(image: ImageFile, tmp_path: Path) -> None:
    step = FileStep(reading(framing=Framing("tiles", 32)), tmp_path / "out", overlays=True)
    loaded = step.load(image)
    assert loaded.inputs is not None
    assert loaded.count == len(loaded.crops) == 6
    done = step.finish(answered(loaded))
    assert (done.class_name, done.fires, done.error) == ("crack", True, None)
    assert json.loads(done.line) == {
        "file": image.path,
        "name": "sub/a",
        "defective": True,
        "class": "crack",
        "probability": 0.5,
        "probabilities": {"free": 0.125, "crack": 0.5, "stain": 0.375},
        "score": 0.875,
        "area": round(160 / 2560, 6),
        "boxes": [[30, 8, 50, 16, 160]],
    }
    with Image.open(tmp_path / "out" / "maps" / "sub" / "a.png") as written, Image.open(image.path) as own:
        assert written.mode == "L"
        np.testing.assert_array_equal(written, own)
    with Image.open(tmp_path / "out" / "overlays" / "sub" / "a.jpg") as drawn:
        assert (drawn.size, drawn.mode) == ((64, 40), "RGB")


def test_overlays_and_masks_may_be_missing(image: ImageFile, tmp_path: Path) -> None:
    step = FileStep(reading(threshold=None), tmp_path / "out", overlays=False)
    done = step.finish(answered(step.load(image)))
    record = json.loads(done.line)
    assert (record["area"], record["boxes"], done.fires) == (None, None, False)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["maps"]


def refused(step: FileStep, image: ImageFile) -> str:
    loaded = step.load(image)
    assert (loaded.inputs, loaded.count) == (None, 0)
    done = step.finish(answered(loaded))
    assert json.loads(done.line) == {"file": image.path, "name": image.name, "error": done.error}
    assert not (step.output / "maps").exists()
    assert done.error is not None
    return done.error


def test_what_cannot_be_read_has_a_reason(image: ImageFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    step = FileStep(reading(), tmp_path / "out", overlays=True)
    whole = Path(image.path).read_bytes()
    for content in (b"", b"text", whole[: len(whole) // 2]):
        Path(image.path).write_bytes(content)
        assert refused(step, image).startswith(f"{image.path} cannot be read as an image (")
    assert "does not exist" in refused(step, ImageFile(str(tmp_path / "absent.png"), "absent"))

    def too_large(*_: object) -> None:
        raise MemoryError

    Path(image.path).write_bytes(whole)
    with monkeypatch.context() as patch:
        # Crops that overlap take more than the image.
        patch.setattr(files, "cut", too_large)
        assert refused(step, image) == f"{image.path} cannot be read as an image (MemoryError): replace it."
    loaded = answered(step.load(image))
    monkeypatch.setattr(files, "read_image", too_large)
    assert refused(step, image) == f"{image.path} cannot be read as an image (MemoryError): replace it."
    # It is read again for its overlay.
    assert step.finish(loaded).error == f"{image.path} cannot be read as an image (MemoryError): replace it."


def test_a_file_that_changes_meanwhile_is_a_bad_one(image: ImageFile, tmp_path: Path) -> None:
    step = FileStep(reading(), tmp_path / "out", overlays=True)
    loaded = answered(step.load(image))
    Image.new("L", (5, 5)).save(image.path)
    assert step.finish(loaded).error == f"{image.path} has changed while it was predicted: predict it again."
    Path(image.path).unlink()
    assert "does not exist" in str(step.finish(loaded).error)
    assert not (tmp_path / "out").exists()
    # Without an overlay, it is not read again.
    assert FileStep(reading(), tmp_path / "out", overlays=False).finish(loaded).error is None


def test_a_long_name_is_written(image: ImageFile, tmp_path: Path) -> None:
    step = FileStep(reading(), tmp_path / "out", overlays=True)
    for name in ("x" * 251, "ä" * 125):
        assert step.finish(answered(step.load(ImageFile(image.path, name)))).error is None
        assert (tmp_path / "out" / "maps" / f"{name}.png").exists()


def test_a_tiff_without_dimensions_is_a_bad_one(tmp_path: Path) -> None:
    # A TIFF's header, and a directory without an entry.
    (tmp_path / "a.tif").write_bytes(b"II*\0\x08\0\0\0" + b"\0\0" + b"\0\0\0\0")
    with pytest.raises(image_files.UserError, match="cannot be read as an image"):
        image_files.read_image(tmp_path / "a.tif")
