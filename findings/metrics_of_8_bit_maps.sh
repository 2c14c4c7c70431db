#!/usr/bin/env bash
# The mean absolute error of defect maps that are read from 8-bit files, by packages of metrics.
#
# One would guess: a metric takes its two images to floating point before it subtracts them, as scikit-learn's does, or
# refuses integers; a map that is black has a larger error than one that shows the defect a little too dark.
# Seen: torchmetrics 1.9.0, metrax 0.2.4 and Ignite 0.5.5 subtract bytes from bytes, which wrap around: 230 - 255 is
# 231, and 0 - 255 is 1. By their mean absolute error a map that shows the whole defect at 230 of 255 is the worst
# (22.56 instead of 2.44), and the black one, which misses it, the best (0.10 instead of 24.90); a false alarm counts
# in full. Their squared errors wrap twice. MONAI 1.6.1 refuses integers for the absolute error, while its squared one
# is right where the map is below the truth, and next to nothing for false alarms (0.04 instead of 2794.04). The same
# maps as float32 have the errors of scikit-learn 1.9.1, and nothing warns. torchmetrics seems to mean to convert: its
# source has `preds.is_floating_point` without a call, which is always true; issue 2787 there (closed) is about the
# PSNR of bytes.
#
# Needs Python 3.11 or later; installs PyTorch: 1 GB, or several with the packages for CUDA that pip may choose.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cat >"$scratch/measure.py" <<'PROGRAM'
import ignite.metrics
import jax.numpy as jnp
import metrax
import monai.metrics
import numpy as np
import sklearn.metrics
import torch
import torchmetrics

truth = np.zeros((64, 64), np.uint8)
truth[20:40, 20:40] = 255
MAPS = {"black": 0 * truth, "found": truth // 255 * 230, "too large": np.zeros_like(truth)}
MAPS["too large"][18:42, 18:42] = 255


def of_torchmetrics(metric, one, other):
    return metric(torch.tensor(one.ravel()), torch.tensor(other.ravel()))


def of_ignite(metric, one, other):
    metric.update((torch.tensor(one.ravel()), torch.tensor(other.ravel())))
    return metric.compute()


def of_metrax(metric, one, other):
    return metric.from_model_output(jnp.asarray(one), jnp.asarray(other)).compute()


def of_monai(metric, one, other):
    metric(*(torch.tensor(image)[None, None] for image in (one, other)))
    return metric.aggregate()


def of_sklearn(metric, one, other):
    return metric(one.ravel(), other.ravel())


METRICS = {
    "scikit-learn, absolute": (of_sklearn, lambda: sklearn.metrics.mean_absolute_error),
    "torchmetrics, absolute": (of_torchmetrics, torchmetrics.MeanAbsoluteError),
    "metrax, absolute": (of_metrax, lambda: metrax.MAE),
    "Ignite, absolute": (of_ignite, ignite.metrics.MeanAbsoluteError),
    "MONAI, absolute": (of_monai, monai.metrics.MAEMetric),
    "scikit-learn, squared": (of_sklearn, lambda: sklearn.metrics.mean_squared_error),
    "torchmetrics, squared": (of_torchmetrics, torchmetrics.MeanSquaredError),
    "metrax, squared": (of_metrax, lambda: metrax.MSE),
    "Ignite, squared": (of_ignite, ignite.metrics.MeanSquaredError),
    "MONAI, squared": (of_monai, monai.metrics.MSEMetric),
}


def error(name, one, other):
    call, metric = METRICS[name]
    try:
        return f"{float(call(metric(), one, other)):8.2f}"
    except (RuntimeError, TypeError) as raised:
        return type(raised).__name__


for name in METRICS:
    errors = (f"{map_name} {error(name, defect_map, truth)}" for map_name, defect_map in MAPS.items())
    of_floats = error(name, MAPS["black"].astype(np.float32), truth.astype(np.float32))
    print(f"{name:22}", ", ".join(errors), f"(black, as float32: {of_floats})")
PROGRAM

"${PYTHON:-python3}" -m pip install --quiet --target "$scratch/site" \
    torchmetrics==1.9.0 google-metrax==0.2.4 pytorch-ignite==0.5.5 monai==1.6.1 scikit-learn==1.9.1 \
    torch==2.13.0 clu==0.0.12 flax==0.12.8 jax==0.10.2 jaxlib==0.10.2 numpy==2.3.4
JAX_PLATFORMS=cpu PYTHONPATH="$scratch/site" "${PYTHON:-python3}" "$scratch/measure.py" | tee "$scratch/seen"

# Output seen on 2026-11-30.
diff - "$scratch/seen" <<'SEEN'
scikit-learn, absolute black    24.90, found     2.44, too large    10.96 (black, as float32:    24.90)
torchmetrics, absolute black     0.10, found    22.56, too large    10.96 (black, as float32:    24.90)
metrax, absolute       black     0.10, found    22.56, too large    10.96 (black, as float32:    24.90)
Ignite, absolute       black     0.10, found    22.56, too large    10.96 (black, as float32:    24.90)
MONAI, absolute        black RuntimeError, found RuntimeError, too large RuntimeError (black, as float32:    24.90)
scikit-learn, squared  black  6350.10, found    61.04, too large  2794.04 (black, as float32:  6350.10)
torchmetrics, squared  black     0.10, found    11.04, too large     0.04 (black, as float32:  6350.10)
metrax, squared        black     0.10, found    11.04, too large     0.04 (black, as float32:  6350.10)
Ignite, squared        black     0.10, found    11.04, too large     0.04 (black, as float32:  6350.10)
MONAI, squared         black  6350.10, found    61.04, too large     0.04 (black, as float32:  6350.10)
SEEN
