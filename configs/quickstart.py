"""A small BDMS on drawn defects: no download, about three minutes on two CPU cores.

python train.py --config=configs/quickstart.py
"""

from ml_collections import ConfigDict

from configs import common


def get_config(argument: str | None = None) -> ConfigDict:
    """The quickstart; it takes no argument."""
    common.parse_argument(argument)
    config = common.default_config()
    config.model.size = "small"
    config.data.dataset = "synthetic"
    config.data.image_size = 96
    config.data.synthetic.pictures = 480
    config.augment.vertical_flip = True
    config.loss.class_weight = 0.3
    config.optimizer.learning_rate = 0.03
    config.optimizer.warmup_steps = 20
    config.average_decay = 0.98
    config.steps = 240
    config.log_every = 20
    config.evaluate_every = 80
    config.checkpoint_every = 80
    return config
