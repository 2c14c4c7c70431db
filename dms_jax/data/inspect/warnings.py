"""What is likely to be wrong with a dataset, by what is known of its images."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial

from dms_jax.data.facts import UNLABELLED, ImageFacts, mask_like
from dms_jax.errors import some_names

# A class with fewer training images than this is hardly learnt.
_FEW_TRAINING_IMAGES = 10
# Of 255, a quarter: 16 bits of which a camera fills 14 or fewer.
_DARK = 64
# So many images are named in a warning; the others are counted.
_listed = partial(some_names, most=10)


NO_OPERATING_THRESHOLD = "No mask of validation shows a defect, so that no operating threshold can be chosen on it."
# The fix that ends sentences on training images without a defect, here and of a run.
PUT_INTO_TRAIN = (
    "put defective images with their masks into train (in a folder without train/ and test/, every class is shared out "
    "among the splits)."
)
NO_DEFECT_TO_LEARN = (
    "No mask of train shows a defect, while masks of test do, as in MVTec AD as published, so that no run learns these "
    f"defects: {PUT_INTO_TRAIN}"
)


def class_warnings(
    labels: Mapping[str, Iterable[int]], class_names: Sequence[str], learnt: Iterable[int] | None = None
) -> Iterator[str]:
    """What is likely to be wrong with the classes, one sentence each.

    Args:
      labels: of the images of each split.
      class_names: names of the classes, in the order of their indices.
      learnt: the labels of the images that are learnt from; None where they are those of `train`.
    """
    counts = {split: Counter(members) for split, members in labels.items()}
    learnt_from = counts["train"] if learnt is None else Counter(learnt)
    used = [name for label, name in enumerate(class_names) if any(count[label] for count in counts.values())]
    if len(used) == 1:
        yield f"{used[0]} is the only class, so that there is nothing to classify."
    few = [
        f"{name} ({learnt_from[label]})"
        for label, name in enumerate(class_names)
        if 0 < learnt_from[label] < _FEW_TRAINING_IMAGES
    ]
    if few:
        yield f"Classes with fewer than {_FEW_TRAINING_IMAGES} training images: {_listed(few)}."
    for split, count in counts.items():
        absent = [name for label, name in enumerate(class_names) if not count[label]]
        if len(absent) == len(class_names):
            yield f"No image of {split} has a class."
        elif absent:
            yield f"Classes without an image in {split}: {_listed(absent)}."


def mask_warnings(images: Mapping[str, Sequence[ImageFacts]], free_class: int | None) -> Iterator[str]:
    """What is likely to be wrong with the masks, one sentence each.

    Args:
      images: what is known of the images of `train`, `validation` and `test`.
      free_class: index of the defect-free class; None where there is none.
    """
    masked = [image for members in images.values() for image in members if image.pixels.defective is not None]
    empty = [
        image.name for image in masked if image.label not in (UNLABELLED, free_class) and not image.pixels.defective
    ]
    if empty:
        yield (
            f"{_are(len(empty))} of a defective class, but no pixel of the mask is defective (above 127, or one of "
            f"mask_values): {_listed(sorted(empty))}."
        )
    marked = [image.name for image in masked if image.label == free_class and image.pixels.defective]
    if marked:
        yield f"{_are(len(marked))} of the defect-free class, but the mask is not empty: {_listed(sorted(marked))}."
    white = [image.name for image in masked if image.pixels.mask_is_white]
    if white:
        yield f"{_are(len(white))} defective everywhere, for the mask is all 255: {_listed(sorted(white))}."
    mostly = [image.name for image in masked if (image.pixels.defective or 0) > 0.5 and not image.pixels.mask_is_white]
    if mostly:
        yield (
            f"{_are(len(mostly))} defective in more than half of the pixels: {_listed(sorted(mostly))}. If black and "
            "white are exchanged in these masks, invert them (or mask_values=0, if in all)."
        )
    shows = {split: any(image.pixels.defective for image in members) for split, members in images.items()}
    if shows["test"] and not shows["train"]:
        yield NO_DEFECT_TO_LEARN
    if not shows["validation"]:
        yield NO_OPERATING_THRESHOLD


def range_warnings(images: Mapping[str, Sequence[ImageFacts]]) -> Iterator[str]:
    """Whether all images are so dark that they were probably read in the wrong range.

    Args:
      images: what is known of the images of each split.
    """
    brightest = max((image.pixels.brightest for members in images.values() for image in members), default=0)
    if 0 < brightest <= _DARK:
        yield (
            f"No image has a pixel brighter than {brightest} of 255: if the files have room for more bits than the "
            "camera has, say which values are black and white with value_range (0,4095 for 12 bits)."
        )


def image_warnings(images: Mapping[str, Sequence[ImageFacts]]) -> Iterator[str]:
    """Whether the images are masks themselves, as where their folder was named for that of the images.

    Args:
      images: what is known of the images of each split.
    """
    everything = [image for members in images.values() for image in members]
    masks, are_nearly_all = mask_like(everything)
    # Where they are few among others, `dms_jax.data.datasets.folder` refuses them.
    if are_nearly_all:
        yield (
            f"Of {len(everything)} images, {len(masks)} look like masks (black, and a few shades): {_listed(masks)}. "
            "If they are, name the folder that holds the images and the masks."
        )


def copy_warnings(images: Mapping[str, Sequence[ImageFacts]]) -> Iterator[str]:
    """Which images are the same as others, one sentence for those across splits and one for each split.

    Args:
      images: what is known of the images of each split, in the order of its examples.
    """
    first: dict[bytes, str] = {}
    pairs = []
    for split, members in images.items():
        # Only the splits before are known yet, so that a copy in the same split does not hide one across splits.
        pairs += [
            f"{image.name} ({split}) = {first[image.pixels.digest]}"
            for image in members
            if image.pixels.digest in first
        ]
        for image in members:
            first.setdefault(image.pixels.digest, f"{image.name} ({split})")
    if pairs:
        yield f"{_are(len(pairs))} identical to one in another split, which inflates the metrics: {_listed(pairs)}."
    for split, members in images.items():
        copies = len(members) - len({image.pixels.digest for image in members})
        if copies:
            yield f"In {split}, {_are(copies)} identical to another one."


def _are(count: int) -> str:
    return "1 image is" if count == 1 else f"{count} images are"
