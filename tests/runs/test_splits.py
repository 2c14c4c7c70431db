from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from image_records import ImageRecords
from ml_collections import ConfigDict

from dms_jax.data.examples import ExampleSource
from dms_jax.errors import UsageError, UserError
from dms_jax.runs import testing
from dms_jax.runs.config.defaults import default_config
from dms_jax.runs.splits import Splits, choose_splits, named_split, scarcity_note, training_facts


def source(rows: list[tuple[int, int]]) -> ExampleSource:
    """Masks that are black (0) or white (1), and unknown (0) or known (1)."""
    images = [np.zeros((2, 2, 3), np.uint8)] * len(rows)
    masks = [np.full((2, 2), 255 * white, np.uint8) for white, _ in rows]
    return ExampleSource(ImageRecords(images, masks, [0] * len(rows), [bool(known) for _, known in rows]), "train")


@pytest.mark.parametrize(
    ("parts", "share"),
    [
        ([[(1, 1), (0, 1)]], 1 / 2),
        # Every image weighs the same, whatever part it is in.
        ([[(1, 1)], [(0, 1), (0, 1), (0, 1)]], 1 / 4),
        # Those whose mask is unknown do not weigh at all.
        ([[(1, 1), (0, 0), (0, 0)], [(0, 1), (0, 1), (1, 1)], [(0, 0)]], 2 / 4),
        ([[(0, 0)], [(0, 1)]], 0),
        ([[(0, 0)], [(0, 0), (0, 0)]], 1 / 2),
    ],
)
def test_defective_share(parts: list[list[tuple[int, int]]], share: float) -> None:
    train = tuple(map(source, parts))
    splits = Splits(train, None, train[0], "test", "none", threshold=None, threshold_images="none here")
    assert splits.defective_share() == pytest.approx(share, abs=1e-15)


LABELS = [0] * 6 + [1] * 4 + [2] * 2
NAMES = ("free", "crack", "fray")


class Dataset(SimpleNamespace):
    """What `choose_splits` asks of a dataset."""

    def source(self, split: str) -> ExampleSource:
        return self.sources[split]


@pytest.fixture
def dataset() -> Dataset:
    sources = {}
    of_splits = {"train": LABELS, "validation": [0, 1, 2], "test": [0, 1, 1, 2]}
    for split, labels in (*of_splits.items(), ("train+validation", LABELS + of_splits["validation"])):
        images = [np.zeros((2, 2, 3), np.uint8)] * len(labels)
        masks = [np.full((2, 2), 255 * bool(label), np.uint8) for label in labels]
        # Two images of a class are of one tile.
        groups = [f"{split}{label}/{labels[:i].count(label) // 2}" for i, label in enumerate(labels)]
        records = ImageRecords(images, masks, labels, groups=groups)
        sources[split] = ExampleSource(records, "train", 0)
    return Dataset(class_names=NAMES, free_class=0, sources=sources)


def config_of(**fields: Any) -> ConfigDict:
    config = default_config()
    config.data.update(fields)
    return config


def test_all_images_are_used_unless_told_otherwise(dataset: Dataset) -> None:
    splits = choose_splits(dataset, config_of())
    assert splits.train == (dataset.source("train"),)
    assert splits.selection is splits.threshold is dataset.source("validation")
    assert scarcity_note(splits, config_of(), dataset) is None
    facts = training_facts(splits, config_of(), 0)
    assert facts == {"images": 12, "masks": 6, "mask_share": 1.0, "without": []}


def test_what_is_learnt_from_is_made_scarce_and_nothing_else(dataset: Dataset) -> None:
    config = config_of(train_images=8, mask_share=0.5, without="fray")
    splits = choose_splits(dataset, config)
    (train,) = splits.train
    assert (len(train), set(train.labels().tolist())) == (8, {0, 1})
    assert splits.selection is not None
    assert splits.threshold is not None
    assert splits.selection.labels().tolist() == splits.threshold.labels().tolist() == [0, 1]
    assert splits.selection.has_masks().all()
    assert splits.test is dataset.source("test")
    facts = {"images": 8, "masks": 2, "mask_share": 0.5, "without": ["fray"]}
    assert training_facts(splits, config, 0) == facts
    config.data.mask_balance = 0.5
    assert training_facts(splits, config, 0) == facts | {"mask_balance": 0.5}
    note = "this run learns from 8 images, 7 of them with their masks: free 5 (5), crack 3 (2)."
    assert scarcity_note(splits, config, dataset) == note


