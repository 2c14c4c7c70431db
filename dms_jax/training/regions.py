"""Losses of an image's map as a whole, beside the pixels' cross-entropy: overlap and structural similarity."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

WINDOW = 11  # of the structural similarity, in pixels
_SIGMA = 1.5
_C1, _C2 = 0.01**2, 0.03**2


def soft_iou_loss(
    logits: Array, target: Array, counted: Array | None = None, image_weight: Array | None = None
) -> Array:
    """Mean over images of 1 - (sum p y + 1) / (sum (p + y - p y) + 1), the sums over an image's pixels, p = sigmoid.

    The soft Jaccard index of Rahman and Wang, "Optimizing Intersection-Over-Union in Deep Neural Networks for Image
    Segmentation", ISVC 2016. The 1 in both makes an empty map on an empty mask perfect, as BASNet does (Qin et al.,
    CVPR 2019). Each image counts the same, however small its defect is: cross-entropy alone hardly sees small ones.

    Args:
      logits: [B, H, W, 1], computed with in float32 whatever their type.
      target: [B, H, W, 1], 0 or 1.
      counted: bool, broadcastable with [B, H, W, 1]: the pixels in the sums; None for all.
      image_weight: float32 [B]; None for 1. See `dms_jax.training.losses.unit_mean`.

    Returns:
      float32 [], 0..1 with weights whose mean is 1.
    """
    p, y = _counted_maps(logits, target, counted)
    both = jnp.sum(p * y, axis=(1, 2, 3))
    either = jnp.sum(p, axis=(1, 2, 3)) + jnp.sum(y, axis=(1, 2, 3)) - both
    losses = 1 - (both + 1) / (either + 1)
    return jnp.mean(losses if image_weight is None else image_weight * losses)


def ssim_loss(logits: Array, target: Array, counted: Array | None = None, image_weight: Array | None = None) -> Array:
    """Mean over images of 1 - the mean over an image's pixels of SSIM(p, y), p = sigmoid.

    SSIM = (2 m_p m_y + C1)(2 s_py + C2) / ((m_p^2 + m_y^2 + C1)(s_p^2 + s_y^2 + C2)), where m, s^2 and s_py are mean,
    variance and covariance in a Gaussian window of 11 x 11 pixels, sigma 1.5, C1 = 0.01^2 and C2 = 0.03^2: Wang et al.,
    "Image Quality Assessment: From Error Visibility to Structural Similarity", 2004, as a loss of saliency maps in
    Qin et al., "BASNet: Boundary-Aware Salient Object Detection", CVPR 2019. As there, maps are 0 beyond the border.

    Args:
      logits: [B, H, W, 1], computed with in float32 whatever their type.
      target: [B, H, W, 1], 0 or 1.
      counted: bool, broadcastable with [B, H, W, 1]: the pixels in the mean; others are 0 in both maps; None for all.
      image_weight: float32 [B]; None for 1. See `dms_jax.training.losses.unit_mean`.

    Returns:
      float32 [], 0..2 with weights whose mean is 1.
    """
    p, y = _counted_maps(logits, target, counted)
    mean_p, mean_y = _smooth(p), _smooth(y)
    variance_p, variance_y = _smooth(p * p) - mean_p**2, _smooth(y * y) - mean_y**2
    covariance = _smooth(p * y) - mean_p * mean_y
    luminance = (2 * mean_p * mean_y + _C1) / (mean_p**2 + mean_y**2 + _C1)
    structure = (2 * covariance + _C2) / (variance_p + variance_y + _C2)
    pixels = jnp.ones(p.shape, jnp.float32) if counted is None else jnp.broadcast_to(counted, p.shape)
    pixels = pixels.astype(jnp.float32)
    total = jnp.maximum(jnp.sum(pixels, axis=(1, 2, 3)), 1)
    losses = jnp.sum(pixels * (1 - luminance * structure), axis=(1, 2, 3)) / total
    return jnp.mean(losses if image_weight is None else image_weight * losses)


def _counted_maps(logits: Array, target: Array, counted: Array | None) -> tuple[Array, Array]:
    """Probabilities and truth in float32, 0 where a pixel does not count."""
    p, y = jax.nn.sigmoid(logits.astype(jnp.float32)), target.astype(jnp.float32)
    return (p, y) if counted is None else (jnp.where(counted, p, 0), jnp.where(counted, y, 0))


def _smooth(x: Array) -> Array:
    """The mean in a Gaussian window, float32 [B, H, W, 1]."""
    rows, columns = _window_matrix(x.shape[1]), _window_matrix(x.shape[2])
    # Two products with a band matrix; a variance is a difference of near equals, for which TF32 is too coarse.
    return jnp.einsum("ij,bjkc,lk->bilc", rows, x, columns, precision="highest")


def _window_matrix(length: int) -> np.ndarray:
    """What takes the windows' means along an axis, [length, length]; what lies beyond its ends is 0."""
    taps = np.exp(-(np.arange(-(WINDOW // 2), WINDOW // 2 + 1) ** 2) / (2 * _SIGMA**2))
    taps = taps / taps.sum()
    return np.asarray(sum(tap * np.eye(length, k=i - WINDOW // 2) for i, tap in enumerate(taps)), np.float32)
