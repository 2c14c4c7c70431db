#!/usr/bin/env bash
# grain: batches of one element of an endlessly repeated dataset.
#
# One would guess: MapDataset.range(10).repeat().batch(1) works as .batch(2) does; only the batches are smaller.
# Seen: with grain 0.2.18, batch(2) and larger ones iterate for ever as they should, and batch(1) raises OverflowError as
# soon as an iterator is made: the length of what is repeated endlessly is sys.maxsize, and the number of its batches of
# one no longer fits what len() may return. A number of epochs, however large, goes well: repeat(10**12).batch(1).
#
# Whoever lowers the batch size to one for want of memory meets it. Needs Python 3.11 or later.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
"${PYTHON:-python3}" -m pip install --quiet --target "$scratch/site" grain==0.2.18
cat >"$scratch/measure.py" <<'PROGRAM'
import grain


def first(dataset):
    try:
        return next(iter(dataset.to_iter_dataset())).tolist()
    except OverflowError as error:
        return f"OverflowError: {error}"


numbers = grain.MapDataset.range(10)
seen = {
    "repeat().batch(2)": first(numbers.repeat().batch(2)),
    "repeat().batch(1)": first(numbers.repeat().batch(1)),
    "repeat(10**12).batch(1)": first(numbers.repeat(10**12).batch(1)),
}
for name, result in seen.items():
    print(f"{name:24} {result}")
ok = seen["repeat().batch(2)"] == [0, 1] and seen["repeat(10**12).batch(1)"] == [0]
raise SystemExit(0 if ok and str(seen["repeat().batch(1)"]).startswith("OverflowError") else 1)
PROGRAM
PYTHONPATH="$scratch/site" "${PYTHON:-python3}" "$scratch/measure.py"
