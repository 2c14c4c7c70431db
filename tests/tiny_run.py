"""A run of a tiny network that could have been trained, without the time for it; any process can open it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from realistic_variables import realistic_variables
from tiny_network import FIELDS

from configs import quickstart
from dms_jax.checkpoints.manager import Checkpoints
from dms_jax.inference.description import OperatingPoint
from dms_jax.runs.config import build, saved
from dms_jax.runs.dataset import digests, open_dataset
from dms_jax.runs.description import RunDescription

SIZE = 48
STEP = 7


# As chosen on ten normal images.
PLAIN = OperatingPoint(120, "chosen plain", {130: 1, 20: 9})
GATED = OperatingPoint(60, "chosen gated", {90: 1, 2: 9})


def save_tiny_run(workdir: Path, data_dir: Path, *, ablation: str = "", tested: bool = False) -> None:
    """Make a work directory, of a run on drawn defects.

    Args:
      workdir: made if absent.
      data_dir: where the drawn dataset is kept.
      ablation: see `config.model.ablation`.
      tested: it has thresholds, those above.
    """
    workdir.mkdir(parents=True, exist_ok=True)
    config = quickstart.get_config()
    config.batch_size = 4
    config.model.ablation = ablation
    config.model.options = {name: value for name, value in FIELDS.items() if name != "num_classes"}
    config.data.data_dir = str(data_dir)
    config.data.image_size = config.data.synthetic.size = SIZE
    config.data.synthetic.images = 40
    dataset = open_dataset(config)
    saved.save(config, workdir)
    description = RunDescription.of(dataset, build.framing_config(config), digests(dataset))
    (replace(description, plain=PLAIN, gated=GATED) if tested else description).save(workdir)
    model = build.build_model(config, len(dataset.class_names))
    images = np.random.default_rng(0).integers(0, 256, (4, SIZE, SIZE, 3), np.uint8)
    with Checkpoints(workdir) as checkpoints:
        checkpoints.save_best(STEP, realistic_variables(model, images), 0.5)
