"""What is likely to be wrong with a run's images, or with what it does with them, to be said before its first step."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict
from numpy.typing import NDArray

from dms_jax.data.examples import ExampleSource
from dms_jax.data.inspect.summary import summarise
from dms_jax.data.inspect.warnings import NO_DEFECT_TO_LEARN, NO_OPERATING_THRESHOLD, PUT_INTO_TRAIN, class_warnings
from dms_jax.data.prepared import PreparedDataset
from dms_jax.data.vanishing import vanished_defects, vanishing_sentence
from dms_jax.errors import some_names
from dms_jax.models.dms import DMS
from dms_jax.runs.config import build
from dms_jax.runs.config.defaults import default_config
from dms_jax.runs.config.fields import flatten
from dms_jax.runs.description import RunDescription
from dms_jax.runs.initialization import CLASS_HEADS, keeps_class_heads
from dms_jax.runs.splits import Splits, train_and_validation

# So many classes are named in a warning; the others are counted.
_NAMED = 10
# Fewer images with a defect than these choose a threshold badly.
_FEW_DEFECTS = 5


def data_warnings(config: ConfigDict, dataset: PreparedDataset, splits: Splits) -> tuple[str, ...]:
    """What `dms-jax prepare` warns of, and what is wrong with the images or steps of this run; one sentence each."""
    # Masks are looked at first: that brings the labels along, which would be read by themselves else.
    of_run = [
        *_of_training(config, splits, len(dataset.class_names)),
        *_of_selection(splits, len(dataset.class_names)),
        *_of_threshold(splits),
        *_of_class_heads(config, dataset.class_names),
        *_of_test(splits),
        *_of_framing(config, splits, len(dataset.class_names)),
        *_of_steps(config),
        *_of_idle_fields(config),
    ]
    return tuple(dict.fromkeys([*_of_dataset(config, dataset, splits), *of_run]))


def _of_dataset(config: ConfigDict, dataset: PreparedDataset, splits: Splits) -> Iterator[str]:
    """What `dms-jax prepare` warns of, with few images of a class counted where this run learns from.

    That may be fewer or more than the images of `train`. With `data.folds`, what is said of classes and of validation
    is about this run's parts, not the dataset's.
    """
    summary = summarise(dataset)
    ours = {split: _labels_of(part.classes) for split, part in summary.splits.items()}
    # What this run can learn is said of the run: `_of_training`.
    not_ours = {*class_warnings(ours, dataset.class_names), NO_DEFECT_TO_LEARN}
    of_validation: tuple[str, ...] = ()
    if config.data.folds:
        train, validation = train_and_validation(dataset, config)
        not_ours.add(NO_OPERATING_THRESHOLD)
        of_validation = () if _shows_defects(validation) else (NO_OPERATING_THRESHOLD,)
        ours |= {"train": train.labels().tolist(), "validation": validation.labels().tolist()}
    # `data.overfit` is meant to learn from few.
    learnt = None if config.data.overfit else np.concatenate([source.labels() for source in splits.train]).tolist()
    yield from class_warnings(ours, dataset.class_names, learnt)
    yield from of_validation
    yield from (warning for warning in summary.warnings if warning not in not_ours)


def _labels_of(counts: Mapping[str, int]) -> list[int]:
    """The labels of so many images of each class, in the order of their indices."""
    return [label for label, count in enumerate(counts.values()) for _ in range(count)]


def _of_training(config: ConfigDict, splits: Splits, num_classes: int) -> Iterator[str]:
    if any(map(_shows_defects, splits.train)):
        return
    known = any(source.has_masks().any() for source in splits.train)
    reason = "No training image has a defect in its mask" if known else "No training image has a mask"
    # None of them shows a defect.
    pasted = config.augment.paste > 0 and known
    effect = "can learn nothing but the defects that are drawn on normal images" if pasted else "can learn nothing"
    yield f"{reason}, so that the saliency map {effect}: {PUT_INTO_TRAIN}"
    model = _with_class_heads(config, num_classes)
    labelled = any(np.any(source.labels() >= 0) for source in splits.train)
    if model is not None and model.class_pooling == "saliency" and num_classes > 1 and labelled:
        yield (
            "The class heads see the features where the saliency map is, and so hardly anything of a defect that it "
            "does not find: without masks of defects, train them with --config.model.class_pooling=average."
        )


def _with_class_heads(config: ConfigDict, num_classes: int) -> DMS | None:
    """The run's SDMS or BDMS; None where it has no class heads, or the network is another."""
    model = build.build_model(config, num_classes)
    return model if isinstance(model, DMS) and model.has_class_heads else None


def _of_class_heads(config: ConfigDict, class_names: Sequence[str]) -> Iterator[str]:
    """Heads of another run, that name as many classes, but others."""
    if not keeps_class_heads(config):
        return
    source = Path(config.init.checkpoint).expanduser()
    earlier = RunDescription.load(source)
    if earlier is None or _with_class_heads(config, len(class_names)) is None:
        return
    theirs, ours = tuple(earlier.class_names), tuple(class_names)
    # Another number is refused.
    if theirs != ours and len(theirs) == len(ours):
        yield (
            f"The class heads of {source} are for {some_names(theirs, _NAMED)}, in this order, and those of this run "
            f"for {some_names(ours, _NAMED)}: begin them anew with --config.init.skip='{CLASS_HEADS}'."
        )


