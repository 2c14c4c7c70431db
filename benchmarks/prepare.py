"""The time and the memory of `dms-jax prepare`: python benchmarks/prepare.py [--images 2000,10000] [--tree DIR].

It generates a folder of camera-like images, 300 x 300, half of them PNG and half JPEG, half grey and half RGB: a class
`good` and two of defects with PNG masks. `--tree` names further source trees, such as that of the version before: all
are measured in turn, on the same images.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

ROOT = Path(__file__).resolve().parent.parent
# Rows of this many images are drawn from one surface, so that generating is not what takes the time.
_TEXTURES = 16
_PROGRAM = "import sys; from dms_jax.cli import main; sys.exit(main(sys.argv[1:]))"


def generate(root: Path, count: int, side: int = 300) -> None:
    """Draw a folder of class folders: `good`, `scratch` and `dent`, with masks of the latter two.

    Args:
      root: where; must not exist.
      count: how many images.
      side: their height and width.
    """
    rng = np.random.default_rng(0)
    textures = [_texture(rng, 2 * side) for _ in range(_TEXTURES)]
    for label in ("good", "scratch", "dent"):
        (root / label).mkdir(parents=True)
        if label != "good":
            (root / "masks" / label).mkdir(parents=True)
    for i in range(count):
        label = ("good", "scratch", "good", "dent")[i % 4]
        y, x = rng.integers(0, side, 2)
        surface = textures[i % _TEXTURES][y : y + side, x : x + side]
        # A camera's noise, which no compression foretells.
        grey = surface + rng.normal(0, 2.5, surface.shape)
        mask = Image.new("L", (side, side))
        if label != "good":
            draw, (left, top) = ImageDraw.Draw(mask), rng.integers(20, side - 80, 2).tolist()
            if label == "dent":
                draw.ellipse((left, top, left + 40, top + 30), fill=255)
            else:
                draw.line((left, top, left + 60, top + 35), fill=255, width=4)
            grey = grey - 50 * (np.asarray(mask.filter(ImageFilter.GaussianBlur(1))) / 255)
        if i // 4 % 2:
            colours = grey[..., None] * (1.0, 0.96, 0.9) + rng.normal(0, 1.5, (side, side, 3))
            image = Image.fromarray(colours.clip(0, 255).astype(np.uint8))
        else:
            image = Image.fromarray(grey.clip(0, 255).astype(np.uint8))
        if i // 8 % 2:
            image.save(root / label / f"{i:06}.png")
        else:
            image.save(root / label / f"{i:06}.jpg", quality=90)
        if label != "good":
            mask.save(root / "masks" / label / f"{i:06}.png")


def measure(tree: Path, images: Path) -> tuple[float, float, float]:
    """Prepare a folder anew with the program of a source tree.

    Returns:
      The seconds, those of all processors together, and the peak of its resident memory in MiB.

    Raises:
      RuntimeError: the program failed.
    """
    with tempfile.TemporaryDirectory(dir=images.parent) as data_dir:
        command = [sys.executable, "-c", _PROGRAM, "prepare", "--dataset=folder", f"--manual-dir={images}"]
        environment = {**os.environ, "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(tree)}
        start = time.perf_counter()
        with subprocess.Popen(
            [*command, f"--data-dir={data_dir}"], cwd=tree, env=environment, stdout=subprocess.DEVNULL
        ) as process:
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.perf_counter() - start
        if process.returncode:
            raise RuntimeError(f"dms-jax prepare failed in {tree}")
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what the flags say, and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.partition(":")[0])
    parser.add_argument("--images", default="2000,10000", help="how many; several numbers with commas")
    parser.add_argument("--tree", type=Path, action="append", default=[], help="another source tree to measure")
    parser.add_argument("--rounds", type=int, default=1, help="how often to measure each")
    parser.add_argument("--folder", type=Path, help="where to keep the images for the next time")
    flags = parser.parse_args(arguments)
    folder = flags.folder or Path(tempfile.mkdtemp(prefix="dms-jax-prepare-"))
    try:
        print(
            "| images | tree | seconds | of processors | images/s | peak MiB |\n| --- | --- | --- | --- | --- | --- |"
        )
        for count in map(int, flags.images.split(",")):
            images = folder / f"images-{count}"
            if not images.exists():
                generate(images, count)
            for _ in range(flags.rounds):
                for tree in (*flags.tree, ROOT):
                    seconds, processors, peak = measure(tree, images)
                    speed = f"{seconds:.1f} | {processors:.1f} | {count / seconds:.0f}"
                    print(f"| {count} | {tree.name} | {speed} | {peak:.0f} |", flush=True)
    finally:
        if flags.folder is None:
            shutil.rmtree(folder)
    return 0


def _texture(rng: np.random.Generator, side: int) -> np.ndarray:
    """A surface of several scales, float64 [side, side], about 60 to 180."""
    surface = np.full((side, side), 120.0)
    for scale, strength in ((4, 14), (16, 10), (64, 14)):
        small = Image.fromarray(rng.normal(0, 1, (side // scale + 2,) * 2).astype(np.float32))
        surface += strength * np.asarray(small.resize((side, side), Image.Resampling.BICUBIC))
    return surface


if __name__ == "__main__":
    sys.exit(main())
