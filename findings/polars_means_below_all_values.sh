#!/usr/bin/env bash
# Polars: the mean of several exposures of a line-scan camera, each a column of 8-bit or 12-bit counts, as for a white
# reference, or of several networks' 8-bit maps.
#
# One would guess: mean_horizontal gives the mean, as mean() does down a column; what is Float64 cannot wrap. That
# sum_horizontal stays in the columns' type and wraps has been reported (issue 21515 of pola-rs/polars, open).
# Seen: with polars 2.1.0, mean_horizontal sums in that type too, and then divides: the mean of three columns of 250
# is 79.33, and of two columns of Int8 at 120 it is -8. Of 20 exposures at 4000 of 12 bits in UInt16, it is 723.2; 16
# of them are right, whatever they are. Only where the sum stays below the type's end is the mean right, so that dark
# pixels and a dark reference are, and in a white reference the light goes up and down along the line; three 8-bit
# maps that agree about a defect at 250 give less than three at 80 do. Expressions, frames, lazy ones and Int32 are
# alike; floats are right, and so are columns cast before, the mean of a list (concat_list) and of the transposed
# frame. What it gives is the wrapped sum divided by the number of columns, to the last digit. Nothing warns, its
# documentation says nothing of it, and no issue was found about it; mean() had the same and was changed in 2022
# (issue 2500).
#
# Needs Python 3.11 or later.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cat >"$scratch/measure.py" <<'PROGRAM'
import numpy as np
import polars as pl


def frame_of(values, kind):
    return pl.DataFrame({f"c{number}": pl.Series(column, dtype=kind) for number, column in enumerate(values)})


def means(frame):
    by_frame = frame.mean_horizontal()
    by_expression = frame.select(pl.mean_horizontal(pl.all())).to_series()
    lazily = frame.lazy().select(pl.mean_horizontal(pl.all())).collect().to_series()
    assert by_frame.to_list() == by_expression.to_list() == lazily.to_list()
    return by_frame


def told(numbers):
    return " ".join(f"{number:.6g}" for number in numbers)


for kind, value, count in (
    (pl.UInt8, 250, 3),
    (pl.UInt8, 80, 3),
    (pl.Int8, 120, 2),
    (pl.UInt16, 4000, 16),
    (pl.UInt16, 4000, 17),
    (pl.UInt16, 4000, 20),
    (pl.UInt16, 4095, 16),
    (pl.Int32, 2_000_000_000, 2),
    (pl.Float32, 4000, 20),
):
    frame = frame_of([[value, 1]] * count, kind)
    found = means(frame)
    cast = frame.select(pl.mean_horizontal(pl.all().cast(pl.Float64))).to_series()
    listed = frame.select(pl.concat_list(pl.all()).list.mean()).to_series()
    down = frame.transpose().mean().row(0)
    assert cast.to_list() == listed.to_list() == list(down) == [value, 1]
    name = f"{count} columns of {kind} at {value} and 1"
    print(f"{name}: mean_horizontal {told(found)} ({found.dtype}); cast, list and transposed {told(cast)}")

light = 3900 * np.exp(-(((np.arange(9) - 4) / 3) ** 2))
exposures = np.round(light + np.random.default_rng(0).normal(0, 20, (32, 9))).clip(0, 4095).astype(np.uint16)
found = means(frame_of(exposures, pl.UInt16)).to_numpy()
print("white reference of 32 exposures, NumPy: ", " ".join(f"{value:.0f}" for value in exposures.mean(0)))
print("white reference of 32 exposures, Polars:", " ".join(f"{value:.0f}" for value in found))
assert np.allclose(found, exposures.sum(0) % 65536 / 32)
PROGRAM

"${PYTHON:-python3}" -m pip install --quiet --target "$scratch/site" polars==2.1.0 numpy==2.3.4
PYTHONPATH="$scratch/site" "${PYTHON:-python3}" "$scratch/measure.py" | tee "$scratch/seen"

# Output seen on 2026-12-01.
diff - "$scratch/seen" <<'SEEN'
3 columns of UInt8 at 250 and 1: mean_horizontal 79.3333 1 (Float64); cast, list and transposed 250 1
3 columns of UInt8 at 80 and 1: mean_horizontal 80 1 (Float64); cast, list and transposed 80 1
2 columns of Int8 at 120 and 1: mean_horizontal -8 1 (Float64); cast, list and transposed 120 1
16 columns of UInt16 at 4000 and 1: mean_horizontal 4000 1 (Float64); cast, list and transposed 4000 1
17 columns of UInt16 at 4000 and 1: mean_horizontal 144.941 1 (Float64); cast, list and transposed 4000 1
20 columns of UInt16 at 4000 and 1: mean_horizontal 723.2 1 (Float64); cast, list and transposed 4000 1
16 columns of UInt16 at 4095 and 1: mean_horizontal 4095 1 (Float64); cast, list and transposed 4095 1
2 columns of Int32 at 2000000000 and 1: mean_horizontal -1.47484e+08 1 (Float64); cast, list and transposed 2e+09 1
20 columns of Float32 at 4000 and 1: mean_horizontal 4000 1 (Float32); cast, list and transposed 4000 1
white reference of 32 exposures, NumPy:  655 1437 2502 3490 3897 3487 2500 1435 661
white reference of 32 exposures, Polars: 655 1437 454 1442 1849 1439 452 1435 661
SEEN
