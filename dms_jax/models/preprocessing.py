"""What a network sees of an image: RGB by ImageNet's mean and standard deviation."""

import jax.numpy as jnp
from jax import Array

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def normalize(image: Array) -> Array:
    """Brings an image [..., 3] of 0..255 to float32 with ImageNet's mean 0 and variance 1 per channel."""
    shape = (1,) * (image.ndim - 1) + (3,)
    mean, std = (jnp.array(values, jnp.float32).reshape(shape) for values in (IMAGENET_MEAN, IMAGENET_STD))
    return (image.astype(jnp.float32) / 255 - mean) / std
