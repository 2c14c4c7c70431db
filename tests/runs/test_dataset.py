"""A run's dataset when the user's folder has changed since it began."""

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ml_collections import ConfigDict
from PIL import Image

from dms_jax.data.framing import Framing
from dms_jax.data.prepared import PreparedDataset
from dms_jax.errors import UserError
from dms_jax.runs.config.defaults import default_config
from dms_jax.runs.dataset import digests, open_dataset, reopen_dataset
from dms_jax.runs.description import RunDescription

CLASSES = ("good", "dent", "scratch")


def add_images(folder: Path, label: str, start: int, count: int) -> None:
    """Images of a class, and their masks unless it is the defect-free one."""
    for i in range(start, start + count):
        image = np.random.default_rng([i, len(label)]).integers(0, 256, (8, 9), np.uint8)
        pairs = {folder / label: image}
        if label != "good":
            pairs[folder / "masks" / label] = np.where(np.arange(72).reshape(8, 9) < 9, 255, 0).astype(np.uint8)
        for place, pixels in pairs.items():
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(place / f"p{i:02}.png")


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder `images`, and what was prepared from it when a run began in `data`."""
    root = tmp_path_factory.mktemp("begun")
    for label in CLASSES:
        add_images(root / "images", label, 0, 12)
    open_dataset(config_of(root))
    return root


@pytest.fixture
def root(begun: Path) -> Iterator[Path]:
    """The same, to be changed; at the same path as far as the run can tell."""
    kept = begun.with_name(begun.name + "-kept")
    shutil.copytree(begun, kept)
    yield begun
    shutil.rmtree(begun)
    kept.rename(begun)


def config_of(root: Path, images: str = "images", data: str = "data") -> ConfigDict:
    config = default_config()
    config.data.dataset = "folder"
    config.data.manual_dir, config.data.data_dir = str(root / images), str(root / data)
    return config


def description_of(root: Path) -> tuple[RunDescription, PreparedDataset]:
    dataset = open_dataset(config_of(root))
    return RunDescription.of(dataset, Framing(), digests(dataset)), dataset


def names_of(dataset: PreparedDataset) -> dict[str, list[str]]:
    return {split: dataset.source(split).names() for split in dataset.sizes}


def test_a_folder_that_has_not_changed_is_opened_without_a_word(begun: Path) -> None:
    description, dataset = description_of(begun)
    reopened, notes = reopen_dataset(config_of(begun), description)
    assert (reopened, notes) == (dataset, ())


def test_a_folder_that_is_written_another_way_has_not_changed(begun: Path) -> None:
    description, dataset = description_of(begun)
    config = config_of(begun)
    config.data.manual_dir = str(begun / "images" / ".." / "images")
    reopened, notes = reopen_dataset(config, description)
    assert (reopened, notes) == (dataset, ())


@pytest.mark.parametrize("change", ["added", "removed", "changed", "damaged"])
def test_a_run_keeps_its_images_and_their_split(root: Path, change: str) -> None:
    description, dataset = description_of(root)
    expected = names_of(dataset)
    if change == "added":
        add_images(root / "images", "dent", 50, 9)
    elif change == "removed":
        for name in sorted(path.name for path in (root / "images" / "dent").iterdir())[:4]:
            (root / "images" / "dent" / name).unlink()
            (root / "images" / "masks" / "dent" / name).unlink()
    elif change == "changed":
        Image.fromarray(np.zeros((5, 5), np.uint8)).save(root / "images" / "good" / "p00.png")
    else:
        (root / "images" / "good" / "p00.png").write_bytes(b"no image")
    reopened, notes = reopen_dataset(config_of(root), description)
    assert names_of(reopened) == expected
    assert (reopened.class_names, reopened.free_class) == (CLASSES, 0)
    assert len(notes) == 1
    assert "images has changed since this run began" in notes[0]
    assert str(dataset.directory) in notes[0]


@pytest.mark.parametrize(
    ("change", "now"),
    [("renamed", "good, scratch, bruise"), ("added", "good, dent, scratch, bruise"), ("removed", "good, scratch")],
)
@pytest.mark.parametrize("prepared", [True, False])
def test_other_classes_are_refused_by_name(root: Path, change: str, now: str, prepared: bool) -> None:
    description, dataset = description_of(root)
    images = root / "images"
    if not prepared:
        shutil.rmtree(dataset.directory)
    for folder in (images, images / "masks"):
        if change == "renamed":
            (folder / "dent").rename(folder / "bruise")
        elif change == "removed":
            shutil.rmtree(folder / "dent")
        else:
            shutil.copytree(folder / "dent", folder / "bruise")
    with pytest.raises(UserError, match=rf"the run has the classes good, dent, scratch, but .*images now has {now}: "):
        reopen_dataset(config_of(root), description)


def test_what_is_not_there_any_more_is_prepared_again_if_it_is_the_same(root: Path) -> None:
    description, dataset = description_of(root)
    expected = names_of(dataset)
    shutil.rmtree(dataset.directory)
    # Copied, so that all times of change are others.
    for path in (root / "images").rglob("*.png"):
        os.utime(path, (1, 1))
    reopened, notes = reopen_dataset(config_of(root), description)
    assert names_of(reopened) == expected
    assert "images is read anew" in " ".join(notes)
    shutil.rmtree(reopened.directory)
    add_images(root / "images", "dent", 50, 9)
    with pytest.raises(UserError, match=r"the images of train and .*images are not those that the run began with"):
        reopen_dataset(config_of(root), description)


def test_a_dataset_that_lies_elsewhere_must_be_the_same(root: Path) -> None:
    description, dataset = description_of(root)
    shutil.copytree(root / "images", root / "moved")
    config = config_of(root, "moved", "other")
    reopened, notes = reopen_dataset(config, description, elsewhere=True)
    assert names_of(reopened) == names_of(dataset)
    assert reopened.directory.is_relative_to(root / "other")
    # Other masks would be scored without a word.
    (note,) = notes
    assert "moved is read anew" in note
    assert note.endswith("whether their pixels and masks are the same is not known.")
    add_images(root / "moved", "dent", 50, 9)
    with pytest.raises(UserError, match=r"the images of train and .*moved are not those that the run began with"):
        reopen_dataset(config, description, elsewhere=True)


def test_without_the_folder_its_images_are_as_good_as_ever(root: Path) -> None:
    description, dataset = description_of(root)
    shutil.rmtree(root / "images")
    assert reopen_dataset(config_of(root), description) == (dataset, ())


def test_runs_of_earlier_versions_say_nothing_of_their_images(tmp_path: Path) -> None:
    fields: dict[str, Any] = {"class_names": CLASSES, "free_class": "good", "framing": Framing(), "dataset": "x"}
    RunDescription(**fields).save(tmp_path)
    assert RunDescription.load(tmp_path) == RunDescription(**fields)
    text = (tmp_path / "run.json").read_text()
    (tmp_path / "run.json").write_text(text.replace(',\n  "images": {}', ""))
    assert "images" not in (tmp_path / "run.json").read_text()
    assert RunDescription.load(tmp_path) == RunDescription(**fields)


@pytest.mark.parametrize("gone", ["/", "/nowhere"])
def test_a_dataset_that_nothing_is_left_of_is_prepared_again(begun: Path, gone: str) -> None:
    description, dataset = description_of(begun)
    assert reopen_dataset(config_of(begun), replace(description, dataset=gone))[0] == dataset