def test_where_validation_is_learnt_from_it_is_drawn_from_too(dataset: Dataset) -> None:
    splits = choose_splits(dataset, config_of(select_on="none", train_images=14))
    assert sum(map(len, splits.train)) == 14
    assert len(splits.train) == 2
    assert splits.threshold is dataset.source("validation")
    assert splits.threshold_name == "validation (partly learnt from)"
    whole = choose_splits(dataset, config_of(select_on="none"))
    assert (sum(map(len, whole.train)), whole.threshold_name) == (15, "validation (learnt from)")


@pytest.mark.parametrize("folds", [2, 3])
def test_folds_take_turns_at_validation(dataset: Dataset, folds: int) -> None:
    parts = [choose_splits(dataset, config_of(folds=folds, fold=fold)) for fold in range(folds)]
    everything = dataset.source("train+validation").names()
    validated: list[str] = []
    for fold, splits in enumerate(parts):
        (train,), selection = splits.train, splits.selection
        assert selection is not None
        assert splits.threshold is selection
        assert splits.threshold_name == f"fold {fold} of folds 0 to {folds - 1}"
        assert splits.test is dataset.source("test")
        assert sorted(train.names() + selection.names()) == sorted(everything)
        assert not set(train.groups()) & set(selection.groups())
        validated += selection.names()
        config = config_of(folds=folds, fold=fold)
        for name, source in (("train", train), ("validation", selection), ("test", splits.test)):
            assert named_split(dataset, config, name).names() == source.names()
    assert sorted(validated) == sorted(everything)


def test_classes_that_all_of_validation_is_of(dataset: Dataset) -> None:
    few = dataset.sources["validation"].subset([1, 2])
    dataset.sources["validation"] = few
    message = r"config\.data\.without leaves no image of validation: .*, or choose by nothing with .*select_on=none\."
    with pytest.raises(UserError, match=message):
        choose_splits(dataset, config_of(without="crack,fray"))
    # Which is what was advised.
    splits = choose_splits(dataset, config_of(without="crack,fray", select_on="none"))
    assert splits.threshold is None
    assert splits.threshold_name == "config.data.without leaves no images to choose one on"
    assert [source.labels().tolist() for source in splits.train if len(source)] == [[0] * 6]
    # With as many folds as groups, one of them is of one class.
    refused = []
    for fold in range(9):
        try:
            choose_splits(dataset, config_of(without="fray", folds=9, fold=fold))
        except UserError as error:
            refused.append(str(error))
    assert len(refused) == 2
    assert refused[0].endswith(" of folds 0 to 8: leave out fewer classes, or take another config.data.fold.")


