#!/usr/bin/env bash
# Python-Blosc2: a camera's counts divided by those of a white reference (flat-field correction), both compressed arrays
# of integers, as one keeps long line scans.
#
# One would guess: as in NumPy, the quotient of integers is a fraction; what the elements are cannot depend on how the
# arrays are cut into chunks, or on whether all of the result is asked for or a part.
# Seen: with blosc2 4.14.1 (4.0.0, 4.4.1 and 4.9.1 alike) the result has a type of fractions but only whole numbers, 0
# for all that is darker than the reference: the division is one of integers, converted afterwards, towards 0 for
# negative numbers. This is so for any two compressed arrays of the same integer type, shape, chunks and blocks, for
# "/", divide(), lazyexpr() and evaluate(), and within longer expressions, means and thresholds. With other chunks,
# with another integer type, with a NumPy array for one of the two, and for a part of the result, the same division is
# right, so that a look at a few rows tells nothing. Here a threshold of 0.7 finds 32,798 dark pixels instead of 60.
# Nothing warns, and neither the documentation nor an issue was found to say so. Multiplying by 1.0 before the
# division helps, after it does not.
#
# Needs Python 3.11 or later.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cat >"$scratch/divide.py" <<'PROGRAM'
import blosc2
import numpy as np

rows, columns = np.mgrid[:256, :256]
white = (2000 + 1000 * np.sin(columns / 80)).astype(np.uint16)
counts = (white * np.where(rows % 2, 0.95, 1.05)).astype(np.uint16)
counts[101:107, 60:70] //= 2  # a dark spot of 60 pixels
expected = counts / white


def tell(name, reflectance, expected=expected):
    reflectance = np.asarray(reflectance[:])
    right = np.allclose(reflectance, expected)
    whole = np.array_equal(reflectance, np.trunc(expected))
    found = f"{(reflectance < 0.7).sum()} below 0.7, {reflectance.min():.2f} to {reflectance.max():.2f}"
    print(f"{name}: {reflectance.dtype}, right: {right}, whole part: {whole}; {found}")


tell("NumPy", expected)
compressed, reference = blosc2.asarray(counts), blosc2.asarray(white)
operands = {"counts": compressed, "white": reference}
tell("counts / white", compressed / reference)
tell("computed and compressed", (compressed / reference).compute())
tell("divide", blosc2.divide(compressed, reference))
tell("lazyexpr", blosc2.lazyexpr("counts / white", operands))
tell("evaluate", blosc2.evaluate("counts / white", operands))
tell("counts / white * 1.0", compressed / reference * 1.0)
tell("1.0 * counts / white", 1.0 * compressed / reference)
tell("other chunks", compressed / blosc2.asarray(white, chunks=(64, 256)))
tell("white as uint32", compressed / blosc2.asarray(white.astype(np.uint32)))
tell("white in NumPy", compressed / white)
parts = [(compressed / reference)[top : top + 64] for top in range(0, 256, 64)]
tell("64 rows at a time", np.concatenate(parts))
for dtype in np.uint8, np.int16, np.int32, np.uint64:
    numbers, divisors = (np.maximum(array >> 5, 1).astype(dtype) for array in (counts, white))
    if dtype == np.int16:
        numbers = -numbers
    tell(np.dtype(dtype).name, blosc2.asarray(numbers) / blosc2.asarray(divisors), numbers / divisors)
mean = float((compressed / reference).mean()[()])
dark = int((compressed / reference < 0.7).sum()[()])
print(f"mean {mean:.3f} for {expected.mean():.3f}, below 0.7 {dark} for {(expected < 0.7).sum()}")
PROGRAM

"${PYTHON:-python3}" -m pip install --quiet --no-compile --target "$scratch/site" blosc2==4.14.1 numpy==2.3.4
PYTHONPATH="$scratch/site" "${PYTHON:-python3}" "$scratch/divide.py" | tee "$scratch/seen"

# Output seen on 2026-12-01.
diff - "$scratch/seen" <<'SEEN'
NumPy: float64, right: True, whole part: False; 60 below 0.7, 0.47 to 1.05
counts / white: float64, right: False, whole part: True; 32798 below 0.7, 0.00 to 1.00
computed and compressed: float64, right: False, whole part: True; 32798 below 0.7, 0.00 to 1.00
divide: float64, right: False, whole part: True; 32798 below 0.7, 0.00 to 1.00
lazyexpr: float64, right: False, whole part: True; 32798 below 0.7, 0.00 to 1.00
evaluate: float64, right: False, whole part: True; 32798 below 0.7, 0.00 to 1.00
counts / white * 1.0: float64, right: False, whole part: True; 32798 below 0.7, 0.00 to 1.00
1.0 * counts / white: float64, right: True, whole part: False; 60 below 0.7, 0.47 to 1.05
other chunks: float64, right: True, whole part: False; 60 below 0.7, 0.47 to 1.05
white as uint32: float64, right: True, whole part: False; 60 below 0.7, 0.47 to 1.05
white in NumPy: float64, right: True, whole part: False; 60 below 0.7, 0.47 to 1.05
64 rows at a time: float64, right: True, whole part: False; 60 below 0.7, 0.47 to 1.05
uint8: float64, right: False, whole part: True; 32798 below 0.7, 0.00 to 1.00
int16: float64, right: False, whole part: True; 65536 below 0.7, -1.00 to 0.00
int32: float32, right: False, whole part: True; 32798 below 0.7, 0.00 to 1.00
uint64: float64, right: False, whole part: True; 32798 below 0.7, 0.00 to 1.00
mean 0.500 for 0.999, below 0.7 32798 for 60
SEEN