def _of_selection(splits: Splits, num_classes: int) -> Iterator[str]:
    """By what the best checkpoint is chosen, where that is not the maps of defective images."""
    source, name = splits.selection, splits.selected_on
    if source is None or _shows_defects(source):
        return
    has_masks = source.has_masks().any()
    reason = f"No mask of {name} shows a defect" if has_masks else f"No image of {name} has a mask"
    yield f"{reason}: {_chosen_by(source, num_classes)}."


def _chosen_by(source: ExampleSource, num_classes: int) -> str:
    """What tells checkpoints apart where no defect is to be seen in the masks."""
    # See `dms_jax.runs.validation.validation_score`; a single class cannot be missed.
    if num_classes > 1 and np.any(source.labels() >= 0):
        return "the best checkpoint is chosen by the accuracy of the classes alone, of equals the last"
    if source.has_masks().any():
        return "the best checkpoint is chosen by the MAE, which black maps win"
    return "nothing tells checkpoints apart, and the last is kept"


def _of_threshold(splits: Splits) -> Iterator[str]:
    """Few defects to choose the operating threshold by: it jumps from run to run."""
    source = splits.threshold
    if source is None:
        return
    count = len(_with_defects(source))
    if 0 < count < _FEW_DEFECTS:
        yield (
            f"Only {count} {'mask' if count == 1 else 'masks'} of {splits.threshold_name} "
            f"{'shows' if count == 1 else 'show'} a defect, so that the operating threshold is a rough one: put more "
            "defective images there, or train on several data.folds and compare."
        )


def _shows_defects(source: ExampleSource) -> bool:
    return len(_with_defects(source)) > 0


def _with_defects(source: ExampleSource) -> NDArray[np.intp]:
    """The numbers of the images whose mask shows a defect."""
    return np.flatnonzero(source.defective() & source.has_masks())


def _has_unmarked_defect(source: ExampleSource) -> NDArray[np.bool_]:
    return ~source.has_masks() & (source.labels() != source.free_class)


def _of_test(splits: Splits) -> Iterator[str]:
    if not splits.test.has_masks().any():
        yield (
            f"No image of {splits.test_name} has a mask, so that its maps are not scored: put masks there, black ones "
            "for images without a defect."
        )


def _of_framing(config: ConfigDict, splits: Splits, num_classes: int) -> Iterator[str]:
    framing = build.framing_config(config)
    sources = list(splits.train)
    for other in (splits.selection, splits.test):
        if other is not None and not any(other is source for source in sources):
            sources.append(other)
    found = vanished_defects(sources, framing)
    sentence = vanishing_sentence(found, framing)
    if sentence is not None:
        yield sentence
    if framing.mode == "tiles":
        idle = sum(np.count_nonzero(_has_unmarked_defect(source)) for source in splits.train)
        if idle:
            yield (
                f"With config.data.resize=tiles, {idle} of the {sum(map(len, splits.train))} training images teach "
                "nothing: without a mask, nobody knows which of their tiles show the defect. Give them masks, or train "
                "on whole images (squash or letterbox), where they teach their class."
            )
    if splits.selection is None:
        return
    names = splits.selection.names()
    shown = {names[index] for index in _with_defects(splits.selection)}
    if shown and shown <= set(found.gone):
        yield (
            f"At the network's size nothing is left of any defect of {splits.selected_on}: "
            f"{_chosen_by(splits.selection, num_classes)}."
        )


def _of_steps(config: ConfigDict) -> Iterator[str]:
    """A run that was made shorter than its recipe's warm-up."""
    warmup = config.optimizer.warmup_steps
    if warmup >= config.steps:
        yield (
            f"The learning rate rises over config.optimizer.warmup_steps={warmup} steps, but config.steps="
            f"{config.steps} end before it is there: take a tenth of the steps for it, such as "
            f"--config.optimizer.warmup_steps={config.steps // 10}."
        )


def _of_idle_fields(config: ConfigDict) -> Iterator[str]:
    """Fields that were set, and do nothing without another one."""
    fields, defaults = flatten(config), flatten(default_config())
    for name, needed, is_used, fix in (
        ("data.tile_size", "data.resize", config.data.resize == "tiles", "tiles"),
        ("data.tile_overlap", "data.resize", config.data.resize == "tiles", "tiles"),
        ("data.mask_balance", "data.balance", config.data.balance > 0, "0.5"),
        ("loss.pasted_weight", "augment.paste", config.augment.paste > 0, "0.5"),
        ("loss.iou_on", "loss.iou_weight", config.loss.iou_weight > 0, "1.0"),
    ):
        if fields[name] != defaults[name] and not is_used:
            yield (
                f"config.{name}={fields[name]} does nothing with config.{needed}={fields[needed]}: leave it out, or "
                f"set the other too, such as --config.{needed}={fix}."
            )
