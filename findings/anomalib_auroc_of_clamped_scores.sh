#!/usr/bin/env bash
# anomalib: the AUROC of a test, with validation images of which none has a defect (val_split_mode "from_train": those
# who look for anomalies often have no more).
#
# One would guess: AUROC and AUPR depend on the order of the scores alone, and normalising them by the smallest and the
# largest of validation, as anomalib does by default, keeps the order; Engine.test tells the same with it and without.
# Seen: anomalib 2.7.0 cuts the normalised scores off at 0 and 1 and computes the metrics of them. What is further above
# the threshold than half of the range that validation's sound images had is 1, whether it is twice or ten times as
# far: PaDiM gives 10 scratches 11.7 and more, 6 sound images with a lesser mark 6.8 to 7.8, and all others 1.8 at most;
# AUROC and AUPR are 1.0 of these, and 0.85 and 0.625 of the normalised scores, which predict returns too. Maps are cut
# off alike, before metrics of maps see them. No word of it is logged. PostProcessor(enable_normalization=False) gives
# metrics of the raw scores (what it does to labels is in anomalib_weakest_defect_called_sound.sh).
#
# Needs Python 3.11 or later; installs PyTorch and its packages for CUDA: 6 GB.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cat >"$scratch/measure.py" <<'PROGRAM'
from pathlib import Path

import numpy as np
import torch
from anomalib.data import Folder
from anomalib.engine import Engine
from anomalib.metrics import AUPR, AUROC, Evaluator
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


for index in range(40):
    draw(Path("train", f"{index:02}.png"), 0)
for index in range(20):
    draw(Path("good", f"{index:02}.png"), 60 if index < 6 else 0)
for index in range(10):
    draw(Path("scratched", f"{index:02}.png"), 100)

for normalized in False, True:
    torch.manual_seed(0)
    folders = {"normal_dir": "train", "normal_test_dir": "good", "abnormal_dir": "scratched"}
    options = {"val_split_mode": "from_train", "val_split_ratio": 0.25, "seed": 0, "num_workers": 0}
    data = Folder(name="plates", root=".", **folders, **options, train_batch_size=10, eval_batch_size=10)
    model = Padim(
        backbone="resnet18",
        pre_trained=False,
        layers=["layer1"],
        n_features=32,
        pre_processor=Padim.configure_pre_processor((64, 64)),
        post_processor=PostProcessor(enable_normalization=normalized),
        evaluator=Evaluator(test_metrics=[metric(fields=["pred_score", "gt_label"]) for metric in (AUROC, AUPR)]),
        visualizer=False,
    )
    engine = Engine(accelerator="cpu", devices=1, logger=False, enable_progress_bar=False)
    engine.fit(model, datamodule=data)
    results = engine.test(model, datamodule=data)[0]
    batches = engine.predict(model, datamodule=data)
    scores = torch.cat([batch.pred_score.flatten() for batch in batches])
    paths = [Path(path) for batch in batches for path in batch.image_path]
    groups = {"scratched": [], "good, marked": [], "good": []}
    for score, path in zip(scores.tolist(), paths):
        marked = path.parent.name == "good" and int(path.stem) < 6
        groups[path.parent.name + ", marked" * marked].append(score)
    metrics = ", ".join(f"{name} {value:.3f}" for name, value in results.items())
    print(f"SEEN normalised: {normalized}; {metrics}")
    for name, found in groups.items():
        print(f"SEEN   {name}: {min(found):.1f} to {max(found):.1f}")
PROGRAM

"${PYTHON:-python3}" -m pip install --quiet --target "$scratch/site" \
    anomalib==2.7.0 torch==2.14.1 torchvision==0.29.1 lightning==2.6.6 torchmetrics==1.9.0 timm==1.0.31 \
    kornia==0.9.0 pillow==13.0.0 numpy==2.4.6
cd "$scratch"
PYTHONPATH="$scratch/site" "${PYTHON:-python3}" "$scratch/measure.py" 2>"$scratch/log" |
    sed -n 's/^SEEN //p' | tee "$scratch/seen" || tail "$scratch/log"

# Output seen on 2026-11-30.
diff - "$scratch/seen" <<'SEEN'
normalised: False; AUROC 1.000, AUPR 1.000
  scratched: 11.7 to 13.0
  good, marked: 6.8 to 7.8
  good: 1.5 to 1.8
normalised: True; AUROC 0.850, AUPR 0.625
  scratched: 1.0 to 1.0
  good, marked: 1.0 to 1.0
  good: 0.0 to 0.8
SEEN
