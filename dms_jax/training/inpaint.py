"""Defects covered with their own image's surface, as pure functions of a key: the counterpart of pasted ones.

Where few tiles of a surface have a class of defect, a class head may learn the tiles. The same tile without its defect
shows it what counts. As in `dms_jax.training.augment`, the key alone decides what is drawn.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array

from dms_jax.runtime.devices import Batch
from dms_jax.training.losses import any_but
from dms_jax.training.paste import content_pixels

# Shares of an image's height: as far beyond a defect is covered too, and over as much again it fades.
_MARGIN, _FADE = 1 / 50, 1 / 50
_TRIES = 16  # places that the surface may be taken from; of those without a defect, the one that fits best
LARGEST = 0.3  # share of the image that may be covered
# Folded into an example's key: what is covered leaves the draws of `augment` and of pasted defects as they were.
_SHARE_OF_KEY = 0x6970


def inpaint_defects(batch: Batch, keys: Array, share: float) -> dict[str, Array]:
    """A batch in which a share of the defective images has its defects covered.

    Defective is an image whose mask is known and not 0 everywhere. One that is covered gets an empty mask, and as label
    `dms_jax.training.losses.any_but` the one that it had. One whose defects leave too little of the surface stays as it
    is.

    Args:
      batch: `image` uint8 [B, H, W, 3], `mask` uint8 [B, H, W, 1], `label` int32 [B] and more, as in
        `dms_jax.training.step.make_train_step`. Nothing is taken from outside of the `content`.
      keys: one for each image, see `dms_jax.training.augment.example_keys`.
      share: of the defective images, 0..1.

    Returns:
      The same entries, `image`, `mask` and `label` anew.
    """
    images, masks = batch["image"], batch["mask"]
    defective = jnp.any(masks > 0, axis=(1, 2, 3))
    if "has_mask" in batch:
        defective = defective & batch["has_mask"]
    keys = jax.vmap(lambda key: jax.random.fold_in(key, _SHARE_OF_KEY))(keys)
    chosen = defective & jax.vmap(lambda key: jax.random.bernoulli(jax.random.fold_in(key, 0), share))(keys)
    covered, clean = jax.vmap(inpaint)(keys, images, masks, content_pixels(batch))
    chosen = chosen & clean
    each = chosen[:, None, None, None]
    return {
        **batch,
        "image": jnp.where(each, covered, images),
        "mask": jnp.where(each, jnp.uint8(0), masks),
        "label": jnp.where(chosen & (batch["label"] >= 0), any_but(batch["label"]), batch["label"]),
    }


def inpaint(key: Array, image: Array, mask: Array, inside: Array) -> tuple[Array, Array]:
    """Covers every defect of an image with its surface from elsewhere, as far away for all of them.

    Beyond its border the image continues as its mirror image. The surface is brightened or darkened, channel by
    channel, by what it differs in where it fades into the image.

    Args:
      key: a typed key (`jax.random.key`), shape [].
      image: uint8 [H, W, 3].
      mask: uint8 [H, W, 1]; above 0 are the defects, and what is ignored.
      inside: bool [H, W, 1], the image without its padding.

    Returns:
      Image uint8 [H, W, 3], and whether it was covered, bool []: False and the image as it was where none of the
      places tried is free of defects, or where they and their surroundings are more than `LARGEST` of it.
    """
    height, width = image.shape[:2]
    opacity = jnp.where(inside, _cover(mask > 0), 0)
    covered = opacity > 0
    blocked = covered | ~inside
    shares = jax.random.uniform(key, (_TRIES, 2), minval=-1, maxval=1)
    shifts = jnp.floor(shares * jnp.array([[height, width]])).astype(jnp.int32)
    fading = covered & (opacity < 1)

    def seam(shift: Array) -> Array:
        surface, _ = _matched(grey, _shifted(grey, shift), fading)
        clashes = jnp.any(covered & _shifted(blocked, shift))
        return jnp.where(clashes, jnp.inf, jnp.sum(fading * jnp.abs(grey - surface)))

    old = image.astype(jnp.float32)
    grey = jnp.mean(old, axis=-1, keepdims=True)
    seams = jax.vmap(seam)(shifts)
    best = jnp.argmin(seams)
    surface, enough = _matched(old, _shifted(image, shifts[best]).astype(jnp.float32), fading)
    new = jnp.clip(jnp.round(old + opacity * (surface - old)), 0, 255).astype(jnp.uint8)
    clean = jnp.isfinite(seams[best]) & enough & (jnp.mean(covered) <= LARGEST)
    return jnp.where(clean, new, image), clean


def _matched(old: Array, surface: Array, fading: Array) -> tuple[Array, Array]:
    """The surface with the image's own brightness where it fades into it, and whether it does so anywhere."""
    pixels = jnp.sum(fading)
    difference = jnp.sum(fading * (old - surface), axis=(0, 1), keepdims=True)
    return surface + difference / jnp.maximum(pixels, 1), pixels > 0


def _cover(defect: Array) -> Array:
    """1 on a defect and around it, falling to 0 further away: float32 [H, W, 1] of bool [H, W, 1]."""
    margin, fade = (max(1, round(share * defect.shape[0])) for share in (_MARGIN, _FADE))
    grown = defect.astype(jnp.float32)
    for axis in (0, 1):
        grown = _windows(grown, margin + fade, axis, -jnp.inf, jax.lax.max)
    for axis in (0, 1):
        padding = [(fade, fade) if a == axis else (0, 0) for a in range(3)]
        # At the border a defect is covered as anywhere else.
        total = _windows(jnp.pad(grown, padding, mode="edge"), fade, axis, 0.0, jax.lax.add, "VALID")
        grown = total / (2 * fade + 1)
    return grown


def _windows(
    values: Array,
    radius: int,
    axis: int,
    start: float,
    reduce: Callable[[Array, Array], Array],
    padding: str = "SAME",
) -> Array:
    shape = [2 * radius + 1 if a == axis else 1 for a in range(3)]
    return jax.lax.reduce_window(values, jnp.float32(start), reduce, shape, (1, 1, 1), padding)


def _shifted(values: Array, shift: Array) -> Array:
    """What lies (rows, columns) further, int32 [2], within [H, W, C] and its mirror images around it."""
    for axis in (0, 1):
        length = values.shape[axis]
        index = (jnp.arange(length) + shift[axis]) % (2 * length)
        values = jnp.take(values, jnp.minimum(index, 2 * length - 1 - index), axis=axis)
    return values
