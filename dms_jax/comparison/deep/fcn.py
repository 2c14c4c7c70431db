"""FCN-8s: Long, Shelhamer and Darrell, "Fully Convolutional Networks for Semantic Segmentation", CVPR 2015.

VGG16, its classifier as convolutions, and the scores of strides 32, 16 and 8 added up. Two of the paper's means are
left out: dropout in the classifier (a network of this project draws nothing at random), and the learning of the
bilinear enlargements (16 weights each, with a single map). "fc6" is padded by 3 so that images need no border.
"""

import flax.linen as nn
import jax

from dms_jax.comparison.deep.layers import ConvLayer
from dms_jax.comparison.deep.network import ComparisonNetwork
from dms_jax.comparison.deep.vgg import CHANNELS, VGG16
from dms_jax.models.network import SaliencyOutput
from dms_jax.models.preprocessing import as_input
from dms_jax.models.refinement import SaliencyHead
from dms_jax.ops.pooling import halving_max_pool
from dms_jax.ops.resize import map_size, resize_aligned


class FCN8s(ComparisonNetwork):
    """The scores of VGG16's classifier, refined by those of its fourth and its third pool.

    Attributes:
      batch_norm: BatchNorm after each convolution of VGG16 and of the classifier, instead of a bias. The paper, which
        starts from ImageNet weights, has none; from random weights it makes training possible at a usual rate.
    """

    batch_norm: bool = True

    title = "FCN-8s"

    @property
    def num_outputs(self) -> int:
        """One map."""
        return 1

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool) -> SaliencyOutput:
        """See `ComparisonNetwork`; features are pool3, pool4 and fc7."""
        channels = tuple(map(self.channels, CHANNELS))
        stages = VGG16(channels, self.batch_norm, compute=self.compute, name="backbone")(
            as_input(images, self.dtype), train=train
        )
        pool3, pool4, pool5 = (halving_max_pool(x, plain=self.plain) for x in stages[2:])

        def layer(kernel: int, name: str) -> ConvLayer:
            width = self.channels(4096)
            return ConvLayer(width, kernel, batch_norm=self.batch_norm, compute=self.compute, name=name)

        x = layer(1, "fc7")(layer(7, "fc6")(pool5, train=train), train=train)
        # The other two scores are added to this one, which alone starts at the prior.
        score = SaliencyHead(self.saliency_prior, name="score_fc7")(x)
        for name, feature in (("score_pool4", pool4), ("score_pool3", pool3)):
            score = resize_aligned(score, map_size(feature), plain=self.plain) + SaliencyHead(name=name)(feature)
        return self.output(images, [score], {"pool3": pool3, "pool4": pool4, "fc7": x})
