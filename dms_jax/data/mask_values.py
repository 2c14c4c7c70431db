"""Which pixels of a mask are defective by a rule that the user declares."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from dms_jax.data.image_files import DEFECT_THRESHOLD, IGNORED
from dms_jax.errors import UsageError, UserError

# How it is declared, in messages on masks that need it.
HOW_TO_DECLARE = "with --mask-values (in training with --config.data.mask_values)"
_IGNORE = "ignore:"
_ITEM = re.compile(r"(?P<low>\d+)(?:-(?P<high>\d+))?|#(?P<colour>[0-9a-fA-F]{6})")


@dataclass(frozen=True)
class MaskValues:
    """The values of a mask's file that are defective, and those that are ignored; all others are sound.

    Attributes:
      ranges: (lowest, highest) of grey values, of palette indices (class numbers), or of 16-bit values as they are.
      colours: (red, green, blue), 0..255 each, of masks in colour.
      ignored: the values that count neither in the loss nor in the metrics; None where all count.
    """

    ranges: tuple[tuple[int, int], ...] = ()
    colours: tuple[tuple[int, int, int], ...] = ()
    ignored: "MaskValues | None" = None

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """The rule that a text like `1-4,7,ignore:255` or `#ff0000,#00ff00` declares; None for an empty one.

        Raises:
          UsageError: it declares none.
        """
        items = [part.strip() for part in text.split(",") if part.strip()]
        ignored = [item.removeprefix(_IGNORE) for item in items if item.startswith(_IGNORE)]
        ranges, colours = [], []
        for item in (item for item in items if not item.startswith(_IGNORE) or item == _IGNORE):
            match = _ITEM.fullmatch(item)
            if match is None or (match["high"] and int(match["high"]) < int(match["low"])):
                raise UsageError(
                    f"mask_values {text!r} is not understood at {item!r}: list defective values like 1-4,255 or "
                    "colours like #ff0000."
                )
            if match["colour"]:
                red, green, blue = bytes.fromhex(match["colour"])
                colours.append((red, green, blue))
            else:
                ranges.append((int(match["low"]), int(match["high"] or match["low"])))
        if ignored and not (ranges or colours):
            raise UsageError(f"mask_values {text!r} names what is ignored alone: name what is defective too.")
        return cls(tuple(ranges), tuple(colours), cls.parse(",".join(ignored))) if items else None

    def select(self, values: NDArray[np.integer], path: str | Path) -> NDArray[np.uint8]:
        """The mask of an image's stored values, uint8 [H, W]: 0, 255, or `IGNORED`.

        Args:
          values: [H, W], grey values or palette indices; or [H, W, 3], colours.
          path: of the file, for the error message.

        Raises:
          UserError: the rule is of colours and the file of numbers, or the other way round.
        """
        if values.ndim == 3 and (values == values[..., :1]).all() and not self._is_of_colours(values[..., 0]):
            values = values[..., 0]
        mask = self._defective(values, path)
        return mask if self.ignored is None else _with_ignored(mask, self.ignored._defective(values, path))

    def names(self, value: int) -> bool:
        """Whether a number is one of those that are defective or ignored."""
        return any(low <= value <= high for rule in self._rules() for low, high in rule.ranges)

    def _rules(self) -> "list[MaskValues]":
        return [self] if self.ignored is None else [self, self.ignored]

    def _is_of_colours(self, greys: NDArray[np.integer]) -> bool:
        """Whether the greys of an image in colour are colours too: of a rule of colours that names one of them.

        Or there is but one: of masks on white, that of an image without a defect.
        """
        if any(rule.ranges for rule in self._rules()):
            return False
        named = {colour[0] for rule in self._rules() for colour in rule.colours if len(set(colour)) == 1}
        present = set(np.unique(greys).tolist())
        return len(present) == 1 or bool(named & present)

    def _defective(self, values: NDArray[np.integer], path: str | Path) -> NDArray[np.uint8]:
        if values.ndim == 2:
            if self.ranges or not values.any():
                found = [(low <= values) & (values <= high) for low, high in self.ranges]
                return binary_mask(np.any(found, axis=0) if found else np.zeros(values.shape, bool))
            raise UserError(f"{path} has numbers and no colours: give mask_values in numbers, such as 1-255.")
        if not self.colours:
            raise UserError(f"{path} is in colour: give mask_values as colours, such as #ff0000.")
        return binary_mask(np.any([(values == colour).all(-1) for colour in self.colours], axis=0))


def _with_ignored(mask: NDArray[np.uint8], ignored: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.where(ignored > DEFECT_THRESHOLD, np.uint8(IGNORED), mask)


def binary_mask(defective: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """255 where a pixel is defective, else 0."""
    return np.where(defective, 255, 0).astype(np.uint8)
