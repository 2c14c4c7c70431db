"""What a run says of its images before its first step."""

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from image_records import ImageRecords

from dms_jax.data.examples import ExampleSource
from dms_jax.data.inspect.warnings import NO_DEFECT_TO_LEARN, class_warnings
from dms_jax.data.vanishing import VanishedDefects
from dms_jax.runs import data_warnings as module
from dms_jax.runs.config.defaults import default_config
from dms_jax.runs.data_warnings import data_warnings
from dms_jax.runs.splits import Splits, choose_splits


def source_of(*marks: int, known: bool = True, label: int = 1, size: int = 40) -> ExampleSource:
    """Square images with a defect of so many rows each."""
    masks = [np.zeros((size, size), np.uint8) for _ in marks]
    for mask, rows in zip(masks, marks, strict=True):
        mask[:rows] = 255
    images = [np.zeros((size, size, 3), np.uint8)] * len(masks)
    records = ImageRecords(images, masks, [label] * len(masks), [known] * len(masks))
    return ExampleSource(records, "train", free_class=0)


def said(
    train: ExampleSource,
    selection: ExampleSource | None,
    monkeypatch: pytest.MonkeyPatch,
    summary: tuple[str, ...] = (),
    classes: tuple[str, ...] = ("good", "crack"),
    test: ExampleSource | None = None,
    **fields: Any,
) -> tuple[str, ...]:
    monkeypatch.setattr(module, "summarise", lambda dataset: SimpleNamespace(warnings=summary, splits={}))
    monkeypatch.setattr(module, "class_warnings", lambda *labels: ())
    splits = Splits((train,), selection, test or train, "test", "validation", None, "")
    config = default_config()
    config.data.image_size = 32
    config.update_from_flattened_dict({name.replace("__", "."): value for name, value in fields.items()})
    # Without a way to read it anew: what is counted is known already.
    return data_warnings(config, SimpleNamespace(class_names=classes), splits)


def summary_of(labels: dict[str, list[int]], classes: tuple[str, ...], warnings: tuple[str, ...]) -> SimpleNamespace:
    parts = {
        split: SimpleNamespace(classes={name: members.count(label) for label, name in enumerate(classes)})
        for split, members in labels.items()
    }
    return SimpleNamespace(warnings=warnings, splits=parts)


