"""The numbers that the paper's Table 4 has for MTDD."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class Published:
    """A line of the table.

    Attributes:
      mae: mean absolute error, 0..1.
      max_f: the largest F-measure, 0..1.
      defective: whether it is of the 74 defective test images alone, rather than of all 226.
    """

    mae: float
    max_f: float
    defective: bool


def _lines(numbers: Mapping[str, tuple[float, float]], defective: bool) -> dict[str, Published]:
    return {name: Published(mae, max_f, defective) for name, (mae, max_f) in numbers.items()}


# The paper tests the classic methods without the images of class "free" (section 4.5).
_CLASSIC = {
    "ITTI": (0.444, 0.168),
    "LC": (0.160, 0.147),
    "SR": (0.140, 0.201),
    "AC": (0.119, 0.161),
    "FT": (0.170, 0.153),
    "MSS": (0.115, 0.158),
    "PHOT": (0.108, 0.161),
    "HC": (0.213, 0.153),
    "RC": (0.275, 0.185),
    "SF": (0.236, 0.145),
    "BMS": (0.179, 0.262),
    "MBP": (0.441, 0.288),
}
_DEEP = {
    "FCN": (0.0532, 0.898),
    "PiCANet": (0.0337, 0.900),
    "U-Net": (0.0268, 0.914),
    "DSS": (0.0177, 0.919),
    "R3Net": (0.0109, 0.914),
    "BASNet": (0.0103, 0.922),
    "PoolNet": (0.0107, 0.930),
    "EGNet": (0.0116, 0.933),
    "SDMS": (0.0098, 0.930),
    "BDMS": (0.0082, 0.934),
}
TABLE_4: Mapping[str, Published] = MappingProxyType(_lines(_CLASSIC, True) | _lines(_DEEP, False))
