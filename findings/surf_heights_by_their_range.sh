#!/usr/bin/env bash
# Surf files (Digital Surf's .sur, as MountainsMap has them): height maps of a sound part and of one with a pit, written
# and read by surfalize, RosettaSciIO (HyperSpy) and SurfaceTopography, to subtract the one from the other.
#
# One would guess: all three give the same heights; or, if one leaves out the offset that the file has for them, all
# parts are lower by the same amount, and the difference of two parts stays.
# Seen: each of surfalize 0.19.2 and RosettaSciIO 0.15.0 reads what it has written itself, and neither reads rightly
# what the other has. The file has whole numbers, the smallest of them, a step and an offset. surfalize multiplies by the step and adds
# the offset, RosettaSciIO subtracts the smallest number first, and as both spread the heights over all numbers of 32
# bits, from below 0 to above, a map is moved by half of its own range, which a single pit decides: the part with a pit
# of 20 um is 10 um higher (or lower, the other way), and in the difference of the parts all that is sound stands out.
# SurfaceTopography 1.27.1 adds no offset and has the middle of the range at 0, with the same effect. Shapes, steps and
# the heights within a map are right, and nothing warns. Gwyddion, by an older source of it, reads as surfalize does,
# and writes 0 as the smallest number, where the first two agree. Neither the documentation of the three nor an issue was
# found to say so. Taking off each map's median helps.
#
# Needs Python 3.11 or later.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cat >"$scratch/heights.py" <<'PROGRAM'
import pathlib
import sys
import warnings

import numpy as np
import rsciio.digitalsurf
import surfalize
import SurfaceTopography

warnings.simplefilter("ignore")
FOLDER, STEP = pathlib.Path(sys.argv[1]), 0.5
rows, columns = np.mgrid[:48, :64]
SOUND = 100 + 0.1 * np.sin(rows) * np.cos(columns)  # um
PITTED = SOUND.copy()
PITTED[20:24, 30:36] -= 20


def write_by_surfalize(path, heights):
    surfalize.Surface(heights, STEP, STEP).save(path)


def write_by_rosettasciio(path, heights):
    axes = [
        {"name": name, "size": size, "scale": STEP, "offset": 0, "units": "um", "navigate": False}
        for name, size in zip("YX", heights.shape)
    ]
    metadata = {"General": {"title": "part"}, "Signal": {"quantity": "Height (um)", "signal_type": ""}}
    signal = {"data": heights, "axes": axes, "metadata": metadata, "original_metadata": {}}
    rsciio.digitalsurf.file_writer(str(path), signal, compressed=False)


def told(number):
    return f"{round(number, 1) + 0:.1f}"


READERS = {
    "surfalize": lambda path: surfalize.Surface.load(path).data,
    "RosettaSciIO": lambda path: rsciio.digitalsurf.file_reader(str(path))[0]["data"],
    "SurfaceTopography": lambda path: SurfaceTopography.open_topography(str(path)).topography().heights().T,
}
for writer, write in {"surfalize": write_by_surfalize, "RosettaSciIO": write_by_rosettasciio}.items():
    for name, heights in (("sound", SOUND), ("pitted", PITTED)):
        write(FOLDER / f"{name}.sur", heights)
    for reader, read in READERS.items():
        sound, pitted = (read(FOLDER / f"{name}.sur") for name in ("sound", "pitted"))
        difference = pitted - sound
        print(
            f"{writer} to {reader}: sound {told(np.median(sound))}, with a pit {told(np.median(pitted))};",
            f"difference {told(difference[22, 33])} in the pit, {told(np.median(difference))} beside it;",
            f"{np.mean(np.abs(difference) > 1):.1%} differ by more than 1",
        )
PROGRAM

"${PYTHON:-python3}" -m pip install --quiet --no-compile --target "$scratch/site" \
    surfalize==0.19.2 rosettasciio==0.15.0 SurfaceTopography==1.27.1 numpy==2.3.4
PYTHONPATH="$scratch/site" "${PYTHON:-python3}" "$scratch/heights.py" "$scratch" | tee "$scratch/seen"

# Output seen on 2026-11-30, in um.
diff - "$scratch/seen" <<'SEEN'
surfalize to surfalize: sound 100.0, with a pit 100.0; difference -20.0 in the pit, 0.0 beside it; 0.8% differ by more than 1
surfalize to RosettaSciIO: sound 100.1, with a pit 110.1; difference -10.0 in the pit, 10.0 beside it; 100.0% differ by more than 1
surfalize to SurfaceTopography: sound 0.0, with a pit 10.0; difference -10.0 in the pit, 10.0 beside it; 100.0% differ by more than 1
RosettaSciIO to surfalize: sound 99.9, with a pit 89.9; difference -30.0 in the pit, -10.0 beside it; 100.0% differ by more than 1
RosettaSciIO to RosettaSciIO: sound 100.0, with a pit 100.0; difference -20.0 in the pit, 0.0 beside it; 0.8% differ by more than 1
RosettaSciIO to SurfaceTopography: sound 0.0, with a pit 10.0; difference -10.0 in the pit, 10.0 beside it; 100.0% differ by more than 1
SEEN