@pytest.mark.parametrize(
    ("idle", "needed", "fix"),
    [
        ({"data__tile_size": 192}, {"data__resize": "tiles"}, "squash: .* such as --config.data.resize=tiles"),
        ({"data__mask_balance": 0.5}, {"data__balance": 0.5}, r"0.0: .* such as --config.data.balance=0.5"),
        ({"data__tile_overlap": 0.5}, {"data__resize": "tiles"}, "squash: .* such as --config.data.resize=tiles"),
        ({"loss__pasted_weight": 0.5}, {"augment__paste": 0.25}, "0.0: .* such as --config.augment.paste=0.5"),
        ({"loss__iou_on": "defective"}, {"loss__iou_weight": 0.5}, "0.0: .* such as --config.loss.iou_weight=1.0"),
    ],
)
def test_a_field_that_does_nothing_without_another(
    idle: dict[str, Any], needed: dict[str, Any], fix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As large as the crop, so that no defect is lost in either way.
    sound = source_of(9, 0, size=32)
    ((name, value),) = ((name.replace("__", "."), value) for name, value in idle.items())
    (sentence,) = said(sound, sound, monkeypatch, **idle)
    assert re.search(rf"^config\.{name}={value} does nothing with config\.[a-z_.]+={fix}\.$", sentence)
    assert not any("does nothing" in other for other in said(sound, sound, monkeypatch, **idle, **needed))


def test_what_prepare_warns_of_comes_first_and_once(monkeypatch: pytest.MonkeyPatch) -> None:
    sound = source_of(9, 0)
    assert said(sound, sound, monkeypatch) == ()
    assert said(sound, sound, monkeypatch, ("Few.", "Copies.", "Few.")) == ("Few.", "Copies.")


@pytest.mark.parametrize(("known", "reason"), [(True, "has a defect in its mask"), (False, "has a mask")])
def test_a_training_set_without_a_defect(known: bool, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As MVTec AD is published, for methods that learn what is normal."""
    # Of the dataset too, which is the same.
    train, test = source_of(0, 0, known=known), source_of(9, 0)
    (sentence,) = said(train, source_of(9), monkeypatch, (NO_DEFECT_TO_LEARN,), test=test)
    assert sentence.startswith(f"No training image {reason}, so that the saliency map can learn nothing: ")


@pytest.mark.parametrize("known", [True, False])
def test_a_map_that_learns_from_pasted_defects_alone(known: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are pasted where the mask is known and empty."""
    train, test = source_of(0, 0, known=known), source_of(9, 0)
    (sentence,) = said(train, source_of(9), monkeypatch, test=test, augment__paste=0.5)
    effect = "can learn nothing but the defects that are drawn on normal images" if known else "can learn nothing"
    assert f"so that the saliency map {effect}: " in sentence


@pytest.mark.parametrize("known", [True, False])
def test_class_heads_that_see_where_a_map_is_that_learns_nothing(known: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    def warned(*marks: int, label: int = 1, classes: tuple[str, ...] = ("good", "crack"), **fields: Any) -> bool:
        train = source_of(*marks, known=known or any(marks), label=label)
        fields = {"model__class_pooling": "saliency", **fields}
        sentences = said(train, source_of(9), monkeypatch, classes=classes, **fields)
        return any(
            sentence.endswith(" train them with --config.model.class_pooling=average.") for sentence in sentences
        )

    assert warned(0, 0)
    assert warned(0, 0, model__network="sdms", model__ablation="a")
    assert not warned(0, 9)
    assert not warned(0, 0, label=-1)
    assert not warned(0, 0, classes=("crack",))
    assert not warned(0, 0, model__class_pooling="average")
    assert not warned(0, 0, model__ablation="b")
    assert not warned(0, 0, model__network="unet")


@pytest.mark.parametrize(
    ("selection", "classes", "sentence"),
    [
        (
            source_of(0),
            2,
            r"No mask of validation .* a defect: .* accuracy of the classes alone, of equals the last\.",
        ),
        (
            source_of(9, known=False),
            2,
            r"No image of validation has a mask: .* classes alone, of equals the last\.",
        ),
        (source_of(0), 1, r"No mask of validation shows a defect: .* by the MAE, which black maps win\."),
        (source_of(9, known=False), 1, r"No image of validation has a mask: nothing tells .*, and the last is kept\."),
        (
            source_of(9, known=False, label=-1),
            2,
            r"No image of validation has a mask: nothing .*the last is kept\.",
        ),
    ],
)
def test_what_the_best_is_chosen_by(
    selection: ExampleSource, classes: int, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (found,) = said(source_of(9), selection, monkeypatch, classes=("good", "crack")[:classes])
    assert re.fullmatch(sentence, found)


@pytest.mark.parametrize("where", ["training", "validation"])
def test_defects_that_vanish(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sound, thin = source_of(9, 0, size=200), source_of(9, 1, size=200)
    train, selection = (thin, sound) if where == "training" else (sound, thin)
    (sentence,) = said(train, selection, monkeypatch)
    assert "nothing is left of the defect in 1 of 3 defective images (n1): set config.data.resize=tiles" in sentence


@pytest.mark.parametrize(
    ("rows", "said_so"),
    [((9, 0, 0), "Only 1 mask of fold 0 shows"), ((9, 8, 0, 7, 6), "Only 4 masks of fold 0 show"), ((9,) * 5, "")],
)
def test_a_threshold_that_few_defects_choose(
    rows: tuple[int, ...], said_so: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "summarise", lambda dataset: SimpleNamespace(warnings=(), splits={}))
    monkeypatch.setattr(module, "class_warnings", lambda *labels: ())
    whole, validation = source_of(9, 9), source_of(*rows)
    splits = Splits((whole,), validation, whole, "test", "validation", validation, "fold 0")
    config = default_config()
    config.data.image_size = 32
    found = data_warnings(config, SimpleNamespace(class_names=("good", "crack")), splits)
    assert len(found) == bool(said_so)
    assert all(
        sentence.startswith(f"{said_so} a defect, so that the operating threshold is a rough") for sentence in found
    )


@pytest.mark.parametrize(
    ("theirs", "fields", "expected"),
    [
        (("good", "crack"), {}, False),
        (("crack", "good"), {}, True),
        (("good", "dent"), {}, True),
        # Refused by their shapes.
        (("good", "crack", "dent"), {}, False),
        (("good", "dent"), {"init__skip": "step0/classes, step*/classes"}, False),
        (("good", "dent"), {"init__skip": "step*/classes/*"}, False),
        (("good", "dent"), {"init__skip": "stage1"}, True),
        # Without class heads.
        (("good", "dent"), {"model__ablation": "b"}, False),
    ],
)
def test_class_heads_of_other_classes(
    theirs: tuple[str, ...], fields: dict[str, str], expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module.RunDescription, "load", lambda workdir: SimpleNamespace(class_names=theirs))
    whole = source_of(9, 0)
    found = list(said(whole, whole, monkeypatch, init__checkpoint="runs/a", **fields))
    sentence = (
        f"The class heads of runs/a are for {', '.join(theirs)}, in this order, and those of this run for good, crack: "
        "begin them anew with --config.init.skip='step*/classes'."
    )
    assert found == [sentence] * expected


def test_a_checkpoint_that_says_nothing_of_its_classes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = source_of(9, 0)
    assert said(whole, whole, monkeypatch, init__checkpoint=str(tmp_path)) == ()


def test_a_warm_up_that_the_steps_do_not_reach_the_end_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """As of a recipe with 500, for a run that is to be short."""
    assert said(source_of(9), source_of(9), monkeypatch, steps=501, optimizer__warmup_steps=500) == ()
    (sentence,) = said(source_of(9), source_of(9), monkeypatch, steps=400, optimizer__warmup_steps=500)
    assert "config.optimizer.warmup_steps=500 steps, but config.steps=400 end before" in sentence
    assert sentence.endswith("such as --config.optimizer.warmup_steps=40.")


@pytest.mark.parametrize(
    ("fields", "few"),
    [
        ({}, "crack (8)"),
        ({"train_images": 25}, "crack (4), fray (6)"),
        ({"without": "crack"}, None),
        # All of validation is learnt from too: ten cracks.
        ({"select_on": "none"}, None),
        ({"select_on": "none", "train_images": 27}, "crack (5), fray (6)"),
        ({"overfit": 3}, "crack (8)"),
    ],
)
def test_classes_with_few_images_are_those_that_are_learnt_from(
    fields: dict[str, Any], few: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    classes = ("good", "crack", "fray")
    labels = {"train": [0] * 30 + [1] * 8 + [2] * 12, "validation": [0, 1, 1, 2], "test": [0, 1, 2]}

    def source(split: str) -> ExampleSource:
        masks = [np.full((40, 40), 255 * bool(label), np.uint8) for label in labels[split]]
        images = [np.zeros((40, 40, 3), np.uint8)] * len(masks)
        return ExampleSource(ImageRecords(images, masks, labels[split]), "train", free_class=0)

    sources = {split: source(split) for split in labels}
    dataset = SimpleNamespace(class_names=classes, free_class=0, source=sources.__getitem__)
    prepared = (*class_warnings(labels, classes), "2 images are defective everywhere.")
    monkeypatch.setattr(module, "summarise", lambda dataset: summary_of(labels, classes, prepared))
    monkeypatch.setattr(module, "_FEW_DEFECTS", 0)  # which is said by itself
    config = default_config()
    config.data.image_size = 32
    config.data.update(fields)
    found = data_warnings(config, dataset, choose_splits(dataset, config))
    sentence = f"Classes with fewer than 10 training images: {few}."
    assert found == (*([sentence] if few else []), prepared[-1])


def test_with_folds_the_classes_and_masks_of_the_fold_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """The dataset's own validation, here normal images alone, is validation no more."""
    classes = ("good", "crack", "fray")

    def part(labels: list[int]) -> ExampleSource:
        masks = [np.full((40, 40), 0, np.uint8) for _ in labels]
        for mask, label in zip(masks, labels, strict=True):
            mask[: 9 * label] = 255
        groups = [f"{label}/{i}" if label < 2 else "fray" for i, label in enumerate(labels)]
        images = [np.zeros((40, 40, 3), np.uint8)] * len(labels)
        return ExampleSource(ImageRecords(images, masks, labels, groups=groups), "train", free_class=0)

    train, validation, test = [0] * 22 + [1] * 24 + [2] * 2, [0] * 4, [0, 1, 2]
    sources = {"train": part(train), "validation": part(validation), "test": part(test)}
    sources["train+validation"] = part(train + validation)
    dataset = SimpleNamespace(class_names=classes, free_class=0, source=sources.__getitem__)
    of_images = "2 images are defective everywhere."
    few = "Classes with fewer than 10 training images: fray (2)."
    own = (
        few,
        "Classes without an image in validation: crack, fray.",
        of_images,
        "No mask of validation shows a defect, so that no operating threshold can be chosen on it.",
    )
    summary = summary_of({"train": train, "validation": validation, "test": test}, classes, own)
    monkeypatch.setattr(module, "summarise", lambda dataset: summary)
    config = default_config()
    config.data.image_size = 32
    said_of = []
    for fold in range(2):
        config.data.folds, config.data.fold = 2, fold
        said_of.append(data_warnings(config, dataset, choose_splits(dataset, config)))
    learnt = (few, "Classes without an image in validation: fray.", of_images)
    validated = ("Classes without an image in train: fray.", of_images)
    assert sorted(said_of) == sorted([learnt, validated])
    config.data.folds, config.data.fold = 0, 0
    assert set(own) < set(data_warnings(config, dataset, choose_splits(dataset, config)))


def test_a_fold_without_a_defect_chooses_no_threshold(monkeypatch: pytest.MonkeyPatch) -> None:
    images, masks = [np.zeros((40, 40, 3), np.uint8)] * 4, [np.zeros((40, 40), np.uint8) for _ in range(4)]
    masks[0][:9] = 255
    records = ImageRecords(images, masks, [1, 0, 0, 0], groups=list("abcd"))
    whole = ExampleSource(records, "train", free_class=0)
    dataset = SimpleNamespace(class_names=("good", "crack"), free_class=0, source=lambda split: whole)
    summary = summary_of({split: [1, 0, 0, 0] for split in ("train", "validation", "test")}, dataset.class_names, ())
    monkeypatch.setattr(module, "summarise", lambda dataset: summary)
    config = default_config()
    config.data.image_size, config.data.folds = 32, 4
    found = []
    for fold in range(4):
        config.data.fold = fold
        warnings = data_warnings(config, dataset, choose_splits(dataset, config))
        found.append(any("no operating threshold can be chosen" in warning for warning in warnings))
    assert sorted(found) == [False, True, True, True]


@pytest.mark.parametrize(
    ("resize", "known", "label", "is_said"),
    [("tiles", False, 1, True), ("squash", False, 1, False), ("tiles", True, 1, False), ("tiles", False, 0, False)],
)
def test_tiles_of_a_defect_without_a_mask_teach_nothing(
    resize: str, known: bool, label: int, is_said: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    train, sound = source_of(9, 8, known=known, label=label), source_of(9, 0)
    sentences = said(train, sound, monkeypatch, test=sound, data__resize=resize)
    start = "With config.data.resize=tiles, 2 of the 2 training images teach nothing: "
    assert any(sentence.startswith(start) for sentence in sentences) == is_said


def test_images_of_test_without_a_mask(monkeypatch: pytest.MonkeyPatch) -> None:
    sound = source_of(9, 0)
    (sentence,) = said(sound, sound, monkeypatch, test=source_of(9, 0, known=False))
    assert sentence.startswith("No image of test has a mask, so that its maps are not scored: ")


@pytest.mark.parametrize(("kept", "is_said"), [(0, True), (20, False)])
def test_a_selection_whose_defects_all_vanish(kept: int, is_said: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing is left of any of them, maxF is unknown at each step."""
    masks = [np.zeros((80, 80), np.uint8) for _ in range(2)]
    # A pixel of 80 x 80 is a sixth of one of 32 x 32.
    masks[0][3, 3] = masks[1][3, 3] = 255
    masks[1][:kept] = 255
    records = ImageRecords([np.zeros((80, 80, 3), np.uint8)] * 2, masks, [1, 1])
    sentences = said(source_of(9, 0), ExampleSource(records, "train", free_class=0), monkeypatch)
    assert any("nothing is left of the defect" in sentence for sentence in sentences)
    by = "At the network's size nothing is left of any defect of validation: the best checkpoint is chosen by the "
    assert any(sentence.startswith(by) for sentence in sentences) == is_said


def test_no_record_is_read_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading may take minutes where a dataset is large or far."""
    train, selection = source_of(9, 8, 7), source_of(9, 8)
    read = []
    record = ExampleSource._record
    monkeypatch.setattr(ExampleSource, "_record", lambda self, index: read.append(self) or record(self, index))
    monkeypatch.setattr(module, "vanished_defects", lambda *arguments: VanishedDefects(0, (), ()))
    assert said(train, selection, monkeypatch) == ()
    assert [read.count(source) for source in (train, selection)] == [3, 2]
