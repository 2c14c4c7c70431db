"""The time of S, E and weighted F, here and by PySODMetrics.

Usage: python benchmarks/sod_measures.py [--maps DIR --masks DIR]. Without a folder it draws maps of 300 x 300 and of
1000 x 1000: a defect with soft edges and a faint background.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from py_sod_metrics import Emeasure, Smeasure, WeightedFmeasure

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from dms_jax.evaluation.measures.sod import measure  # noqa: E402

Pair = tuple[np.ndarray, np.ndarray]


def draw(side: int, count: int) -> list[Pair]:
    """Maps and masks of discs, uint8 [side, side]; one in four is free of defects."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:side, :side]
    pairs = []
    for i in range(count):
        row, column, radius = (*rng.uniform(0.2, 0.8, 2).tolist(), rng.uniform(0.02, 0.15))
        inside = radius * side - np.hypot(y - row * side, x - column * side)
        soft = 1 / (1 + np.exp(-inside / 4))
        faint = np.clip(255 * soft + rng.normal(0, 3, soft.shape), 0, 255).astype(np.uint8)
        pairs.append((faint, np.where(inside > 0, 255 * (i % 4 > 0), 0).astype(np.uint8)))
    return pairs


def read(maps: Path, masks: Path) -> list[Pair]:
    """Maps and the masks of the same names."""
    return [
        (np.asarray(Image.open(path).convert("L")), np.asarray(Image.open(masks / path.name).convert("L")))
        for path in sorted(maps.glob("*.png"))
    ]


def library(saliency_map: np.ndarray, mask: np.ndarray) -> tuple[float, float, float]:
    """S, max E and weighted F of PySODMetrics."""
    s, e, weighted_f = Smeasure(), Emeasure(), WeightedFmeasure()
    for each in (s, e, weighted_f):
        each.step(saliency_map, mask)
    return s.get_results()["sm"], e.get_results()["em"]["curve"].max(), weighted_f.get_results()["wfm"]


def ours(saliency_map: np.ndarray, mask: np.ndarray) -> tuple[float, float, float]:
    """The same three of this project."""
    found = measure(saliency_map, mask).compute()
    return found["s_measure"], found["max_e"], found["weighted_f"]


def milliseconds(function: Callable[..., object], pairs: Sequence[Pair], repeats: int = 5) -> float:
    """The least time per image of several passes over all."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        for pair in pairs:
            function(*pair)
        times.append(time.perf_counter() - start)
    return 1000 * min(times) / len(pairs)


def main() -> None:
    """Print a row for each set of maps."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--maps", type=Path)
    parser.add_argument("--masks", type=Path)
    options = parser.parse_args()
    if options.maps:
        sets = {options.maps.name: read(options.maps, options.masks)}
    else:
        sets = {f"{side} x {side}": draw(side, count) for side, count in ((300, 32), (1000, 8))}
    print("| maps | here, ms | PySODMetrics, ms | ratio | largest difference |")
    print("| --- | --- | --- | --- | --- |")
    for name, pairs in sets.items():
        difference = max(np.abs(np.subtract(ours(*pair), library(*pair))).max() for pair in pairs)
        mine, theirs = milliseconds(ours, pairs), milliseconds(library, pairs)
        print(f"| {name} | {mine:.2f} | {theirs:.2f} | {theirs / mine:.1f} | {difference:.0e} |")


if __name__ == "__main__":
    main()
