"""The fields of those networks of the comparison that stand on a ResNet or a ResNeXt."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar

from dms_jax.comparison.deep.network import ComparisonNetwork
from dms_jax.models.resnext import BACKBONES, ResNeXt

_RESNET50 = BACKBONES["resnet50"]
_SMALL = {"stage_sizes": (1, 1, 1, 1), "groups": 1, "width_per_group": 64, "base_channels": 16, "width": 0.125}


class ResNetComparisonNetwork(ComparisonNetwork):
    """A network on a `ResNeXt`, by default ResNet-50: its imported weights are those of SDMS and BDMS.

    Attributes:
      stage_sizes: bottlenecks of the backbone's four stages.
      groups: groups of the backbone's 3 x 3 convolutions.
      width_per_group: channels of a group in the backbone's first stage.
      base_channels: channels of the backbone's stem, to which `width` does not apply.
    """

    stage_sizes: Sequence[int] = _RESNET50["stage_sizes"]
    groups: int = _RESNET50["groups"]
    width_per_group: int = _RESNET50["width_per_group"]
    base_channels: int = _RESNET50["base_channels"]

    sizes: ClassVar[Mapping[str, Mapping[str, Any]]] = {"full": {}, "small": _SMALL}
    backbones: ClassVar[Collection[str]] = BACKBONES.keys()

    def backbone(self, **fields: Any) -> ResNeXt:
        """The backbone, to be called in the network's `__call__`; for further fields of it see `ResNeXt`."""
        shape = (self.stage_sizes, self.groups, self.width_per_group, self.base_channels)
        return ResNeXt(*shape, compute=self.compute, name="backbone", **fields)
