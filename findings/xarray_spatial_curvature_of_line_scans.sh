#!/usr/bin/env bash
# xarray-spatial: curvatures of a height map of a laser line scanner, which has points every 0.01 mm along its line and
# a line every 0.04 mm, to tell scratches from waviness.
#
# One would guess: curvature() takes the steps in x and y from the coordinates, as slope() does, and a scratch has the
# same curvature whichever way it runs.
# Seen: xarray-spatial 0.5.3 and 0.10.20 divide both second differences by the square of the mean of the two steps.
# Slopes are right in both directions. The bottom of a scratch with a radius of 2 mm has a curvature of -50 in its
# unit, hundredths of 1/mm: it is told as -8 if it is curved along the lines (in x), and as -128, 16 times as much, if
# across them (in y), and a round pit as -136 for -100. Waviness with a radius of 10 mm in y is told as -25.6 for -10,
# more than the scratch in x, so that no threshold parts the two. Steps that are given as the attribute "res" change
# nothing, and with steps of 0.02 mm in both directions all is right. Nothing warns; the documentation shows square
# cells and does not ask for them. That aspect() was wrong in such maps is known and mended (issue 2760), and of
# curvature() no issue was found. What is curved in one direction only is right once it is multiplied by the square of
# the mean step over its own.
#
# Needs Python 3.11 or later.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cat >"$scratch/measure.py" <<'PROGRAM'
import warnings

warnings.simplefilter("ignore")
import numpy as np
import xarray as xr
import xrspatial


def by_numpy(heights, step_x, step_y):
    inner = heights[1:-1, 1:-1]
    along_x = (heights[1:-1, 2:] - 2 * inner + heights[1:-1, :-2]) / step_x**2
    along_y = (heights[2:, 1:-1] - 2 * inner + heights[:-2, 1:-1]) / step_y**2
    return -100 * (along_x + along_y)


def tell(step_x, step_y):
    print(f"steps of {step_x} mm in x and {step_y} mm in y:")
    rows, columns = np.mgrid[-30:31, -40:41]
    x, y = columns * step_x, rows * step_y

    def as_map(heights, **attributes):
        coordinates = {"y": y[:, 0], "x": x[0]}
        return xr.DataArray(heights, dims=("y", "x"), coords=coordinates, attrs=attributes)

    for name, heights in (
        ("scratch of 2 mm, curved in x", x**2 / 4),
        ("scratch of 2 mm, curved in y", y**2 / 4),
        ("waviness of 10 mm, curved in x", x**2 / 20),
        ("waviness of 10 mm, curved in y", y**2 / 20),
        ("pit of 2 mm", (x**2 + y**2) / 4),
    ):
        found = np.nanmedian(xrspatial.curvature(as_map(heights)))
        given = np.nanmedian(xrspatial.curvature(as_map(heights, res=(step_x, step_y))))
        right = np.median(by_numpy(heights, step_x, step_y))
        print(f"    {name}: {found:.1f}, with res {given:.1f}, NumPy {right:.1f}")
    for name, heights in ("x", 0.3 * x), ("y", 0.3 * y):
        slope = np.nanmedian(xrspatial.slope(as_map(heights)))
        print(f"    slope in {name}: {slope:.2f} degrees, NumPy {np.degrees(np.arctan(0.3)):.2f}")


tell(0.01, 0.04)
tell(0.02, 0.02)
PROGRAM

"${PYTHON:-python3}" -m pip install --quiet --no-compile --target "$scratch/site" xarray-spatial==0.5.3 numpy==2.3.4
PYTHONPATH="$scratch/site" "${PYTHON:-python3}" "$scratch/measure.py" | tee "$scratch/seen"

# Output seen on 2026-12-01.
diff - "$scratch/seen" <<'SEEN'
steps of 0.01 mm in x and 0.04 mm in y:
    scratch of 2 mm, curved in x: -8.0, with res -8.0, NumPy -50.0
    scratch of 2 mm, curved in y: -128.0, with res -128.0, NumPy -50.0
    waviness of 10 mm, curved in x: -1.6, with res -1.6, NumPy -10.0
    waviness of 10 mm, curved in y: -25.6, with res -25.6, NumPy -10.0
    pit of 2 mm: -136.0, with res -136.0, NumPy -100.0
    slope in x: 16.70 degrees, NumPy 16.70
    slope in y: 16.70 degrees, NumPy 16.70
steps of 0.02 mm in x and 0.02 mm in y:
    scratch of 2 mm, curved in x: -50.0, with res -50.0, NumPy -50.0
    scratch of 2 mm, curved in y: -50.0, with res -50.0, NumPy -50.0
    waviness of 10 mm, curved in x: -10.0, with res -10.0, NumPy -10.0
    waviness of 10 mm, curved in y: -10.0, with res -10.0, NumPy -10.0
    pit of 2 mm: -100.0, with res -100.0, NumPy -100.0
    slope in x: 16.70 degrees, NumPy 16.70
    slope in y: 16.70 degrees, NumPy 16.70
SEEN
