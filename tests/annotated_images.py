"""Images of noise to be annotated, and datasets prepared from their annotations."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dms_jax.data.datasets.folder.annotations import list_annotations
from dms_jax.data.prepare import prepare
from dms_jax.data.prepared import PreparedDataset
from dms_jax.errors import UserError

WIDTH, HEIGHT = 12, 10


def add_image(root: Path, name: str, size: tuple[int, int] = (WIDTH, HEIGHT), **options) -> Path:
    """An image of noise that no other image is like."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(list(name.encode())).integers(0, 256, (size[1], size[0], 3), np.uint8)
    Image.fromarray(pixels).save(path, **options)
    return path


def add_json(root: Path, name: str, content: object) -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def box_mask(left: int, top: int, right: int, bottom: int) -> np.ndarray:
    """A mask with 255 in columns left..right - 1 and rows top..bottom - 1."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[top:bottom, left:right] = 255
    return mask


def masks(source: Path) -> dict[str, tuple[str | None, np.ndarray | None]]:
    """The class and the mask of each listed image; no mask where there is none."""
    listing = list_annotations(source)
    assert listing.problems == ()
    return {
        image.name: (image.label, np.asarray(image.mask_reader(image.mask_path)) if image.mask_path else None)
        for image in listing.images
    }


def the_mask(source: Path) -> np.ndarray:
    """The mask of the only image that has one."""
    (mask,) = (mask for _, mask in masks(source).values() if mask is not None)
    return mask


def the_problem(source: Path) -> str:
    """The sentence about the only problem of a source."""
    (problem,) = list_annotations(source).problems
    assert problem.endswith(".")
    assert "\n" not in problem
    return problem


def refused(source: Path, *parts: str) -> None:
    """Asserts that preparing a source fails with one sentence that holds these parts."""
    with pytest.raises(UserError) as caught:
        prepared(source)
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert sentence.endswith(".")
    for part in parts:
        assert part in sentence


def prepared(source: Path, **options) -> PreparedDataset:
    data_dir = (source if source.is_dir() else source.parent).parent / "prepared"
    return prepare("folder", manual_dir=str(source), data_dir=str(data_dir), **options)


def examples(data: PreparedDataset) -> dict[str, dict]:
    """Every example by name, with its split and the name of its class."""
    found = {}
    for split in data.sizes:
        for example in data.source(split):
            label = data.class_names[example["label"]] if example["label"] >= 0 else None
            found[example["name"]] = {**example, "split": split, "class": label}
    assert len(found) == sum(data.sizes.values())
    return found
