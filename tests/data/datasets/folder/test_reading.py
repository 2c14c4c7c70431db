"""What users declare of the values in their files, and names that cannot be used."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dms_jax.data.datasets.folder.reading import Reading
from dms_jax.data.framing import Framing
from dms_jax.data.image_files import IGNORED
from dms_jax.data.pipeline import evaluation_batches
from dms_jax.data.prepare import prepare
from dms_jax.data.prepared import PreparedDataset
from dms_jax.errors import UsageError, UserError
from dms_jax.evaluation.evaluator import evaluate
from dms_jax.inference.batching import Answers

MARK = np.s_[4:8, 5:15]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Images of 12 bits in 16, whose masks hold the numbers 0, 1 and 2 of classes."""
    random, root = np.random.default_rng(0), tmp_path / "files"
    for i in range(12):
        for label in ("good", "scratch"):
            image = random.integers(1000, 3000, (16, 20)).astype(np.uint16)
            mask = np.zeros(image.shape, np.uint8)
            mask[0, 0] = 2
            if label == "scratch":
                image[MARK], mask[MARK] = 4095, 1
            for folder, array in ((root / label, image), (root / "masks" / label, mask)):
                folder.mkdir(parents=True, exist_ok=True)
                Image.fromarray(array).save(folder / f"{i}.png")
    return root


def prepared(root: Path, **declared: str) -> PreparedDataset:
    return prepare("folder", manual_dir=str(root), data_dir=str(root.parent / "data"), **declared)


def test_declared_values_are_read(root: Path) -> None:
    dataset = prepared(root, mask_values="1", value_range="0,4095")
    for split in dataset.sizes:
        for example in dataset.source(split):
            defective = np.zeros((16, 20, 1), bool)
            if example["label"]:
                defective[MARK] = True
                assert (example["image"][MARK] == 255).all()
            np.testing.assert_array_equal(example["mask"], np.where(defective, 255, 0))
            assert 90 < example["image"].mean() < 150


def test_another_declaration_is_another_dataset(root: Path) -> None:
    first = prepared(root, mask_values="1", value_range="0,4095")
    second = prepared(root, mask_values="1-2", value_range="0,4095")
    assert first.directory != second.directory
    masks = [dataset.source("test")[0]["mask"] for dataset in (first, second)]
    assert [int(mask[0, 0, 0]) for mask in masks] == [0, 255]


def test_without_its_files_the_dataset_is_that_of_the_declaration(root: Path) -> None:
    first = prepared(root, mask_values="1", value_range="0,4095")
    second = prepared(root, mask_values="1-2", value_range="0,4095")
    root.rename(root.with_name("away"))
    assert prepared(root, mask_values="1", value_range="0,4095") == first
    assert prepared(root, mask_values="1-2", value_range="0,4095") == second
    for declared in ({"mask_values": "2", "value_range": "0,4095"}, {}):
        with pytest.raises(UserError, match="does not exist"):
            prepared(root, **declared)
    # As earlier versions left it.
    (first.directory / "metadata.json").write_text(
        (first.directory / "metadata.json").read_text().replace('"declared"', '"other"')
    )
    assert prepared(root) == first


def test_nothing_is_guessed_without_a_declaration(root: Path) -> None:
    with pytest.raises(UserError, match="would be nearly black"):
        prepared(root)
    with pytest.raises(UserError, match="has no pixel above 2"):
        prepared(root, value_range="0,4095")


@pytest.mark.parametrize("text", ["4095", "0", "4095,0", "1,1", "a,b", "0,1,2", "0;1", "0,1e400"])
def test_ranges_that_are_not_understood(text: str) -> None:
    with pytest.raises(UsageError, match=r"value_range .* is not understood"):
        Reading.parse("", text)


@pytest.mark.parametrize("text", ["0,4095", " -5 , 1.5e3 ", "0.0,1"])
def test_ranges(text: str) -> None:
    low, high = (float(part) for part in text.split(","))
    assert Reading.parse("", text).value_range == (low, high)


def test_other_datasets_have_nothing_to_declare() -> None:
    with pytest.raises(UsageError, match="dataset synthetic has no mask_values"):
        prepare("synthetic", mask_values="1")


def test_classes_that_differ_in_case_are_refused(root: Path) -> None:
    for folder in (root / "scratch", root / "masks" / "scratch"):
        (folder.parent / "Scratch").mkdir()
        (folder / "0.png").rename(folder.parent / "Scratch" / "0.png")
    with pytest.raises(UserError, match="The classes Scratch and scratch differ in case alone: give them one name"):
        prepared(root, mask_values="1", value_range="0,4095")


def test_ignored_values_reach_the_metrics(root: Path) -> None:
    """A map that is wrong where the mask says to ignore it, and right elsewhere, is right."""
    dataset = prepared(root, mask_values="1,ignore:2", value_range="0,4095")
    source = dataset.source("test")
    assert source.ignores
    assert not prepared(root, mask_values="1", value_range="0,4095").source("test").ignores
    assert all(int(example["mask"][0, 0, 0]) == IGNORED for example in source)
    framing = Framing("squash", size=20)

    def predict(images: np.ndarray) -> Answers:
        maps = np.where(images[:, None, :, :, 0] > 200, 255, 0).astype(np.uint8)
        maps[:, :, 0, 0] = 255
        return maps, np.zeros((len(images), 0, 2), np.float32), np.ones(len(images), bool)

    evaluation = evaluate(
        predict, evaluation_batches(source, framing, batch_size=2), free_class=0, threshold=127, with_sod=False
    )
    rows = [row for row in evaluation.rows if row.defective]
    assert rows
    assert [row.maximum for row in evaluation.rows if not row.defective] == [0] * (len(evaluation.rows) - len(rows))
    assert all(row.iou > 0.7 for row in rows)
