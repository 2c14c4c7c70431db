"""Makes the picture of docs/training.md: normal images, the same with a pasted defect, and its mask.

python docs/paste_image.py --images DIR/MT_Free/Imgs --output docs/images/paste.png
"""

import argparse
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from dms_jax.data.image_files import read_image
from dms_jax.errors import UserError
from dms_jax.training.augment import example_keys
from dms_jax.training.paste import paste_defects

_GAP = 4


def paste_image(files: list[Path], *, size: int, shown: int, columns: int, seed: int) -> Image.Image:
    """Columns of an image, the same with its defect, and the mask, several above each other.

    Args:
      files: normal images.
      size: that defects are pasted at, in pixels.
      shown: the size in the picture.
      columns: beside each other.
      seed: decides what is pasted.
    """
    images = np.stack([np.asarray(read_image(file).resize((size, size))) for file in files])
    batch = {
        "image": jnp.asarray(images),
        "mask": jnp.zeros((*images.shape[:3], 1), jnp.uint8),
        "label": jnp.zeros(len(images), jnp.int32),
    }
    keys = example_keys(seed, 0, jnp.arange(len(images)))
    pasted = jax.device_get(jax.jit(lambda keys: paste_defects(batch, keys, 1.0))(keys))
    masks = np.repeat(pasted["mask"], 3, axis=-1)
    strips = []
    for triple in zip(images, pasted["image"], masks, strict=True):
        tiles = [np.asarray(Image.fromarray(tile).resize((shown, shown))) for tile in triple]
        strips.append(
            np.concatenate([np.pad(tile, ((0, 1), (0, _GAP), (0, 0)), constant_values=255) for tile in tiles])
        )
    rows = [np.concatenate(strips[i : i + columns], axis=1) for i in range(0, len(strips), columns)]
    gap = np.full((_GAP, rows[0].shape[1], 3), 255, np.uint8)
    parts = [part for row in rows for part in (row, gap)][:-1]
    return Image.fromarray(np.concatenate(parts)[:, :-_GAP])


def main() -> int:
    """Read the flags and write the picture; 1 if an image cannot be read, or the picture not be written."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=Path, required=True, metavar="DIR", help="normal images")
    # MTDD's masks are PNG files in the same folder.
    parser.add_argument("--pattern", default="*.jpg", metavar="GLOB", help="which files of it (%(default)s)")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="PNG")
    parser.add_argument("--columns", type=int, default=8, help="images beside each other (%(default)s)")
    parser.add_argument("--rows", type=int, default=1, help="such rows (%(default)s)")
    parser.add_argument("--shown", type=int, default=110, help="side of an image in the picture (%(default)s)")
    parser.add_argument("--seed", type=int, default=4, help="decides what is pasted (%(default)s)")
    arguments = parser.parse_args()
    for name in ("columns", "rows", "shown"):
        if getattr(arguments, name) < 1:
            parser.error(f"--{name} {getattr(arguments, name)} is too small: it must be at least 1.")
    files = sorted(arguments.images.glob(arguments.pattern))
    if not files:
        parser.error(f"{arguments.images} holds no {arguments.pattern}: name others, as by --pattern '*.png'")
    count = arguments.columns * arguments.rows
    files = files[:: max(len(files) // count, 1)][:count]
    try:
        picture = paste_image(files, size=300, shown=arguments.shown, columns=arguments.columns, seed=arguments.seed)
        picture.convert("L").save(arguments.output, "PNG", optimize=True)
    except (UserError, OSError) as error:
        print(f"paste_image.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
