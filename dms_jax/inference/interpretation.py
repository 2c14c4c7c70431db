"""From the maps and class probabilities of an image's crops to what they say of the image.

Everything here is NumPy, SciPy and Pillow on the host: processes that only read images and write maps need no JAX.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from dms_jax.data.framing import Crop, Framing, join
from dms_jax.inference.description import UNTESTED, ModelDescription, OperatingPoint, gate

# Why an image has no prediction, and what to do: the end of a sentence.
NO_NUMBERS = (
    "the network's map or probabilities for it are no numbers (NaN), as where it divides by 0: mend the network, or "
    "train it anew with a lower learning rate"
)

_EIGHT_NEIGHBOURS = np.ones((3, 3), bool)


@dataclass(frozen=True)
class Region:
    """Defective pixels of a mask that touch each other, also at corners.

    Attributes:
      box: (left, top, right, bottom) in pixels of the image; right and bottom are excluded.
      area: in pixels.
    """

    box: tuple[int, int, int, int]
    area: int


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a network says of one image.

    Attributes:
      map: the saliency map of its last output at the image's size, uint8 [H, W], 0..255; times the probability of a
        defect where predictions are gated.
      class_name: the most probable class; None for a network without class heads.
      probabilities: of each class by its name, 0..1; empty without class heads.
      score: how certainly the image is defective, 0..1: 1 - the probability of the defect-free class or, where there is
        none, the map's largest value / 255.
      threshold: map > threshold is defective, 0..255; None where none is known.
      mask: bool [H, W], that; None without a threshold.
      regions: of the mask, the largest first; empty without a threshold.
    """

    map: NDArray[np.uint8]
    class_name: str | None
    probabilities: Mapping[str, float]
    score: float
    threshold: int | None
    mask: NDArray[np.bool_] | None
    regions: tuple[Region, ...]

    @property
    def area(self) -> float | None:
        """The share of the image's pixels that are defective, 0..1; None without a threshold."""
        return None if self.mask is None else float(self.mask.mean())


@dataclass(frozen=True)
class Interpretation:
    """How predictions are read: what `interpret` needs besides the network's answer.

    Attributes:
      class_names: names of the classes, in the order of their numbers.
      free_class: number of the defect-free class, or None.
      framing: how an image becomes crops.
      gates: the map is multiplied by the probability of a defect.
      threshold: map > threshold is defective, 0..255; None: no masks.
      note: how the threshold was chosen, or why there is none.
      value_range: see `ModelDescription`.
    """

    class_names: tuple[str, ...]
    free_class: int | None
    framing: Framing
    gates: bool
    threshold: int | None
    note: str
    value_range: tuple[float, float] | None = None

    @classmethod
    def of(
        cls,
        description: ModelDescription,
        *,
        gates: bool | None = None,
        threshold: int | None = None,
        max_false_alarms: float | None = None,
    ) -> Self:
        """How a model's predictions are read.

        Args:
          description: of the model.
          gates: multiply maps by the probability of a defect; None: where the model has one.
          threshold: map > threshold is defective, 0..255; None for the model's.
          max_false_alarms: raise the model's threshold until at most this share of its normal validation images has a
            pixel above it.

        Raises:
          ValueError: the model has no probability of a defect to gate by; the threshold or the share is out of range,
            or both are given; or no normal image is known to judge the share by. The message is for the user.
        """
        if gates and description.gated is None:
            if description.free_class is not None and description.plain == UNTESTED:
                raise ValueError(f"its maps cannot be gated yet: {UNTESTED.note}")
            reason = "this model gives no probability of a defect"
            if description.free_class is not None:
                # Without a mask to choose a threshold by, a run keeps nothing of its gated maps.
                reason += ", or no image with a mask was left to choose a threshold for gated maps by"
            raise ValueError(f"{reason}: its maps cannot be gated")
        if threshold is not None and not 0 <= threshold <= 255:
            raise ValueError(f"a threshold must be in 0..255, not {threshold}")
        gates = description.gated is not None if gates is None else gates
        point = description.gated if gates and description.gated is not None else description.plain
        if max_false_alarms is not None:
            if threshold is not None:
                raise ValueError("a threshold and a limit of false alarms exclude each other: give one of them")
            point = point.with_false_alarms(max_false_alarms)
        elif threshold is not None:
            point = OperatingPoint(threshold, "given by the user")
        names, free = description.class_names, description.free_class
        return cls(
            names,
            None if free is None else names.index(free),
            description.framing,
            gates,
            point.threshold,
            point.note,
            description.value_range,
        )


def interpret(
    maps: NDArray[np.uint8],
    probabilities: NDArray[np.float32],
    crops: list[Crop],
    size: tuple[int, int],
    reading: Interpretation,
) -> Prediction:
    """What a network says of an image, from its answers to the image's crops.

    Args:
      maps: of the last output, uint8 [n, S, S].
      probabilities: of the last output, float32 [n, K]; K is 0 without class heads.
      crops: the n crops.
      size: (H, W) of the image.
      reading: how to read them.
    """
    saliency_map = join(list(maps), crops, size)
    named: dict[str, float] = {}
    class_name, defect_probability = None, None
    if probabilities.shape[1]:
        joined = join_classes(probabilities[:, None], reading.free_class)[0]
        named = dict(zip(reading.class_names, joined.tolist(), strict=True))
        class_name = reading.class_names[int(np.argmax(joined))]
        if reading.free_class is not None and len(named) > 1:
            defect_probability = float(1 - joined[reading.free_class])
    if reading.gates and defect_probability is not None:
        saliency_map = gate(saliency_map, defect_probability)
    mask = None if reading.threshold is None else saliency_map > reading.threshold
    return Prediction(
        map=saliency_map,
        class_name=class_name,
        probabilities=named,
        score=float(saliency_map.max() / 255) if defect_probability is None else defect_probability,
        threshold=reading.threshold,
        mask=mask,
        regions=() if mask is None else find_regions(mask),
    )


def find_regions(mask: NDArray[np.bool_]) -> tuple[Region, ...]:
    """The regions of a mask, bool [H, W], the largest first."""
    if not mask.any():
        return ()
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    top, left = int(rows[0]), int(columns[0])
    # Most of an image is sound.
    numbered, count = ndimage.label(mask[top : rows[-1] + 1, left : columns[-1] + 1], _EIGHT_NEIGHBOURS)
    areas = np.bincount(numbered.ravel(), minlength=count + 1)[1:]
    boxes = ndimage.find_objects(numbered)
    regions = [
        Region((left + across.start, top + down.start, left + across.stop, top + down.stop), int(area))
        for (down, across), area in zip(boxes, areas, strict=True)
    ]
    return tuple(sorted(regions, key=lambda region: (-region.area, region.box)))


def join_classes(probabilities: NDArray[np.float32], free_class: int | None) -> NDArray[np.float32]:
    """The class probabilities of an image from those of its crops.

    An image is as defective as its most defective crop, and shows that crop's defect; where there is no defect-free
    class, the mean over the crops is taken.

    Args:
      probabilities: [n, N, K], of n crops and N outputs.
      free_class: number of the defect-free class, or None.

    Returns:
      [N, K].
    """
    if free_class is None:
        return probabilities.mean(axis=0)
    worst = np.argmin(probabilities[:, :, free_class], axis=0)
    return probabilities[worst, np.arange(probabilities.shape[1])]
