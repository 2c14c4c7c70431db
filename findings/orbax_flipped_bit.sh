#!/usr/bin/env bash
# Orbax: a checkpoint in which one bit of an array's file is flipped, as on a bad disk.
#
# One would guess: the arrays lie in OCDBT files whose nodes have check sums, compressed by Zstandard, which can have one
# too: a damaged file is an error when the checkpoint is restored.
# Seen: with orbax-checkpoint 0.12.8 and tensorstore 0.1.86, each of 20 checkpoints of random float32 numbers, with a bit
# flipped at another place of the largest file under d/, is restored without a word, with one to some thousand other
# numbers. Whoever wants to know keeps check sums of the files.
#
# Needs Python 3.12 or later.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
"${PYTHON:-python3}" -m pip install --quiet --target "$scratch/site" \
    orbax-checkpoint==0.12.8 tensorstore==0.1.86 jax==0.11.2 jaxlib==0.11.2 numpy==2.3.4
cat >"$scratch/measure.py" <<'PROGRAM'
import shutil
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import orbax.checkpoint as ocp

folder = Path(sys.argv[1])
tree = {"kernel": np.random.default_rng(0).standard_normal((3, 3, 64, 64)).astype(np.float32)}
with ocp.StandardCheckpointer() as checkpointer:
    checkpointer.save(folder / "whole", tree)
found = Counter()
for trial in range(20):
    damaged = folder / f"damaged{trial}"
    shutil.copytree(folder / "whole", damaged)
    largest = max((path for path in damaged.rglob("d/*") if path.is_file()), key=lambda path: path.stat().st_size)
    data = bytearray(largest.read_bytes())
    place = len(data) * (trial + 1) // 22
    data[place] ^= 1 << trial % 8
    largest.write_bytes(data)
    try:
        with ocp.StandardCheckpointer() as checkpointer:
            restored = checkpointer.restore(damaged)
    except Exception as error:
        found[f"refused ({type(error).__name__})"] += 1
        continue
    changed = int(np.sum(restored["kernel"] != tree["kernel"]))
    found["as it was" if not changed else f"restored, with {changed} other number(s)"] += 1
print(dict(found))
assert sum(count for kind, count in found.items() if kind.startswith("restored")) > 0
PROGRAM
PYTHONPATH="$scratch/site" JAX_PLATFORMS=cpu "${PYTHON:-python3}" "$scratch/measure.py" "$scratch/checkpoints" 2>/dev/null
