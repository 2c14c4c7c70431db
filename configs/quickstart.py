"""A small BDMS on drawn defects: no download, two to five minutes on two CPU cores.

    python train.py --config=configs/quickstart.py

It reaches maxF 0.85 to 0.87 on the defective test images, where an all-black map scores 0, and an accuracy of 0.96 to
0.99.
"""

from ml_collections import ConfigDict

from dms_jax.runs.config import defaults


def get_config(argument: str | None = None) -> ConfigDict:
    """The quickstart; it takes no argument."""
    defaults.parse_argument(argument)
    config = defaults.default_config()
    config.model.size = "small"
    config.data.dataset = "synthetic"
    config.data.synthetic.images = 720
    config.data.image_size = 96
    config.data.threads = 2
    config.augment.vertical_flip = True
    config.augment.rotation = 0.0
    config.loss.class_weight = 0.2
    config.optimizer.learning_rate = 0.1
    config.optimizer.warmup_steps = 40
    config.average_decay = 0.99
    config.batch_size = 8
    config.steps = 1_000
    config.log_every = 50
    config.evaluate_every = 250
    config.checkpoint_every = 250
    return config
