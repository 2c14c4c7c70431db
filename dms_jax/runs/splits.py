"""What a run learns from, chooses its best checkpoint by, and is tested on."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from dms_jax.data.examples import ExampleSource, defective_share, one_of_each_class
from dms_jax.data.folds import fold_of_each
from dms_jax.data.prepared import PreparedDataset
from dms_jax.data.scarcity import Scarcity, make_scarce, without_classes
from dms_jax.errors import UsageError, UserError, some_names

# So many classes are named in a sentence; the others are counted.
_NAMED = 5


@dataclass(frozen=True)
class Splits:
    """The images of a run.

    Attributes:
      train: sources to learn from, together.
      selection: to choose the best checkpoint by; None to keep the last.
      test: to measure that checkpoint on.
      test_name: what `test` is.
      selected_on: what `selection` is, for the results to say.
      threshold: to choose the operating threshold on; None where there are no such images.
      threshold_images: what `threshold` is; or why there is none.
      threshold_remarks: what speaks against a threshold that is chosen on them.
    """

    train: tuple[ExampleSource, ...]
    selection: ExampleSource | None
    test: ExampleSource
    test_name: str
    selected_on: str
    threshold: ExampleSource | None
    threshold_images: str
    threshold_remarks: tuple[str, ...] = ()

    @property
    def threshold_name(self) -> str:
        """`threshold_images` with the remarks, for the results to say."""
        remarks = f" ({', '.join(self.threshold_remarks)})" if self.threshold_remarks else ""
        return self.threshold_images + remarks

    def defective_share(self) -> float:
        """The share of defective pixels in a training image, averaged over the images whose mask is known.

        0.5 where none is.
        """
        shares = [defective_share(source) for source in self.train]
        known = [np.count_nonzero(source.has_masks()) for source in self.train]
        return float(np.average(shares, weights=known)) if any(known) else 0.5


def choose_splits(dataset: PreparedDataset, config: ConfigDict) -> Splits:
    """The splits of a dataset as the configuration would have them.

    `data.select_on` is "validation" (a tenth of the training groups is kept back for it), "test" (all of train is
    learnt from, and the best on test is reported, as the paper seems to have done) or "none" (all of train is learnt
    from, and the last step is reported). With `data.folds`, validation is one of so many parts of train and validation
    together, and the others are learnt from. `data.overfit` learns from a few training images and tests on them.

    What is learnt from may be made scarce (`data.train_images`, `data.mask_share`); the classes `data.without` are in
    neither training nor validation. The test images are always all of them.

    Raises:
      UserError: the images do not allow what is asked for.
    """
    train, validation = train_and_validation(dataset, config)
    test = dataset.source("test")
    if config.data.overfit:
        few = train.subset(one_of_each_class(train.labels(), config.data.overfit))
        none = "config.data.overfit leaves no images to choose one on"
        return Splits((few,), few, few, "train", "train", threshold=None, threshold_images=none)
    scarcity = scarcity_of(config, dataset.class_names)
    seen = without_classes(validation, scarcity.without)
    none_left = len(validation) > 0 and not len(seen)
    if config.data.select_on == "validation":
        scarce = _make_scarce((train,), scarcity, dataset)
        if none_left:
            folds = config.data.folds
            otherwise = (
                "take another config.data.fold" if folds else "choose by nothing with config.data.select_on=none"
            )
            raise UserError(
                f"config.data.without leaves no image of {validation_name(config)}: leave out fewer classes, or "
                f"{otherwise}."
            )
        return Splits(scarce, seen, test, "test", "validation", seen, validation_name(config))
    whole = Splits(
        train=_make_scarce((train, validation), scarcity, dataset),
        selection=test if config.data.select_on == "test" else None,
        test=test,
        test_name="test",
        selected_on=config.data.select_on,
        # Never on test: rather on images that were learnt from, and so look better than others.
        threshold=seen,
        threshold_images="validation",
        threshold_remarks=("partly learnt from" if scarcity.images or scarcity.mask_share < 1 else "learnt from",),
    )
    if none_left:
        none = "config.data.without leaves no images to choose one on"
        return replace(whole, threshold=None, threshold_images=none, threshold_remarks=())
    return whole


def validation_name(config: ConfigDict) -> str:
    """What the images of validation are, for sentences: those of the dataset, or a fold, which count from 0."""
    if not config.data.folds:
        return "validation"
    return f"fold {config.data.fold} of folds 0 to {config.data.folds - 1}"


def named_split(dataset: PreparedDataset, config: ConfigDict, name: str) -> ExampleSource:
    """`train`, `validation` or `test` of a run; see `train_and_validation`.

    The first two lack the classes of `data.without`, and may so be empty. Images that `data.train_images` keeps a run
    from learning from are in them.

    Raises:
      UserError: there are more folds than groups of images, or a file is damaged.
      UsageError: there is no such split.
    """
    if name not in ("train", "validation"):
        return dataset.source(name)
    source = train_and_validation(dataset, config)[name == "validation"]
    return without_classes(source, scarcity_of(config, dataset.class_names).without)


def train_and_validation(dataset: PreparedDataset, config: ConfigDict) -> tuple[ExampleSource, ExampleSource]:
    """What a run may learn from and is validated by: the dataset's own, or with `data.folds` parts of both together.

    Raises:
      UserError: there are more folds than groups of images, or a file is damaged.
    """
    folds = config.data.folds
    if not folds:
        return dataset.source("train"), dataset.source("validation")
    both = dataset.source("train+validation")
    groups = both.groups()
    count = len(set(groups))
    if folds > count:
        raise UserError(
            f"config.data.folds={folds}, but train and validation have {count} groups of images: choose {count} at "
            "most."
        )
    is_chosen = fold_of_each(both.labels(), groups, folds) == config.data.fold
    return both.subset(np.flatnonzero(~is_chosen)), both.subset(np.flatnonzero(is_chosen))


def _make_scarce(
    sources: tuple[ExampleSource, ...], scarcity: Scarcity, dataset: PreparedDataset
) -> tuple[ExampleSource, ...]:
    return sources if scarcity == Scarcity(seed=scarcity.seed) else make_scarce(sources, scarcity, dataset.class_names)


def scarcity_of(config: ConfigDict, class_names: Sequence[str]) -> Scarcity:
    """What of the training images the configuration would have used.

    Raises:
      UsageError: `data.without` names a class that the dataset does not have.
    """
    data = config.data
    names = excluded_classes(config)
    unknown = sorted(set(names) - set(class_names))
    if unknown:
        raise UsageError(
            f"config.data.without={data.without!r} names {some_names(unknown, _NAMED)}, which is no class of "
            f"{data.dataset}: its classes are {', '.join(class_names)}."
        )
    without = tuple(sorted({class_names.index(name) for name in names}))
    return Scarcity(without, data.train_images, data.mask_share, config.seed)


def excluded_classes(config: ConfigDict) -> tuple[str, ...]:
    """The names in `data.without`."""
    return tuple(name.strip() for name in config.data.without.split(",") if name.strip())


def training_facts(splits: Splits, config: ConfigDict, free_class: int | None) -> dict[str, Any]:
    """What a run learns from, for its results to say.

    Returns:
      `images` to learn from; `masks`, how many of them have a mask that somebody had to draw, that is all known masks
      but those of the defect-free class; `mask_share` and `without` (a list of names) of the configuration, and where
      they are set `mask_balance`, and `folds` and `fold`.
    """
    masks = sum(int(np.count_nonzero(source.has_masks() & ~_is_free(source, free_class))) for source in splits.train)
    return {
        "images": sum(map(len, splits.train)),
        "masks": masks,
        "mask_share": config.data.mask_share,
        "without": list(excluded_classes(config)),
        **({"mask_balance": config.data.mask_balance} if config.data.mask_balance else {}),
        **({"folds": config.data.folds, "fold": config.data.fold} if config.data.folds else {}),
    }


def _is_free(source: ExampleSource, free_class: int | None) -> np.ndarray:
    labels = source.labels()
    return np.zeros(len(labels), bool) if free_class is None else labels == free_class


def scarcity_note(splits: Splits, config: ConfigDict, dataset: PreparedDataset) -> str | None:
    """A sentence on what the run learns from, class by class; None where that is all there is."""
    scarcity = scarcity_of(config, dataset.class_names)
    if config.data.overfit or (scarcity == Scarcity(seed=scarcity.seed) and not config.data.folds):
        return None
    labels = np.concatenate([source.labels() for source in splits.train])
    masks = np.concatenate([source.has_masks() for source in splits.train])
    names = dict(enumerate(dataset.class_names)) | {-1: "no label"}
    counts = [
        f"{names[label]} {np.count_nonzero(own)} ({np.count_nonzero(own & masks)})"
        for label in np.unique(labels).tolist()
        for own in [labels == label]
    ]
    return (
        f"this run learns from {len(labels)} images, {np.count_nonzero(masks)} of them with their masks: "
        f"{', '.join(counts)}."
    )
