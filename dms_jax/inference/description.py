"""What a network's predictions mean: its classes, what it sees of an image, and where a pixel is called defective."""

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from dms_jax.data.framing import Framing
from dms_jax.version import __version__

# A map's values: 0..255.
NUM_VALUES = 256

# Of 0, 1/4, 1/2 and 1, what named most of MTDD's validation tiles that a run had not learnt from
# (docs/recipe-search.md).
_WEIGHT_OF_THE_MAP = 0.25

# What the note of a limited point says, which earlier versions keep nowhere else.
_LIMIT = re.compile(r"at most (\d+(?:\.\d+)?(?:e-\d+)?) of (?:the normal images|them) may fire")

# With `--workdir DIR ` or nothing. Without a limit the threshold may be lower, and what it was is not kept.
LIFTING_A_LIMIT = "only dms-jax evaluate {}--max-false-alarms 1 lifts a run's limit: it chooses the threshold anew"


@dataclass(frozen=True)
class OperatingPoint:
    """Where a pixel of a map is called defective, and how that was chosen.

    Attributes:
      threshold: map > threshold is defective, 0..255; None where none could be chosen.
      note: how it was chosen, or why there is none; a sentence without its full stop.
      normal_maxima: for each largest value, 0..255, of a normal image's map, how many images have it, of those that
        the threshold was chosen on; empty where that is unknown.
      chosen_on: what these images are, such as `validation`.
      limit: the share of them that it was chosen to fire on at the most, 0..1; None where nobody gave one.
    """

    threshold: int | None = None
    note: str = "the run has not been tested yet"
    normal_maxima: Mapping[int, int] = field(default_factory=dict)
    chosen_on: str = "validation"
    limit: float | None = None

    def with_false_alarms(self, share: float) -> Self:
        """The same threshold, raised as far as needed for few false alarms.

        It is the lowest one, not below this point's, above which at most a share of the normal images have a pixel. A
        stricter limit that this point was chosen with holds: what it would be without one is not kept.

        Args:
          share: of images, at least 0 and below 1.

        Raises:
          ValueError: the share is out of range, or there were no normal images; the message is for the user.
        """
        if not 0 <= share < 1:
            sentence = f"a share of false alarms must be at least 0 and below 1, not {share}"
            raise ValueError(f"{sentence} ({LIFTING_A_LIMIT.format('')})" if share == 1 else sentence)
        normal = sum(self.normal_maxima.values())
        if self == UNTESTED:
            raise ValueError(f"{self.note}, and no normal image is known to count false alarms on")
        if not normal:
            raise ValueError(f"no image of {self.chosen_on} is known to be normal, to count false alarms on")
        # How many images have a pixel above 0, 1, ..., 255.
        firing = normal - np.cumsum([self.normal_maxima.get(value, 0) for value in range(NUM_VALUES)])
        # 0.29 * 100 is a little below 29.
        threshold = max(int(np.argmax(firing <= share * normal + 1e-6)), self.threshold or 0)
        fire = f"{firing[threshold]} of the {normal} normal images of {self.chosen_on} have a pixel above it"
        if 0 < share * normal < 1:
            fire += f", too few to tell a share of {share:.4g}"
        if self.limit == share:
            return self
        if self.limit is not None and self.limit < share:
            holds = f"this limit of the run's own is stricter than {share:.4g}, and holds"
            return replace(self, note=f"{self.note}; {holds}")
        note = f"at most {share:.4g} of the normal images may fire; {fire}"
        if threshold == self.threshold and self.limit is None:
            note = f"{self.note}; {fire}; at most {share:.4g} of them may fire"
        return replace(self, threshold=threshold, note=note, limit=share)


UNTESTED = OperatingPoint()


@dataclass(frozen=True)
class ModelDescription:
    """What is needed to use a network, besides the network: kept in a run, and in each exported file.

    Attributes:
      class_names: names of the classes, in the order of their numbers.
      free_class: the defect-free class; None where every image has a defect.
      framing: how an image becomes the crops that the network sees.
      plain: where a pixel of a map is called defective.
      gated: the same for maps times the probability of a defect, see `gate`; None where there is no such probability.
      value_range: the camera's values that become 0 and 255, in images of more than 8 bits; None for those of the
        files' type.
      version: of dms_jax that the network was trained with.

    Raises:
      TypeError, ValueError: a field has a value that it cannot have.
    """

    class_names: tuple[str, ...]
    free_class: str | None
    framing: Framing
    plain: OperatingPoint = UNTESTED
    gated: OperatingPoint | None = None
    value_range: tuple[float, float] | None = None
    version: str = __version__

    def __post_init__(self) -> None:
        if not self.class_names or not all(isinstance(name, str) for name in self.class_names):
            raise ValueError(f"class_names={self.class_names} must be names")
        if len(set(self.class_names)) < len(self.class_names):
            raise ValueError(f"class_names={self.class_names} must differ")
        if self.free_class is not None and self.free_class not in self.class_names:
            raise ValueError(f"free_class={self.free_class!r} is none of {', '.join(self.class_names)}")
        for name in ("size", "tile"):
            if not _is_among(pixels := getattr(self.framing, name)):
                raise ValueError(f"framing: {name}={pixels!r} must be a whole number of pixels")
        if not _is_number(self.framing.overlap):
            raise ValueError(f"framing: overlap={self.framing.overlap!r} must be a number")
        for point in filter(None, (self.plain, self.gated)):
            _check(point)
        if self.value_range is not None:
            low, high = self.value_range
            if not (_is_number(low) and _is_number(high) and -math.inf < low < high < math.inf):
                raise ValueError(f"value_range={self.value_range} must be two numbers that rise")
        if not isinstance(self.version, str):
            raise ValueError(f"version={self.version!r} must be text")

    def to_json(self) -> dict[str, Any]:
        """As a dict for JSON, which `from_json` reads."""
        return asdict(self)

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Self:
        """Read what `to_json` made.

        Raises:
          KeyError, TypeError: there is a field too many or too few.
          ValueError: a field has a value that it cannot have.
        """
        return cls(
            **{
                **fields,
                "class_names": tuple(fields["class_names"]),
                "framing": Framing(**fields["framing"]),
                "plain": operating_point(fields["plain"]),
                "gated": None if fields["gated"] is None else operating_point(fields["gated"]),
                "value_range": None if fields["value_range"] is None else tuple(fields["value_range"]),
            }
        )


