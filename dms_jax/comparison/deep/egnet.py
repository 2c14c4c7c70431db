"""EGNet: Zhao et al., "EGNet: Edge Guidance Network for Salient Object Detection", ICCV 2019.

ResNet-50 with a dilated last stage. The stem's map, to which the deepest features say where to look, learns the edges
of masks; these edge features are then given to the features of each stage, and all of them are added up.
"""

from typing import Literal

import flax.linen as nn
import jax

from dms_jax.comparison.deep.layers import ConvLayer, Score
from dms_jax.comparison.deep.resnet import ResNetComparisonNetwork
from dms_jax.models.network import SaliencyOutput
from dms_jax.models.preprocessing import as_input
from dms_jax.ops.resize import map_size, resize_aligned

# Of the backbone's five maps: the channels that they are brought to, those after enhancement, and its kernel.
_LEVELS = ((128, 128, 3), (256, 256, 3), (512, 512, 5), (512, 512, 5), (512, 512, 7))
# Of the features that are guided by edges; the first level is the edges' own.
_GUIDED = (3, 5, 5, 7)


class EGNet(ResNetComparisonNetwork):
    """Nine maps: of the stages, deepest first; of the same guided by edges; and of their sum. And a map of edges.

    `SaliencyOutput.edges` has the logits of edges, whose target is made of the masks (`config.loss.edge_weight`).

    Attributes:
      batch_norm: BatchNorm after each convolution of the decoder; see `PoolNet`.
    """

    batch_norm: bool = True

    title = "EGNet"

    @property
    def num_outputs(self) -> int:
        """Of the stages, of the same guided, and of all."""
        return 2 * len(_GUIDED) + 1

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool) -> SaliencyOutput:
        """See `ComparisonNetwork`; features are the backbone's L0 to L4, edge, enhanced4 to 1 and guided4 to 1."""
        maps = self.backbone(dilated=True, unpooled_stem=True)(as_input(images, self.dtype), train=train)
        features = {f"L{i}": x for i, x in enumerate(maps)}

        def conv(name: str, x: jax.Array, width: int, kernel: int, bias: bool = True) -> jax.Array:
            relu: Literal["relu"] = "relu"
            fields = (self.channels(width), kernel, 1, 1, self.batch_norm, bias, relu, self.compute)
            return ConvLayer(*fields, name=name)(x, train=train)

        def three(name: str, x: jax.Array, width: int, kernel: int) -> jax.Array:
            for i in (1, 2, 3):
                x = conv(f"{name}_layer{i}", x, width, kernel)
            return x

        def score(name: str, x: jax.Array, prior: float | None) -> jax.Array:
            return Score(prior=prior, compute=self.compute, name=name)(x)

        def resized(x: jax.Array, like: jax.Array) -> jax.Array:
            return resize_aligned(x, map_size(like), plain=self.plain)

        logits, enhanced = [], {}
        x: jax.Array | None = None
        for level in range(4, 0, -1):
            converted, width, kernel = _LEVELS[level]
            y = conv(f"convert{level}", maps[level], converted, 1, bias=False)
            if x is not None:
                if _LEVELS[level + 1][1] != converted:
                    x = conv(f"narrow{level}", x, converted, 1, bias=False)
                y = y + resized(x, y)
            enhanced[level] = x = three(f"enhance{level}", y, width, kernel)
            logits.append(score(f"score{level}", x, self.saliency_prior))

        converted, width, kernel = _LEVELS[0]
        y = conv("convert0", maps[0], converted, 1, bias=False)
        location = conv("location", enhanced[4], converted, 1, bias=False)
        edge = three("enhance0", y + resized(location, y), width, kernel)
        edges = score("score0", edge, None)

        total: jax.Array | None = None
        guided = {}
        for level in range(4, 0, -1):
            y = edge + resized(conv(f"guide{level}", enhanced[level], width, 1, bias=False), edge)
            guided[level] = y = three(f"guided{level}", y, width, _GUIDED[level - 1])
            logits.append(score(f"guided{level}_score", y, self.saliency_prior))
            # Neither is negative: the paper's ReLU of the sum is the sum.
            total = y if total is None else total + y
        assert total is not None  # of four
        logits.append(score("score", conv("final", total, width, 5), self.saliency_prior))

        features["edge"] = edge
        features |= {f"enhanced{i}": x for i, x in enhanced.items()} | {f"guided{i}": x for i, x in guided.items()}
        return self.output(images, logits, features, edges=[edges])
