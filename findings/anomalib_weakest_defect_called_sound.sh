#!/usr/bin/env bash
# anomalib: labels of a test with the threshold that Engine.fit chooses on validation, where validation and test are the
# same images (val_split_mode "same_as_test", as MVTec AD has by default).
#
# One would guess: the threshold is the one with the highest F1 on validation, so that on the same images F1Score, of
# the labels, is F1Max; and without normalised scores (PostProcessor(enable_normalization=False)) the raw scores are
# compared with it.
# Seen: neither, with anomalib 2.7.0. The threshold with the highest F1 is the score of a defective image, for
# F1AdaptiveThreshold counts scores of at least the threshold as defective; but labels are those above it. So the
# weakest of the defects that could be found is called sound: F1Max is 1.0 and F1Score 0.947, where PaDiM tells all 10
# defects from 20 sound images. The same is done to maps, pixel by pixel. Without normalisation the raw scores are
# compared with 0.5 (1 less the sensitivity), not with the threshold: here all images are defective. No word of it is
# logged. Of one's own: pred_score >= 0.5 of normalised scores, or raw ones against post_processor.image_threshold.
#
# Needs Python 3.11 or later; installs PyTorch and its packages for CUDA: 6 GB.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cat >"$scratch/label.py" <<'PROGRAM'
from pathlib import Path

import numpy as np
import torch
from anomalib.data import Folder
from anomalib.engine import Engine
from anomalib.metrics import AUROC, Evaluator, F1Max, F1Score
from anomalib.models import Padim
from anomalib.post_processing import PostProcessor
from PIL import Image

rng = np.random.default_rng(0)


def draw(path, contrast):
    """A grey surface with a scratch of a contrast."""
    pixels = 120 + 8 * rng.normal(size=(64, 64))
    row, column = rng.integers(8, 40, 2)
    pixels[row : row + 3, column : column + 16] += contrast
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).convert("RGB").save(path)


for index in range(30):
    draw(Path("train", f"{index:02}.png"), 0)
for index in range(20):
    draw(Path("good", f"{index:02}.png"), 0)
for index in range(10):
    draw(Path("scratched", f"{index:02}.png"), 40 + 8 * index)

for normalized in True, False:
    torch.manual_seed(0)
    folders = {"normal_dir": "train", "normal_test_dir": "good", "abnormal_dir": "scratched"}
    options = {"val_split_mode": "same_as_test", "train_batch_size": 10, "eval_batch_size": 10, "num_workers": 0}
    data = Folder(name="plates", root=".", **folders, **options)
    metrics = [metric(fields=["pred_score", "gt_label"]) for metric in (AUROC, F1Max)]
    model = Padim(
        backbone="resnet18",
        pre_trained=False,
        layers=["layer1"],
        n_features=32,
        pre_processor=Padim.configure_pre_processor((64, 64)),
        post_processor=PostProcessor(enable_normalization=normalized),
        evaluator=Evaluator(test_metrics=[*metrics, F1Score(fields=["pred_label", "gt_label"])]),
        visualizer=False,
    )
    engine = Engine(accelerator="cpu", devices=1, logger=False, enable_progress_bar=False)
    engine.fit(model, datamodule=data)
    results = engine.test(model, datamodule=data)[0]
    batches = engine.predict(model, datamodule=data)
    scores, found, truth = (
        torch.cat([getattr(batch, name).flatten() for batch in batches])
        for name in ("pred_score", "pred_label", "gt_label")
    )
    threshold = model.post_processor.image_threshold
    print(f"SEEN normalised: {normalized}")
    print("SEEN   " + ", ".join(f"{name} {value:.3f}" for name, value in results.items()))
    print(f"SEEN   called defective: {int(found[truth].sum())} of 10 defects, {int(found[~truth].sum())} of 20 others")
    weakest, following = scores[truth].sort()[0][:2]
    if normalized:
        print(f"SEEN   the weakest defect's score is {weakest:.3f}, the next one's above: {bool(following > 0.5)}")
    else:
        print(f"SEEN   the weakest defect's score is the threshold: {bool(weakest == threshold)}")
PROGRAM

"${PYTHON:-python3}" -m pip install --quiet --target "$scratch/site" \
    anomalib==2.7.0 torch==2.14.1 torchvision==0.29.1 lightning==2.6.6 torchmetrics==1.9.0 timm==1.0.31 \
    kornia==0.9.0 pillow==13.0.0 numpy==2.4.6
cd "$scratch"
PYTHONPATH="$scratch/site" "${PYTHON:-python3}" "$scratch/label.py" 2>"$scratch/log" |
    sed -n 's/^SEEN //p' | tee "$scratch/seen" || tail "$scratch/log"

# Output seen on 2026-11-30.
diff - "$scratch/seen" <<'SEEN'
normalised: True
  AUROC 1.000, F1Max 1.000, F1Score 0.947
  called defective: 9 of 10 defects, 0 of 20 others
  the weakest defect's score is 0.500, the next one's above: True
normalised: False
  AUROC 1.000, F1Max 1.000, F1Score 0.500
  called defective: 10 of 10 defects, 20 of 20 others
  the weakest defect's score is the threshold: True
SEEN
