"""The deep methods that SDMS and BDMS are compared with, one module each, trained and tested as these are."""

from dms_jax.comparison.deep.basnet import BASNet
from dms_jax.comparison.deep.dss import DSS
from dms_jax.comparison.deep.egnet import EGNet
from dms_jax.comparison.deep.fcn import FCN8s
from dms_jax.comparison.deep.network import ComparisonNetwork
from dms_jax.comparison.deep.picanet import PiCANet
from dms_jax.comparison.deep.poolnet import PoolNet
from dms_jax.comparison.deep.r3net import R3Net
from dms_jax.comparison.deep.unet import UNet

DEEP_NETWORKS: dict[str, type[ComparisonNetwork]] = {
    "unet": UNet,
    "fcn8s": FCN8s,
    "r3net": R3Net,
    "basnet": BASNet,
    "dss": DSS,
    "poolnet": PoolNet,
    "egnet": EGNet,
    "picanet": PiCANet,
}

__all__ = ["DEEP_NETWORKS", "ComparisonNetwork"]
