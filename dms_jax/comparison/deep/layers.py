"""Layers of the comparison's networks that SDMS and BDMS do not have."""

from dataclasses import replace
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from dms_jax.models.compute import Compute
from dms_jax.models.layers import Conv, conv_norm, prior_logit
from dms_jax.ops.batch_norm import activate
from dms_jax.ops.convolution import convolve


class ConvLayer(nn.Module):
    """A k x k convolution, BatchNorm or a bias, and ReLU; named `conv` and `norm` within.

    Attributes:
      features: output channels.
      kernel_size: k, odd; the padding is half of it, times the dilation.
      stride: spatial stride.
      dilation: spacing of the kernel's taps.
      batch_norm: whether BatchNorm follows the convolution.
      use_bias: whether a bias does, where BatchNorm does not.
      activation: "relu" or "none".
      compute: see `dms_jax.models.compute.Compute`.
    """

    features: int
    kernel_size: int = 3
    stride: int = 1
    dilation: int = 1
    batch_norm: bool = True
    use_bias: bool = True
    activation: Literal["relu", "none"] = "relu"
    compute: Compute = Compute()

    @nn.compact
    def __call__(self, *maps: jax.Array, train: bool, residual: jax.Array | None = None) -> jax.Array:
        """Map [B, H, W, C_i] each, as if joined along their channels, to [B, H / stride, W / stride, features].

        Sizes are rounded up. The residual, of that shape, is added before the activation.
        """
        conv = Conv(
            self.features,
            self.kernel_size,
            stride=self.stride,
            dilation=self.dilation,
            use_bias=self.use_bias and not self.batch_norm,
            compute=self.compute if self.batch_norm else replace(self.compute, folded=False),
            name="conv",
        )
        if self.batch_norm:
            return conv_norm(conv, "norm", *maps, train=train, activation=self.activation, residual=residual)
        x = conv(*maps)
        return activate(x if residual is None else x + residual, self.activation)


class Score(nn.Module):
    """A k x k convolution with bias to one channel of float32 logits.

    Parameters are those of `flax.linen.Conv`.

    Attributes:
      kernel_size: k, odd.
      prior: see `dms_jax.models.refinement.SaliencyHead`, which is this one at k = 1.
      compute: see `dms_jax.models.compute.Compute`.
    """

    kernel_size: int = 3
    prior: float | None = None
    compute: Compute = Compute()

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map [B, h, w, C] to float32 [B, h, w, 1]."""
        # A small scale, as in `dms_jax.models.refinement.SaliencyHead`; the bias, a logit of -3.5 for a prior of 0.03,
        # is added in float32.
        k, dtype = self.kernel_size, self.compute.dtype
        kernel = self.param("kernel", nn.initializers.normal(0.01), (k, k, x.shape[-1], 1))
        bias = self.param("bias", nn.initializers.constant(prior_logit(self.prior)), (1,))
        y = convolve(x.astype(dtype), kernel.astype(dtype), plain=self.compute.plain)
        return y.astype(jnp.float32) + bias.reshape(1, 1, 1, 1)


class DoublingConv(nn.Module):
    """PyTorch's `ConvTranspose2d(C, features, 2, stride=2)`: each pixel becomes 2 x 2 pixels.

    The windows do not overlap, so that it is one matrix product. Parameters are `kernel` [2, 2, features, C], that of
    `flax.linen.ConvTranspose(..., transpose_kernel=True)`, and `bias` [features].

    Attributes:
      features: output channels.
      compute: see `dms_jax.models.compute.Compute`.
    """

    features: int
    compute: Compute = Compute()

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map [B, h, w, C] to [B, 2h, 2w, features]."""
        dtype = self.compute.dtype
        batch, height, width, channels = x.shape
        # Every output pixel has one input pixel: He's fan is C, not 4 C.
        initial = nn.initializers.variance_scaling(2.0, "fan_in", "normal", in_axis=-1, out_axis=-2, batch_axis=(0, 1))
        kernel = self.param("kernel", initial, (2, 2, self.features, channels)).astype(dtype)
        bias = self.param("bias", nn.initializers.zeros_init(), (self.features,)).astype(dtype)
        y = jnp.einsum("bhwc,ijdc->bhiwjd", x.astype(dtype), kernel)
        return y.reshape(batch, 2 * height, 2 * width, self.features) + bias.reshape(1, 1, 1, -1)
