#!/usr/bin/env bash
# Pillow: a PNG mask in which one bit of the pixels' data is flipped, as on a bad disk.
#
# One would guess: a PNG has a check sum in every chunk, and its pixels another one, so that a flipped bit is an error when
# the image is loaded; at worst it is one of those that give the same pixels.
# Seen: with Pillow 13.0.0, of the flipped bits of a small mask's IDAT chunk 755 of 920 are errors, and 148 load as another mask
# without a word, since neither check sum is looked at once all pixels are there. Image.verify() on the same file notices
# each of these, but needs the file to be opened a second time to read it.
#
# Needs Python 3.11 or later.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
"${PYTHON:-python3}" -m pip install --quiet --target "$scratch/site" pillow==13.0.0
cat >"$scratch/measure.py" <<'PROGRAM'
import io
from collections import Counter

from PIL import Image, ImageDraw

mask = Image.new("L", (64, 48))
ImageDraw.Draw(mask).ellipse((10, 8, 40, 30), fill=255)
stream = io.BytesIO()
mask.save(stream, "PNG")
whole = stream.getvalue()
start = whole.index(b"IDAT") + 4
length = int.from_bytes(whole[start - 8 : start - 4])


def outcome(data):
    try:
        with Image.open(io.BytesIO(data)) as image:
            pixels = image.tobytes()
    except (OSError, SyntaxError, ValueError):
        return "refused"
    return "the same" if pixels == mask.tobytes() else "another mask"


def verified(data):
    try:
        with Image.open(io.BytesIO(data)) as image:
            image.verify()
    except (OSError, SyntaxError, ValueError):
        return False
    return True


found, passed = Counter(), 0
for position in range(start, start + length):
    for bit in range(8):
        data = bytearray(whole)
        data[position] ^= 1 << bit
        kind = outcome(bytes(data))
        found[kind] += 1
        passed += kind == "another mask" and verified(bytes(data))
print(dict(found), f"of {8 * length}; verify() lets {passed} of the other masks pass")
assert found["another mask"] > 0
assert passed == 0
PROGRAM
PYTHONPATH="$scratch/site" "${PYTHON:-python3}" "$scratch/measure.py"
