"""Fewer training images, masks or classes than there are: to measure how many of them a network needs."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dms_jax.data.examples import ExampleSource
from dms_jax.errors import UserError, some_names

# So many classes are named in a sentence; the others are counted.
_NAMED = 5


@dataclass(frozen=True)
class Scarcity:
    """What of the training images is used; its defaults leave all of them as they are.

    Attributes:
      without: indices of classes whose images are left out.
      images: how many images are used, of those that are left; 0 for all.
      mask_share: share of the defective images, of those that are left, whose mask is used, 0..1; the others teach
        their class alone. Images of the defect-free class keep theirs: that it is black is what their label says. So do
        images without a label, which have nothing else to teach.
      seed: decides which.
    """

    without: tuple[int, ...] = ()
    images: int = 0
    mask_share: float = 1.0
    seed: int = 0


def representative_order(labels: np.ndarray, groups: Sequence[str], seed: int) -> np.ndarray:
    """An order of images of which each beginning looks like the whole.

    The classes take turns by their shares (Webster's method), after one image of each; within a class, one group
    follows the other, so that a beginning has no more than one group of it in part. A beginning is part of each longer
    one, whatever numbers are asked for.

    Args:
      labels: int [n]; -1, unknown, counts as a class.
      groups: n names of what must stay together, such as a tile under several exposures.
      seed: decides the order of the groups.

    Returns:
      int64 [n], a permutation of the images' indices.
    """
    _, group_of, sizes = np.unique(np.asarray(groups, object), return_inverse=True, return_counts=True)
    rank = np.random.default_rng(seed).permutation(len(sizes))[group_of]
    turns, frequency = np.zeros(len(labels)), np.zeros(len(labels), np.int64)
    for label in np.unique(labels):
        own = np.flatnonzero(labels == label)
        frequency[own] = len(own)
        own = own[np.argsort(rank[own], kind="stable")]
        turns[own] = (np.arange(len(own)) + 0.5) / len(own)
        turns[own[0]] = 0
    # Of equals the larger class first, so that it is the rarest that a number too small leaves out.
    return np.lexsort((rank, labels, -frequency, turns))


def make_scarce(
    sources: Sequence[ExampleSource], scarcity: Scarcity, class_names: Sequence[str]
) -> tuple[ExampleSource, ...]:
    """The training images as `scarcity` would have them; sources that keep none are left out.

    Args:
      sources: of training images, which are drawn from together.
      scarcity: what of them is used.
      class_names: of all classes, also of those that are left out.

    Raises:
      UserError: there are fewer images than are asked for, or a class would have none, or no mask.
    """
    sources = [without_classes(source, scarcity.without) for source in sources]
    if not sum(map(len, sources)):
        raise UserError(
            "config.data.without leaves no training image: leave out fewer classes than the training images have."
        )
    if scarcity.images:
        sources = _draw_images(sources, scarcity, class_names)
    if scarcity.mask_share < 1:
        sources = _draw_masks(sources, scarcity, class_names)
    return tuple(source for source in sources if len(source))


def without_classes(source: ExampleSource, labels: Sequence[int]) -> ExampleSource:
    """A source of the images of all classes but those of some indices; of none, if there is no other."""
    if not len(labels):
        return source
    return source.subset(np.flatnonzero(~np.isin(source.labels(), labels)))


def _draw_images(
    sources: Sequence[ExampleSource], scarcity: Scarcity, class_names: Sequence[str]
) -> list[ExampleSource]:
    labels = np.concatenate([source.labels() for source in sources])
    if scarcity.images > len(labels):
        raise UserError(
            f"config.data.train_images={scarcity.images}, but there are {len(labels)} training images: choose "
            f"{len(labels)} at most, or 0 for all."
        )
    groups = [group for source in sources for group in source.groups()]
    order = representative_order(labels, groups, scarcity.seed)
    chosen, least = order[: scarcity.images], len(np.unique(labels))
    if missing := _classes_without(labels, chosen, class_names):
        raise UserError(
            f"config.data.train_images={scarcity.images} leaves no image of {missing}: choose {least} at least."
        )
    parts, start = [], 0
    for source in sources:
        own = np.sort(chosen[(chosen >= start) & (chosen < start + len(source))])
        parts.append(source.subset(own - start))
        start += len(source)
    return parts


def _draw_masks(
    sources: Sequence[ExampleSource], scarcity: Scarcity, class_names: Sequence[str]
) -> list[ExampleSource]:
    free = sources[0].free_class
    labels = np.concatenate([source.labels() for source in sources])
    known = np.concatenate([source.has_masks() for source in sources])
    groups = [group for source in sources for group in source.groups()]
    candidates = np.flatnonzero(known & (labels >= 0) & (labels != (-1 if free is None else free)))
    if not len(candidates):
        raise UserError(
            f"config.data.mask_share={scarcity.mask_share} is a share of the masks of defective training images that "
            "have a label, and there is none: leave it out."
        )
    order = candidates[representative_order(labels[candidates], [groups[i] for i in candidates], scarcity.seed)]
    # Of a share that is no number of images, the next one; rounding of the product is no reason for another.
    count = int(np.ceil(scarcity.mask_share * len(candidates) - 1e-6))
    missing = _classes_without(labels[candidates], np.flatnonzero(np.isin(candidates, order[:count])), class_names)
    # Without any mask, nobody expects one of each class.
    if count and missing:
        least = np.ceil(1000 * len(np.unique(labels[candidates])) / len(candidates)) / 1000
        raise UserError(
            f"config.data.mask_share={scarcity.mask_share} leaves no mask of {missing}: choose {least:g} at least, or "
            "0 for no mask of a defect."
        )
    parts, start = [], 0
    for source in sources:
        own = order[count:]
        own = own[(own >= start) & (own < start + len(source))]
        parts.append(source.hide_masks(own - start))
        start += len(source)
    return parts


def _classes_without(labels: np.ndarray, chosen: np.ndarray, class_names: Sequence[str]) -> str:
    """Names of the classes that have images, but none among the chosen ones; empty where there is none."""
    missing = sorted(set(labels.tolist()) - set(labels[chosen].tolist()))
    names = [class_names[label] if label >= 0 else "those without a label" for label in missing]
    return some_names(names, _NAMED)
