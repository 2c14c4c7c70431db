"""Seconds that the classic methods of Table 4 take: python benchmarks/classic.py --data-dir DIR [--manual-dir DIR].

On the test images of the paper's split of MTDD, which are read before: from images in memory to 8-bit maps, on as many
threads as there are cores. Nothing is compiled. Figures are of one pass each, after one of a few images.
"""

import argparse
import time
from collections.abc import Iterable

import numpy as np


def seconds(make_maps, images: Iterable[np.ndarray]) -> float:
    """The time that a method takes to make the maps of images."""
    start = time.perf_counter()
    for _ in make_maps(images):
        pass
    return time.perf_counter() - start


def main() -> None:
    """Print a row for each method."""
    from dms_jax.comparison.classical.methods import METHODS
    from dms_jax.data.prepare import prepare
    from dms_jax.runtime.cores import usable_cores
    from dms_jax.tables import format_table

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", default="", help="where MTDD is prepared")
    parser.add_argument("--manual-dir", default="", help="MTDD's files as published")
    arguments = parser.parse_args()

    source = prepare("mtdd", split="paper", data_dir=arguments.data_dir, manual_dir=arguments.manual_dir).source("test")
    images = [source[index]["image"] for index in range(len(source))]
    rows = []
    for method in METHODS:
        seconds(method.make_maps, images[:4])
        taken = seconds(method.make_maps, images)
        rows.append([method.name, taken, 1000 * taken / len(images)])
    total = sum(row[1] for row in rows)
    rows.append(["all", total, 1000 * total / len(images)])
    print(f"{len(images)} images, {usable_cores()} cores")
    print(format_table(["method", "seconds", "ms an image"], rows, precision=1))


if __name__ == "__main__":
    main()
