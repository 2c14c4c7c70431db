"""The deep methods of the paper's Table 4, with the settings that SDMS and BDMS have (docs/comparison-networks.md).

    python train.py --config=configs/compare.py:method=unet
    python train.py --config=configs/compare.py:method=unet,recipe=adamw,split=tiles

Arguments: method=unet|fcn8s|r3net|basnet|dss|poolnet|egnet|picanet, size=full|small, recipe=paper|scratch|adamw|sgd,
dataset=mtdd|neu_seg|neu_det|crackforest|rsdds|kolektor_sdd2|folder|synthetic, split=... and backbone=..., the latter
where the method has one (both as of `configs/bdms.py`), loss=shared|published: that of SDMS and BDMS, which the recipe
says, or that of the method's own paper, and norm=..., none for a method that was published without BatchNorm.
"""

from ml_collections import ConfigDict

from dms_jax.runs.config.defaults import comparison_config


def get_config(argument: str | None = None) -> ConfigDict:
    """The network that the argument names, U-Net by default."""
    return comparison_config(argument)
