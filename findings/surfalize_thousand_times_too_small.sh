#!/usr/bin/env bash
# surfalize and SurfaceTopography: height maps as TMD files (TrueMap, GelSight) and as SDF files (ISO 25178-71), with
# places that could not be measured.
#
# One would guess: surfalize works in um, as its documentation says, and converts what a file has, as it does for SUR,
# SDF and X3P, where the unit is the file's or the format's; what was not measured stays so from one package to the other.
# Seen: a TMD file's lengths and heights are in mm (so in SurfaceTopography, which names Gwyddion for it, and in scripts
# of GelSight's), and surfalize 0.19.2 takes them for um: a part of 3 x 2 mm with an Sq of 2 um is one of 3 x 2 um with
# an Sq of 0.002 um. What it writes is as much too large elsewhere. As length and height are wrong alike, slopes, shapes
# and plots without their numbers look right, and so does a file that it reads back itself.
# A binary SDF file of surfalize's has the lowest double (-1.8e308) where nothing was measured, as it says of the standard.
# SurfaceTopography 1.27.1 knows such a mark for whole numbers, and takes NaN alone for floating-point ones: there are
# heights of -1e307 and below, none is undefined, and the Sq is infinite. Text SDF, SUR, X3P and TMD keep the gaps.
# Nothing warns when it is read, and no issue was found about either.
#
# Needs Python 3.11 or later.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cat >"$scratch/read.py" <<'PROGRAM'
import pathlib
import struct
import sys

import numpy as np
import surfalize
import SurfaceTopography

FOLDER = pathlib.Path(sys.argv[1])
np.seterr(over="ignore")


def by_surfalize(path):
    surface = surfalize.Surface.load(path)
    heights = surface.data
    return heights, (surface.step_x * heights.shape[1], surface.step_y * heights.shape[0]), "um"


def by_surfacetopography(path):
    topography = SurfaceTopography.open_topography(str(path)).topography()
    heights = np.ma.filled(topography.heights(), np.nan).T
    return heights, topography.physical_sizes, topography.unit.replace("\u00b5", "u").replace("\u00c2", "")


def tell(name, path):
    for package, read in (("surfalize", by_surfalize), ("SurfaceTopography", by_surfacetopography)):
        heights, sizes, unit = read(path)
        deviation = np.sqrt(np.nanmean((heights - np.nanmean(heights)) ** 2))
        size = " x ".join(f"{length:.4g}" for length in sizes)
        print(f"{name}, {package}: {size} {unit}, Sq {deviation:.3g} {unit}, {np.isnan(heights).sum()} gaps")


rows, columns = np.mgrid[:40, :60]
waves = 2 * np.sqrt(2) * np.sin(2 * np.pi * columns / 20)  # um, with an Sq of 2 um
with open(FOLDER / "truemap.tmd", "wb") as file:
    file.write(b"Binary TrueMap Data File v2.0\r\n\0" + b"Created by TrueMap v6\r\n\0")
    file.write(struct.pack("<2I4f", 60, 40, 3, 2, 0, 0) + (waves / 1000).astype("<f4").tobytes())
tell("TMD of 3 x 2 mm", FOLDER / "truemap.tmd")

waves[10:12, 20:30] = np.nan
for name, ending, options in (
    ("TMD", "tmd", {}),
    ("SDF", "sdf", {}),
    ("text SDF", "sdf", {"binary": False}),
    ("SUR", "sur", {}),
    ("X3P", "x3p", {}),
):
    path = FOLDER / f"written.{ending}"
    surfalize.Surface(waves, 50, 50).save(path, **options)
    tell(f"{name} of surfalize", path)
PROGRAM

"${PYTHON:-python3}" -m pip install --quiet --no-compile --target "$scratch/site" \
    surfalize==0.19.2 SurfaceTopography==1.27.1 numpy==2.3.4
PYTHONPATH="$scratch/site" "${PYTHON:-python3}" "$scratch/read.py" "$scratch" | tee "$scratch/seen"

# Output seen on 2026-11-30.
diff - "$scratch/seen" <<'SEEN'
TMD of 3 x 2 mm, surfalize: 3 x 2 um, Sq 0.002 um, 0 gaps
TMD of 3 x 2 mm, SurfaceTopography: 3 x 2 mm, Sq 0.002 mm, 0 gaps
TMD of surfalize, surfalize: 3000 x 2000 um, Sq 2 um, 20 gaps
TMD of surfalize, SurfaceTopography: 3000 x 2000 mm, Sq 2 mm, 20 gaps
SDF of surfalize, surfalize: 3000 x 2000 um, Sq 2 um, 20 gaps
SDF of surfalize, SurfaceTopography: 3000 x 2000 um, Sq inf um, 0 gaps
text SDF of surfalize, surfalize: 3000 x 2000 um, Sq 2 um, 20 gaps
text SDF of surfalize, SurfaceTopography: 3000 x 2000 um, Sq 2 um, 20 gaps
SUR of surfalize, surfalize: 3000 x 2000 um, Sq 2 um, 20 gaps
SUR of surfalize, SurfaceTopography: 3000 x 2000 um, Sq 2 um, 20 gaps
X3P of surfalize, surfalize: 3000 x 2000 um, Sq 2 um, 20 gaps
X3P of surfalize, SurfaceTopography: 0.003 x 0.002 m, Sq 2e-06 m, 20 gaps
SEEN
