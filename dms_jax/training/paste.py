"""Defects drawn on normal images, as pure functions of a key: blobs, stains and cracks, with the masks that they have.

Most images of a surface are normal, and teach a network nothing of where a defect would end. A drawn defect on half of
them, of no class, does. The idea is CutPaste's (Li et al., CVPR 2021), with shapes cut from smooth noise as in DRAEM
(Zavrtanik et al., ICCV 2021). As in `dms_jax.training.augment`, the key alone decides what is drawn.
"""

import jax
import jax.numpy as jnp
from jax import Array

from dms_jax.runtime.devices import Batch
from dms_jax.training.losses import any_but

SHOWS = 4  # grey levels: what differs by no more is not in the mask
OFFSET = (-90.0, 30.0)  # grey levels: defects are darker more often than brighter
NOISE = 12.0  # grey levels, the largest standard deviation
# Points of a grid of noise along each side of the image; of blobs and cracks, a coarse one or a fine one.
_BLOBS, _CRACKS, _ROUGHNESS, _REGION = (5, 16), (3, 8), 40, 4
# Folded into an example's key: what is pasted leaves the draws of `augment` as they were.
_SHARE_OF_KEY = 0x7061


def paste_defects(batch: Batch, keys: Array, share: float, axis_name: str | None = None) -> dict[str, Array]:
    """A batch in which a share of the normal images has a defect.

    Normal is an image whose mask is known and 0 everywhere. One that gets a defect gets its mask too, and as label
    `dms_jax.training.losses.any_but` the one that it had: the defect is of no class. It is filled in part with the next
    image of the global batch (the first for the last), which on several devices may come from the next device.

    Args:
      batch: `image` uint8 [B, H, W, 3], `mask` uint8 [B, H, W, 1], `label` int32 [B] and more, as in
        `dms_jax.training.step.make_train_step`. Nothing is drawn outside of the `content`.
      keys: one for each image, see `dms_jax.training.augment.example_keys`.
      share: of the normal images, 0..1.
      axis_name: the mapped axis whose devices share the batch; None for one device.

    Returns:
      The same entries, `image`, `mask` and `label` anew.
    """
    images, masks = batch["image"], batch["mask"]
    normal = ~jnp.any(masks > 0, axis=(1, 2, 3))
    if "has_mask" in batch:
        normal = normal & batch["has_mask"]
    keys = jax.vmap(lambda key: jax.random.fold_in(key, _SHARE_OF_KEY))(keys)
    chosen = normal & jax.vmap(lambda key: jax.random.bernoulli(jax.random.fold_in(key, 0), share))(keys)
    if "content" in batch:
        inside = _inside(batch["content"], (images.shape[1], images.shape[2]))
    else:
        inside = jnp.ones(masks.shape, bool)
    pasted, shown = jax.vmap(paste)(keys, images, _next_images(images, axis_name), inside)
    # What does not show leaves the image as normal as it was.
    chosen = chosen & jnp.any(shown > 0, axis=(1, 2, 3))
    each = chosen[:, None, None, None]
    return {
        **batch,
        "image": jnp.where(each, pasted, images),
        "mask": jnp.where(each, shown, masks),
        "label": jnp.where(chosen & (batch["label"] >= 0), any_but(batch["label"]), batch["label"]),
    }


def paste(key: Array, image: Array, other: Array, inside: Array) -> tuple[Array, Array]:
    """Draws one defect on an image.

    Its shape is `blob_opacity` or `crack_opacity`, half of the time each. Within, the image is replaced by a mix of
    itself and the other one, 0..1 of each, plus one value within `OFFSET` and noise of a deviation within `NOISE`.

    Args:
      key: a typed key (`jax.random.key`), shape [].
      image: uint8 [H, W, 3].
      other: uint8 [H, W, 3].
      inside: bool [H, W, 1], where the defect may be.

    Returns:
      Image uint8 [H, W, 3], and mask uint8 [H, W, 1]: 255 where a channel changed by more than `SHOWS`, 0 elsewhere.
    """
    shape_key, value_key, noise_key = jax.random.split(key, 3)
    # Four numbers of one draw compile sooner than four draws.
    kind, mix, brightness, deviation = jax.random.uniform(value_key, (4,))
    size = (image.shape[0], image.shape[1])
    opacity = jnp.where(kind < 0.5, crack_opacity(shape_key, size), blob_opacity(shape_key, size))[..., None]
    opacity = jnp.where(inside, opacity, 0)

    old = image.astype(jnp.float32)
    fill = mix * old + (1 - mix) * other.astype(jnp.float32)
    # Offset and noise are the same in all channels, as light and dust are: a grey image stays grey.
    fill = fill + _between(brightness, *OFFSET) + deviation * NOISE * jax.random.normal(noise_key, (*size, 1))
    new = jnp.clip(jnp.round(old + opacity * (fill - old)), 0, 255)
    shows = jnp.any(jnp.abs(new - old) > SHOWS, axis=-1, keepdims=True)
    return new.astype(jnp.uint8), jnp.where(shows, jnp.uint8(255), jnp.uint8(0))