def test_a_fold_that_is_evaluated_is_named(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(testing, "reopen_dataset", lambda *arguments, **options: (dataset, ()))
    for fields, name in (({"folds": 3, "fold": 1}, "fold 1 of folds 0 to 2"), ({}, "validation")):
        run: Any = SimpleNamespace(config=config_of(**fields), description=None)
        _, splits, _ = testing.open_splits(run, "validation")
        assert splits.selection is not None
        assert splits.threshold_name == f"{name} (these very images)"
        assert splits.test_name == "validation"
        assert splits.test.names() == splits.selection.names()
        _, splits, _ = testing.open_splits(run, "train")
        assert (splits.threshold_name, splits.test_name) == (name, "train")
        assert splits.test.names() == splits.train[0].names()


def test_validation_that_was_learnt_from_is_named_so(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(testing, "reopen_dataset", lambda *arguments, **options: (dataset, ()))
    partly = "partly learnt from"
    for fields, learnt in (({}, "learnt from"), ({"train_images": 6}, partly), ({"mask_share": 0.5}, partly)):
        run: Any = SimpleNamespace(config=config_of(select_on="none", **fields), description=None)
        _, splits, _ = testing.open_splits(run, "validation")
        assert splits.threshold_name == f"validation ({learnt}, these very images)"
        _, splits, _ = testing.open_splits(run, "test")
        assert splits.threshold_name == f"validation ({learnt})"


@pytest.mark.parametrize("fields", [{}, {"select_on": "none"}, {"folds": 2, "fold": 1}])
def test_classes_that_were_left_out_are_scored_on_test_alone(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any]
) -> None:
    monkeypatch.setattr(testing, "reopen_dataset", lambda *arguments, **options: (dataset, ("Changed.",)))
    run: Any = SimpleNamespace(config=config_of(without="fray", **fields), description=None)
    for split in ("train", "validation"):
        _, splits, notes = testing.open_splits(run, split)
        assert set(splits.test.labels().tolist()) == {0, 1}
        said = f"{split} is scored without the images of fray, as config.data.without says."
        assert notes == ("Changed.", said)
        if split == "validation":
            # The threshold is chosen on "these very images".
            assert splits.threshold is not None
            assert splits.test.names() == splits.threshold.names()
    _, splits, notes = testing.open_splits(run, "test")
    assert (splits.test, notes) == (dataset.source("test"), ("Changed.",))


def test_a_split_of_which_nothing_is_left(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(testing, "reopen_dataset", lambda *arguments, **options: (dataset, ()))
    dataset.sources["validation"] = dataset.sources["validation"].subset([1, 2])
    config = config_of(without="crack,fray", select_on="none")
    run: Any = SimpleNamespace(config=config, description=None)
    opened: Any = testing.open_splits(run, "validation")[:2]
    unused: Any = None
    with pytest.raises(UserError, match=r"without leaves no image of validation to score: name another split\."):
        testing.evaluate_network(unused, config, *opened, step=1, steps=1)


def test_no_test_image_is_not_blamed_on_the_classes_that_are_left_out(dataset: Dataset) -> None:
    config = config_of(without="fray")
    splits = replace(choose_splits(cast(Any, dataset), config), test=dataset.source("test").subset([]))
    unused: Any = None
    with pytest.raises(UserError, match=r"^there is no image of test to score: name another split\.$"):
        testing.evaluate_network(unused, config, unused, splits, step=1, steps=1)


def test_why_there_is_no_threshold_is_said_of_validation_too(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(testing, "reopen_dataset", lambda *arguments, **options: (dataset, ()))
    run: Any = SimpleNamespace(config=config_of(overfit=2), description=None)
    _, splits, _ = testing.open_splits(run, "validation")
    assert (splits.threshold, splits.test_name) == (None, "validation")
    assert splits.threshold_name == "config.data.overfit leaves no images to choose one on"


def test_a_run_of_a_fold_says_so(dataset: Dataset) -> None:
    config = config_of(folds=2, fold=1, without="fray")
    splits = choose_splits(dataset, config)
    assert splits.selection is not None
    assert 2 not in splits.train[0].labels().tolist() + splits.selection.labels().tolist()
    facts = training_facts(splits, config, 0)
    assert (facts["folds"], facts["fold"], facts["images"]) == (2, 1, len(splits.train[0]))
    whole = config_of(folds=2, fold=1)
    note = scarcity_note(choose_splits(dataset, whole), whole, dataset)
    assert note is not None
    assert note.startswith("this run learns from ")


def test_more_folds_than_groups_of_images(dataset: Dataset) -> None:
    with pytest.raises(UserError, match=r"folds=10, but train and validation have 9 groups .*: choose 9 at most"):
        choose_splits(dataset, config_of(folds=10))
    choose_splits(dataset, config_of(folds=9))


def test_the_seed_of_the_run_decides_which(dataset: Dataset) -> None:
    def drawn(seed: int) -> list[str]:
        config = config_of(train_images=6)
        config.seed = seed
        return choose_splits(dataset, config).train[0].names()

    assert drawn(0) == drawn(0)
    assert len({tuple(drawn(seed)) for seed in range(5)}) > 1


def test_a_class_that_the_dataset_does_not_have(dataset: Dataset) -> None:
    message = r"config\.data\.without='fray, dent' names dent, which is no class of mtdd: its classes are free, crack"
    with pytest.raises(UsageError, match=message):
        choose_splits(dataset, config_of(without="fray, dent"))
