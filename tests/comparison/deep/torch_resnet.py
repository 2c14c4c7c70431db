"""The reference's ResNet with a last stage that is dilated, and its stem's map before the max-pool."""

from typing import Any

from torch import Tensor, nn
from torch_reference import ResNeXt


class ResNet(ResNeXt):
    def __init__(self, *, dilated: bool, **fields: Any) -> None:
        super().__init__(**{"stage_sizes": (3, 4, 6, 3), "groups": 1, "width_per_group": 64, **fields})
        for module in self.layer4.modules() if dilated else ():
            if isinstance(module, nn.Conv2d):
                module.stride = (1, 1)
                if module.kernel_size == (3, 3):
                    module.dilation = module.padding = (2, 2)

    def forward(self, images: Tensor) -> list[Tensor]:
        stem = self.relu(self.bn1(self.conv1(images)))
        return [stem, *super().forward(images)[1:]]
