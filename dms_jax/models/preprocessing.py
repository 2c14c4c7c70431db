"""What a network sees of an image: RGB by ImageNet's mean and standard deviation."""

import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def normalize(image: Array) -> Array:
    """Brings an image [..., 3] of 0..255 to float32 with ImageNet's mean 0 and variance 1 per channel."""
    shape = (1,) * (image.ndim - 1) + (3,)
    mean, std = (jnp.array(values, jnp.float32).reshape(shape) for values in (IMAGENET_MEAN, IMAGENET_STD))
    return (image.astype(jnp.float32) / 255 - mean) / std


def as_input(images: Array, dtype: DTypeLike) -> Array:
    """What a network computes on: images [B, H, W, 3] that have been normalised, in the type of the computation.

    Types and shapes are known while JAX traces: the checks cost nothing afterwards.

    Raises:
      ValueError: they are integers, which nobody has normalised, or of another shape.
    """
    if jnp.issubdtype(images.dtype, jnp.integer):
        raise ValueError(
            f"images are integers ({images.dtype}): pass them through dms_jax.models.preprocessing.normalize."
        )
    if images.ndim != 4 or images.shape[3] != 3:
        raise ValueError(f"images are {list(images.shape)}: they must be [B, H, W, 3], RGB.")
    return images.astype(dtype)