def operating_point(fields: Mapping[str, Any]) -> OperatingPoint:
    """Read what `dataclasses.asdict` made of an `OperatingPoint`.

    Raises:
      KeyError, TypeError: there is a field too many or too few.
      ValueError: it has no fields, or its counts are none.
    """
    if not isinstance(fields, Mapping):
        raise ValueError(f"{fields!r} must have the fields of a threshold")
    if not isinstance(counts := fields["normal_maxima"], Mapping):
        raise ValueError(f"normal_maxima={counts!r} must have counts by their values")
    found = _LIMIT.search(str(fields.get("note", "")))
    limit = {"limit": float(found[1])} if found else {}
    # JSON has made text of the values.
    maxima = {int(key): n for key, n in counts.items()}
    return OperatingPoint(**{**limit, **fields, "normal_maxima": maxima})


def _check(point: OperatingPoint) -> None:
    """Raises ValueError: a field has a value that it cannot have."""
    if point.threshold is not None and not _is_among(point.threshold, NUM_VALUES):
        raise ValueError(f"threshold={point.threshold!r} must be in 0..{NUM_VALUES - 1}")
    for value, count in point.normal_maxima.items():
        if not _is_among(value, NUM_VALUES):
            raise ValueError(f"normal_maxima: the value {value!r} must be in 0..{NUM_VALUES - 1}")
        if not _is_among(count):
            raise ValueError(f"normal_maxima: {count!r} cannot be how many images have the value {value}")
    for name in ("note", "chosen_on"):
        if not isinstance(text := getattr(point, name), str):
            raise ValueError(f"{name}={text!r} must be text")
    if point.limit is not None and not (_is_number(point.limit) and 0 <= point.limit <= 1):
        raise ValueError(f"limit={point.limit!r} must be in 0..1")


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float, np.number)) and not isinstance(value, bool)


def _is_among(value: object, end: float = math.inf) -> bool:
    """It is an integer of 0..end-1."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool) and bool(0 <= value < end)


def gate(saliency_map: NDArray[np.uint8], defect_probability: float) -> NDArray[np.uint8]:
    """A map times the probability that its image has a defect: few false alarms are left on normal images.

    Args:
      saliency_map: uint8, 0..255.
      defect_probability: 1 - the probability of the defect-free class, 0..1.

    Returns:
      uint8 of the same shape, rounded.
    """
    return np.rint(saliency_map * np.float32(defect_probability)).astype(np.uint8)


def gate_classes(probabilities: NDArray[np.floating], maximum: int, free_class: int) -> NDArray[np.float64]:
    """An image's class probabilities with what its map says: the head's odds of each defect times the map's.

    The counterpart of `gate`. A class head that was trained on few tiles takes some sound surfaces for those of a
    defect that it knows from one tile; the map, which has to say where, is black there. With m the map's largest value
    in 0..1, log q(c) = log p(c) + a logit(m) for every defect c, up to a constant, and a = 1/4: the largest of many
    pixels is surer of itself than it is often right (docs/recipe-search.md has what other weights do).

    Args:
      probabilities: [K], of the classes, 0..1.
      maximum: the map's largest value, 0..255, before it is gated; 0 and 255 count as 0.5 and 254.5.
      free_class: number of the defect-free class.

    Returns:
      float64 [K], which sums to 1.
    """
    largest = min(max(maximum, 0.5), 254.5) / 255
    odds = np.full(len(probabilities), (largest / (1 - largest)) ** _WEIGHT_OF_THE_MAP)
    odds[free_class] = 1
    joint = probabilities.astype(np.float64) * odds
    return joint / joint.sum()


def normal_maxima(maxima: Iterable[int]) -> dict[int, int]:
    """Count the largest values of normal images' maps, for an `OperatingPoint`."""
    return dict(sorted(Counter(maxima).items()))