def blob_opacity(key: Array, size: tuple[int, int]) -> Array:
    """Blobs and stains: where a random field, lowered outside of a region, is above a level.

    Args:
      key: a typed key, shape [].
      size: (H, W).

    Returns:
      float32 [H, W], 0..1, with edges that are sharp or soft.
    """
    field_key, region_key, value_key = jax.random.split(key, 3)
    cut, level, edge = jax.random.uniform(value_key, (3,))
    field, region = _random_field(field_key, size, _BLOBS), _smooth_field(region_key, size, _REGION)
    height = field + 2 * jnp.minimum(region - 0.8 * cut * jnp.max(region), 0)
    # As a share of the highest point: there is always a blob, and its size is anything.
    level = _between(level, 0.3, 0.85) * jnp.max(height)
    return jnp.clip((height - level) / _between(edge, 0.05, 0.5), 0, 1)


def crack_opacity(key: Array, size: tuple[int, int]) -> Array:
    """Cracks: a thin band along the line where a random field is 0, in a region.

    Args:
      key: a typed key, shape [].
      size: (H, W).

    Returns:
      float32 [H, W], 0..1.
    """
    field_key, region_key, value_key = jax.random.split(key, 3)
    cut, width = jax.random.uniform(value_key, (2,))
    field, region = _random_field(field_key, size, _CRACKS), _smooth_field(region_key, size, _REGION)
    down, right = jnp.gradient(field)
    # To first order; so that a band is as wide where the field is steep as where it is flat.
    distance = jnp.abs(field) / (jnp.sqrt(down**2 + right**2) + 1e-3)
    band = jnp.clip(_between(width, 1, 3) - distance, 0, 1)
    return band * jnp.clip((region - _between(cut, 0.1, 0.8) * jnp.max(region)) / 0.2, 0, 1)


def _random_field(key: Array, size: tuple[int, int], grids: tuple[int, int]) -> Array:
    """A smooth field on either grid, somewhat roughened, for edges and lines that are not drawn with a ruler."""
    value_key, coarse_key, fine_key, rough_key = jax.random.split(key, 4)
    kind, amount = jax.random.uniform(value_key, (2,))
    coarse, fine = (_smooth_field(k, size, n) for k, n in zip((coarse_key, fine_key), grids, strict=True))
    return jnp.where(kind < 0.5, coarse, fine) + 0.1 * amount * _smooth_field(rough_key, size, _ROUGHNESS)


def _between(share: Array, low: float, high: float) -> Array:
    return low + share * (high - low)


def _smooth_field(key: Array, size: tuple[int, int], points: int) -> Array:
    """Normal noise on a grid, enlarged, float32 [H, W] of mean 0 and deviation 1."""
    field = jax.image.resize(jax.random.normal(key, (points, points)), size, "cubic")
    return (field - jnp.mean(field)) / (jnp.std(field) + 1e-6)


def _inside(contents: Array, size: tuple[int, int]) -> Array:
    """Where contents (top, left, height, width), int32 [B, 4], are: bool [B, H, W, 1]."""
    top, left, height, width = (part[:, None, None, None] for part in jnp.moveaxis(contents, -1, 0))
    rows = jnp.arange(size[0])[None, :, None, None]
    columns = jnp.arange(size[1])[None, None, :, None]
    return (rows >= top) & (rows < top + height) & (columns >= left) & (columns < left + width)


def _next_images(images: Array, axis_name: str | None) -> Array:
    """For each image of the global batch the one after it, for the last the first."""
    first = images[:1]
    devices = 1 if axis_name is None else jax.lax.axis_size(axis_name)
    if devices > 1:
        # One image a device: which neighbour an image has does not depend on how many devices share the batch.
        first = jax.lax.ppermute(first, axis_name, [(i, (i - 1) % devices) for i in range(devices)])
    return jnp.concatenate([images[1:], first])
