"""Bulk prediction with Ray Data: python docs/ray_prediction.py --workdir DIR --images DIR --output DIR [--workers N].

Each worker loads the network once, and takes batches of files as long as there are any; the table is written in parts,
as it is made. Needs `pip install 'ray[data]'`. The files must be where every worker can read them.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import ray

from dms_jax import Predictor

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff")


class PredictFiles:
    """What a worker does with a batch of paths.

    Args:
      workdir: of the run.
    """

    def __init__(self, workdir: str) -> None:
        self._predictor = Predictor.load(workdir)

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """A row for each file: its class, how certainly it is defective, and how much of it."""
        predictions = list(self._predictor.stream(batch["file"]))
        return {
            "file": batch["file"],
            "class": np.array([prediction.class_name or "" for prediction in predictions]),
            "score": np.array([prediction.score for prediction in predictions]),
            "area": np.array([np.nan if prediction.area is None else prediction.area for prediction in predictions]),
        }


def main(argv: Sequence[str] | None = None) -> None:
    """Predict, and write CSV files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workdir", required=True, help="of the run")
    parser.add_argument("--images", required=True, type=Path, help="folder, with all that is below it")
    parser.add_argument("--output", required=True, help="folder of the CSV files")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--gpus", type=float, default=0, help="of each worker")
    parser.add_argument("--batch", type=int, default=256, help="files that a worker takes at a time")
    arguments = parser.parse_args(argv)
    files = sorted(str(path) for path in arguments.images.rglob("*") if path.suffix.lower() in SUFFIXES)
    table = ray.data.from_items([{"file": file} for file in files]).map_batches(
        PredictFiles,
        fn_constructor_args=(str(Path(arguments.workdir).absolute()),),
        batch_size=arguments.batch,
        concurrency=arguments.workers,
        num_gpus=arguments.gpus or None,
    )
    table.write_csv(str(Path(arguments.output).absolute()))


if __name__ == "__main__":
    main()
