"""Makes the README's image: test images, the truth, and the maps of every output of a run's network.

python docs/quickstart_image.py --workdir runs/quickstart --output docs/images/quickstart.png
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from dms_jax.data.examples import one_of_each_class
from dms_jax.data.framing import crops_of, cut, join
from dms_jax.errors import UserError
from dms_jax.inference.batching import BatchPredictor
from dms_jax.inference.predict_step import make_predict_step
from dms_jax.runs.config.build import framing_config
from dms_jax.runs.dataset import open_dataset
from dms_jax.runs.open_run import open_run
from dms_jax.runtime.devices import data_mesh

_GAP = 4


def quickstart_image(workdir: Path, rows: int) -> Image.Image:
    """A row for each of some test images, one of each class after the other."""
    run, mesh = open_run(workdir), data_mesh()
    framing = framing_config(run.config)
    source = open_dataset(run.config).source("test")
    predict = BatchPredictor(make_predict_step(run.model, mesh), run.variables, mesh, rows=mesh.size)
    lines = []
    for index in one_of_each_class(source.labels(), rows):
        example = source[int(index)]
        size = example["mask"].shape[:2]
        crops = crops_of(size, framing)
        images = np.stack([cut(example["image"], crop, framing) for crop in crops])
        images = np.concatenate([images, images[:1].repeat(-len(images) % mesh.size, axis=0)])
        maps, *_ = predict(images)
        joined = [join(list(parts), crops, size) for parts in np.moveaxis(maps[: len(crops)], 1, 0)]
        grey = [np.repeat(one[..., None], 3, axis=2) for one in (example["mask"][..., 0], *joined)]
        gap = np.full((size[0], _GAP, 3), 255, np.uint8)
        line = [part for one in (example["image"], *grey) for part in (one, gap)]
        lines += [np.concatenate(line[:-1], axis=1), np.full((_GAP, 1, 3), 255, np.uint8)]
    width = max(line.shape[1] for line in lines)
    padded = [np.pad(line, ((0, 0), (0, width - line.shape[1]), (0, 0)), constant_values=255) for line in lines]
    return Image.fromarray(np.concatenate(padded[:-1]))


def main() -> int:
    """Read the flags and write the image; 1 if there is no such run, or the image cannot be written."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workdir", type=Path, required=True, metavar="DIR", help="of a run")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="PNG")
    parser.add_argument("--rows", type=int, default=4, help="test images (%(default)s)")
    arguments = parser.parse_args()
    if arguments.rows < 1:
        parser.error(f"--rows {arguments.rows} is too small: it must be at least 1.")
    try:
        quickstart_image(arguments.workdir, arguments.rows).save(arguments.output, "PNG")
    except (UserError, OSError) as error:
        print(f"quickstart_image.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
