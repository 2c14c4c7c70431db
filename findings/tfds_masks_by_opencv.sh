#!/usr/bin/env bash
# tensorflow-datasets: mask files read without TensorFlow (as_data_source), with and without OpenCV beside it.
#
# One would guess: a prepared dataset holds its masks, and tfds.features.Image(shape=(None, None, 1)) gives them as
# arrays of that shape; which of two libraries decodes them is a matter of speed, as the warning about it says.
# Seen: with tensorflow-datasets 4.9.10 a PNG of one bit a pixel is 0 and 1 where Pillow decodes it, and 0 and 255 where
# opencv-python-headless 4.12.0.88 is installed; a PNG with a palette is the numbers of its classes, [H, W, 1], or the
# palette's colours, [H, W, 3], whatever shape was declared. Of a grey PNG of 8 bits both are the same. A file given by
# its path is kept as it is, and decoded with OpenCV's IMREAD_UNCHANGED, which expands bits and palettes, or with what
# NumPy makes of a Pillow image, which does not; neither is brought to the declared channels. So the same prepared
# dataset changes with an installation of, say, albumentations, which brings OpenCV: thresholds at 127 then find, or no
# longer find, a defect. Masks given as arrays, or written anew as grey PNGs of 8 bits, are safe.
#
# Needs Python 3.11 or later.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cat >"$scratch/masks.py" <<'PROGRAM'
import contextlib
import sys
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

folder = Path(sys.argv[1])


class Masks(tfds.core.GeneratorBasedBuilder):
    VERSION = tfds.core.Version("1.0.0")
    pkg_dir_path = folder

    def _info(self):
        features = {"mask": tfds.features.Image(shape=(None, None, 1)), "name": tfds.features.Text()}
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        for path in sorted(folder.glob("*.png")):
            yield path.stem, {"mask": str(path), "name": path.stem}


if not (folder / "data").exists():
    defect = np.zeros((40, 60), np.uint8)
    defect[10:20, 15:45] = 1
    Image.fromarray(255 * defect).save(folder / "grey.png")
    Image.fromarray(255 * defect).convert("1").save(folder / "one bit.png")
    classes = Image.fromarray(3 * defect).copy()
    classes.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0, 128, 128, 0])
    classes.save(folder / "palette.png")
builder = Masks(data_dir=folder / "data", file_format="array_record")
with contextlib.redirect_stdout(sys.stderr):  # it says where the dataset lies
    builder.download_and_prepare()
masks = {example["name"].decode(): example["mask"] for example in builder.as_data_source("train")}
for name, mask in sorted(masks.items()):
    above = np.count_nonzero((mask > 127).any(-1))
    print(f"{name:8} {mask.shape} {np.unique(mask).tolist()}, above 127: {above} pixels")
PROGRAM

# importlib-resources is imported without being asked for.
"${PYTHON:-python3}" -m pip install --quiet --target "$scratch/site" \
    tensorflow-datasets==4.9.10 array-record==0.8.3 importlib-resources==6.5.2 pillow==13.0.0 numpy==2.2.6
"${PYTHON:-python3}" -m pip install --quiet --target "$scratch/opencv" --no-deps opencv-python-headless==4.12.0.88
{
    echo Pillow
    PYTHONPATH="$scratch/site" "${PYTHON:-python3}" "$scratch/masks.py" "$scratch" 2>/dev/null
    echo OpenCV
    PYTHONPATH="$scratch/site:$scratch/opencv" "${PYTHON:-python3}" "$scratch/masks.py" "$scratch" 2>/dev/null
} | tee "$scratch/seen"

# Output seen on 2026-11-29.
diff - "$scratch/seen" <<'SEEN'
Pillow
grey     (40, 60, 1) [0, 255], above 127: 300 pixels
one bit  (40, 60, 1) [0, 1], above 127: 0 pixels
palette  (40, 60, 1) [0, 3], above 127: 0 pixels
OpenCV
grey     (40, 60, 1) [0, 255], above 127: 300 pixels
one bit  (40, 60, 1) [0, 255], above 127: 300 pixels
palette  (40, 60, 3) [0, 128], above 127: 300 pixels
SEEN
