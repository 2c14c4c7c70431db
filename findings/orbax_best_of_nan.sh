#!/usr/bin/env bash
# Orbax: the best checkpoints of a run of which one validation has the metric NaN, as an average precision without a
# defect or a loss that was not finite once.
#
# One would guess: CheckpointManager(best_fn, best_mode, max_to_keep=2) takes NaN for the worst, or refuses it, and
# keeps the two best of the others, as Ray Tune does since a report of 2022.
# Seen: with orbax-checkpoint 0.12.8 and metrics 0.5, 0.9, NaN, 0.6, 0.7 of five steps, the larger the better, the
# checkpoint with 0.9 is deleted, 0.6 and 0.7 are kept, and best_step() is the one with 0.7. If the last validation is
# NaN, it is the best step itself, and it takes one of the two places. With NaN first, all is well. It is so for "min"
# too: checkpoints are sorted by comparisons, of which those with NaN are never true. Nothing is logged. A best_fn that
# returns an infinity instead of NaN avoids it.
#
# Needs Python 3.11 or later.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cat >"$scratch/measure.py" <<'PROGRAM'
import pathlib
import sys

import numpy as np
import orbax.checkpoint as ocp

NAN = float("nan")


def train(folder, metrics, mode):
    options = ocp.CheckpointManagerOptions(
        max_to_keep=2, best_fn=lambda metrics: metrics["metric"], best_mode=mode, enable_async_checkpointing=False
    )
    with ocp.CheckpointManager(folder, options=options) as manager:
        for step, metric in enumerate(metrics):
            manager.save(step, args=ocp.args.StandardSave({"kernel": np.ones(3)}), metrics={"metric": metric})
        kept = ", ".join(f"{metrics[step]:.1f}" for step in manager.all_steps())
        return f"kept {kept}, best {metrics[manager.best_step()]:.1f}"


for number, (mode, metrics) in enumerate(
    (
        ("max", [0.5, 0.9, 0.1, 0.6, 0.7]),
        ("max", [0.5, 0.9, NAN, 0.6, 0.7]),
        ("max", [NAN, 0.5, 0.6, 0.9, 0.7]),
        ("max", [0.5, 0.6, 0.9, NAN]),
        ("min", [0.5, 0.2, 0.9, 0.4, 0.3]),
        ("min", [0.5, 0.2, NAN, 0.4, 0.3]),
        ("min", [NAN, 0.5, 0.4, 0.2, 0.3]),
        ("min", [0.5, 0.4, 0.2, NAN]),
    )
):
    print(mode, metrics, train(pathlib.Path(sys.argv[1]) / str(number), metrics, mode))
PROGRAM

"${PYTHON:-python3}" -m pip install --quiet --target "$scratch/site" \
    orbax-checkpoint==0.12.8 jax==0.10.2 jaxlib==0.10.2 numpy==2.3.4
JAX_PLATFORMS=cpu PYTHONPATH="$scratch/site" "${PYTHON:-python3}" "$scratch/measure.py" "$scratch" | tee "$scratch/seen"

# Output seen on 2026-11-30.
diff - "$scratch/seen" <<'SEEN'
max [0.5, 0.9, 0.1, 0.6, 0.7] kept 0.9, 0.7, best 0.9
max [0.5, 0.9, nan, 0.6, 0.7] kept 0.6, 0.7, best 0.7
max [nan, 0.5, 0.6, 0.9, 0.7] kept 0.9, 0.7, best 0.9
max [0.5, 0.6, 0.9, nan] kept 0.9, nan, best nan
min [0.5, 0.2, 0.9, 0.4, 0.3] kept 0.2, 0.3, best 0.2
min [0.5, 0.2, nan, 0.4, 0.3] kept 0.4, 0.3, best 0.3
min [nan, 0.5, 0.4, 0.2, 0.3] kept 0.2, 0.3, best 0.2
min [0.5, 0.4, 0.2, nan] kept 0.2, nan, best nan
SEEN
