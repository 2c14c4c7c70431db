"""BDMS on MTDD, the paper's best network (Tables 3 and 4).

    python train.py --config=configs/bdms.py
    python train.py --config=configs/bdms.py:recipe=scratch,split=tiles

With recipe=scratch, 7000 steps take six and a half minutes on one H100 and reach MAE 0.0105 and maxF 0.935 on the
paper's test pictures, maxF 0.784 on the defective ones (docs/results.md).

Arguments: dataset=mtdd|neu_seg|crackforest|rsdds|folder|synthetic, split=paper|tiles (of neu_seg: published or
grouped), size=full|lite|small, backbone=resnext101_32x4d|... (see configs/common.py), ablation=a|b|c|d|e|baseline,
recipe=paper|scratch. With dataset=folder,
--config.data.manual_dir=DIR names your own pictures (see README.md). The paper's recipe begins with a backbone trained
on ImageNet; `scratch` is for those who have none: see `apply_scratch_recipe`.
"""

from ml_collections import ConfigDict

from configs import common
from dms_jax.data.datasets import DATASETS
from dms_jax.models.dms import ABLATIONS, SIZES
from dms_jax.models.resnext import BACKBONES


def get_config(argument: str | None = None) -> ConfigDict:
    """BDMS with the paper's settings, but for what the argument changes."""
    return network_config("bdms", argument)


def network_config(network: str, argument: str | None) -> ConfigDict:
    """The paper's settings for either network."""
    chosen = common.parse_argument(
        argument, dataset="mtdd", split="", size="full", backbone="", ablation="", recipe="paper"
    )
    config = common.default_config()
    config.model.network = network
    config.model.size = common.choose("size", chosen["size"], tuple(SIZES))
    config.model.backbone = common.choose("backbone", chosen["backbone"], ("", *BACKBONES))
    config.model.ablation = common.choose("ablation", chosen["ablation"], ABLATIONS)
    config.data.dataset = common.choose("dataset", chosen["dataset"], tuple(DATASETS))
    config.data.split = chosen["split"]
    if common.choose("recipe", chosen["recipe"], ("paper", "scratch")) == "scratch":
        apply_scratch_recipe(config)
    return config


def apply_scratch_recipe(config: ConfigDict) -> None:
    """What trains well from random weights: a higher rate, more augmentation, balanced batches, averaged weights."""
    config.steps = 7_000
    config.optimizer.learning_rate = 0.02
    config.optimizer.warmup_steps = 300
    config.loss.class_weight = 0.1
    config.augment.vertical_flip = True
    config.augment.scale = (0.75, 1.15)
    config.augment.shift = 0.05
    config.augment.brightness = 0.1
    config.augment.contrast = 0.2
    config.data.balance = 0.5
    config.average_decay = 0.998
