#!/usr/bin/env bash
# zarr: masks of bool kept with numcodecs' Delta filter, which stores where neighbours differ and suits masks and maps
# of classes, long runs of one value.
#
# One would guess: Delta loses nothing of whole numbers and masks, whatever their type, or refuses bool; issue 43 of
# zarr-developers/numcodecs was closed since Delta is for bool what was asked for there, an XOR with the pixel before.
# Seen: with zarr 3.1.6 and numcodecs 0.16.6 (3.4.2 with 0.17.1, and the codec of 0.13.1, alike) an XOR is written, and
# something else is read: the differences are added up by numpy.cumsum into an array of bool, for which adding is "or",
# so that all is defective from the first pixel of a defect to the end of the chunk. A mask with 495 defective pixels of
# 8192 comes back with 1516, in the formats 2 and 3; a sound part is right. What is stored is right too
# (numpy.logical_xor.accumulate of a chunk gives the mask), until a pixel of a chunk is written, sound or not: then the
# whole chunk is stored as it was read. uint8 is right. Nothing warns; that NaN spreads likewise in heights is known
# (issue 765, open), while bool is said to work (pull request 595).
#
# Needs Python 3.11 or later.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cat >"$scratch/measure.py" <<'PROGRAM'
import sys
import warnings
from pathlib import Path

warnings.simplefilter("ignore")
import numcodecs
import numcodecs.zarr3
import numpy as np
import zarr

CHUNK = 32, 64
MASK = np.zeros((64, 128), bool)
MASK[10:20, 20:60] = True  # a spot
MASK[30, 5:100] = True  # a scratch
DELTA = {2: numcodecs.Delta, 3: numcodecs.zarr3.Delta}


def create(path, kind, zarr_format):
    delta = DELTA[zarr_format](dtype=kind)
    settings = {"filters": [delta], "compressors": None, "zarr_format": zarr_format}
    return zarr.create_array(str(path), shape=MASK.shape, dtype=kind, chunks=CHUNK, **settings)


def stored(path):
    pixels = np.zeros_like(MASK)
    for row in range(2):
        for column in range(2):
            place = np.s_[row * 32 : row * 32 + 32, column * 64 : column * 64 + 64]
            file = path / f"{row}.{column}"  # a chunk of nothing but False has none
            if file.exists():
                differences = np.frombuffer(file.read_bytes(), bool)
                pixels[place] = np.logical_xor.accumulate(differences).reshape(CHUNK)
    return pixels


def tell(name, pixels):
    pixels = pixels.astype(bool)
    print(f"{name}: {pixels.sum()} of {MASK.size} defective, {(pixels & ~MASK).sum()} of them wrongly", end="; ")
    print(f"{(MASK & ~pixels).sum()} missed")


folder = Path(sys.argv[1])
tell("mask", MASK)
for zarr_format in 2, 3:
    for kind in "uint8", "bool":
        path = folder / f"{kind}{zarr_format}"
        array = create(path, kind, zarr_format)
        array[:] = MASK
        tell(f"format {zarr_format}, {kind}, read", zarr.open_array(str(path), mode="r")[:])
path = folder / "bool2"
tell("format 2, bool, as it is stored", stored(path))
zarr.open_array(str(path), mode="r+")[0, 0] = False
tell("format 2, bool, as it is stored after a sound pixel was written", stored(path))
array = create(folder / "sound", "bool", 2)
array[:] = np.zeros_like(MASK)
print("sound part:", int(array[:].sum()), "defective")

differences = numcodecs.Delta(dtype="bool").encode(MASK[:32, :64])
by_or = np.logical_or.accumulate(differences.ravel())
decoded = numcodecs.Delta(dtype="bool").decode(differences)
print("read as the first True and all after it:", np.array_equal(decoded, by_or))
PROGRAM

"${PYTHON:-python3}" -m pip install --quiet --target "$scratch/site" zarr==3.1.6 numcodecs==0.16.6 numpy==2.3.4
PYTHONPATH="$scratch/site" "${PYTHON:-python3}" "$scratch/measure.py" "$scratch" | tee "$scratch/seen"

# Output seen on 2026-11-30.
diff - "$scratch/seen" <<'SEEN'
mask: 495 of 8192 defective, 0 of them wrongly; 0 missed
format 2, uint8, read: 495 of 8192 defective, 0 of them wrongly; 0 missed
format 2, bool, read: 1516 of 8192 defective, 1021 of them wrongly; 0 missed
format 3, uint8, read: 495 of 8192 defective, 0 of them wrongly; 0 missed
format 3, bool, read: 1516 of 8192 defective, 1021 of them wrongly; 0 missed
format 2, bool, as it is stored: 495 of 8192 defective, 0 of them wrongly; 0 missed
format 2, bool, as it is stored after a sound pixel was written: 1424 of 8192 defective, 929 of them wrongly; 0 missed
sound part: 0 defective
read as the first True and all after it: True
SEEN
