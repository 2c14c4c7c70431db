"""BDMS on MTDD, the paper's best network (Tables 3 and 4).

    python train.py --config=configs/bdms.py
    python train.py --config=configs/bdms.py:recipe=scratch,split=tiles

With recipe=scratch, 3500 steps take ten minutes on an H200 that two runs share and, with
--config.data.select_on=none, reach MAE 0.0054 on the paper's test images and maxF 0.894 on the defective ones
(docs/results.md).

Arguments: dataset=mtdd|neu_seg|neu_det|crackforest|rsdds|kolektor_sdd2|folder|synthetic, split=paper|tiles (of
neu_seg: published or grouped; of neu_det: hashed or folders), size=full|lite|medium|small,
backbone=resnext101_32x4d|... (see dms_jax/runs/config/defaults.py), ablation=a|b|c|d|e|baseline,
recipe=paper|scratch|adamw|sgd. With dataset=folder, --config.data.manual_dir=DIR names your own images (see README.md).
The paper's recipe begins with a backbone trained on ImageNet; `scratch` is for those who have none, `adamw` is what it
was at first, and `sgd` the same with the paper's optimizer and loss: see docs/training.md.
"""

from ml_collections import ConfigDict

from dms_jax.runs.config.defaults import network_config


def get_config(argument: str | None = None) -> ConfigDict:
    """BDMS with the paper's settings, but for what the argument changes."""
    return network_config("bdms", argument)
