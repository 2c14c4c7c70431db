"""Random transforms of an image and its mask, as pure functions of a key.

They are traced into the training step and run on the device. The key alone decides what is drawn: the same
seed, step and position in the global batch give the same image on one device or on many.
"""

import dataclasses
import math

import jax
import jax.numpy as jnp
from jax import Array


@dataclasses.dataclass(frozen=True)
class AugmentConfig:
    """What is drawn at random, and within which bounds; every draw is uniform.

    The defaults are R3Net's recipe: a horizontal flip and a rotation within 10 degrees.

    Attributes:
      horizontal_flip: mirror left and right, half of the time.
      vertical_flip: mirror top and bottom, half of the time.
      rotation: largest angle in degrees, 0..180, either way.
      scale: smallest and largest zoom; above 1 the image is magnified.
      shift: largest displacement in either axis, as a fraction of that side, 0..1.
      brightness: largest value added or taken away, as a fraction of 255, 0..1.
      contrast: the distance to the mean of the image, padding included, is multiplied by a factor within
        1 +- contrast, 0..1.
      paste: share of the normal images that get a drawn defect before, 0..1; see `dms_jax.training.paste`.

    Raises:
      ValueError: a field is out of its range; the message names it.
    """

    horizontal_flip: bool = True
    vertical_flip: bool = False
    rotation: float = 10.0
    scale: tuple[float, float] = (1.0, 1.0)
    shift: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    paste: float = 0.0

    def __post_init__(self):
        # Configs read from JSON bring lists; a tuple keeps the dataclass hashable.
        object.__setattr__(self, "scale", tuple(self.scale))
        for name, largest in (("rotation", 180), ("shift", 1), ("brightness", 1), ("contrast", 1), ("paste", 1)):
            if not 0 <= getattr(self, name) <= largest:
                raise ValueError(f"{name} must lie within 0..{largest}, got {getattr(self, name)}.")
        if len(self.scale) != 2 or not 0 < self.scale[0] <= self.scale[1] < float("inf"):
            raise ValueError(f"scale must be (smallest, largest) with 0 < smallest <= largest, got {self.scale}.")

    @property
    def interpolates(self) -> bool:
        """Whether any option moves pixels to places between pixels; flips alone do not."""
        return self.rotation > 0 or self.scale != (1.0, 1.0) or self.shift > 0


def example_keys(seed: int | Array, step: int | Array, positions: Array) -> Array:
    """One key per example, whatever the number of devices that share the batch.

    Args:
      seed: an integer, which may be traced, or a typed key (`jax.random.key`).
      step: the training step; may be traced.
      positions: int32 [B], each example's place in the global batch.

    Returns:
      Typed keys [B].
    """
    if isinstance(seed, Array) and jnp.issubdtype(seed.dtype, jax.dtypes.prng_key):
        key = seed
    else:
        # Named, because under vmap the faster 'rbg' generators draw numbers that depend on the whole batch.
        key = jax.random.key(seed, impl="threefry2x32")
    return jax.vmap(jax.random.fold_in, in_axes=(None, 0))(jax.random.fold_in(key, step), positions)


def augment_batch(keys: Array, images: Array, masks: Array, config: AugmentConfig) -> tuple[Array, Array]:
    """`augment` for a batch: keys [B], images uint8 [B, H, W, 3], masks uint8 [B, H, W, 1]."""
    return jax.vmap(lambda key, image, mask: augment(key, image, mask, config))(keys, images, masks)


def augment(key: Array, image: Array, mask: Array, config: AugmentConfig) -> tuple[Array, Array]:
    """Draws one random view of an image; the mask moves with it.

    Flip, rotation, zoom and shift are one affine map and one bilinear interpolation. Beyond its border the
    image continues as its mirror image (see `warp`). Flips alone move whole pixels and change no value.
    Contrast, then brightness, change the image only, which is then clipped to 0..255.

    Each option draws from its own share of the key: switching one on leaves the others' draws as they were.

    Args:
      key: a typed key (`jax.random.key`), shape [].
      image: uint8 [H, W, 3].
      mask: uint8 [H, W, 1], 0..255.
      config: what is drawn.

    Returns:
      Image float32 [H, W, 3] and mask float32 [H, W, 1], both 0..255.

    Raises:
      TypeError: the image or the mask is not uint8.
    """
    if image.dtype != jnp.uint8 or mask.dtype != jnp.uint8:
        raise TypeError(f"augment takes an image and a mask of uint8, got {image.dtype} and {mask.dtype}.")
    geometry_key, brightness_key, contrast_key = jax.random.split(key, 3)

    stacked = jnp.concatenate([image, mask], axis=-1)
    matrix, offset = sample_affine(geometry_key, (image.shape[0], image.shape[1]), config)
    if config.interpolates:
        stacked = warp(stacked, matrix, offset)
    else:
        # The matrix is diagonal, and its signs are the flips.
        if config.vertical_flip:
            stacked = jnp.where(matrix[0, 0] < 0, stacked[::-1], stacked)
        if config.horizontal_flip:
            stacked = jnp.where(matrix[1, 1] < 0, stacked[:, ::-1], stacked)
        stacked = stacked.astype(jnp.float32)
    image, mask = stacked[..., :3], stacked[..., 3:]

    if config.contrast > 0:
        factor = jax.random.uniform(contrast_key, minval=1 - config.contrast, maxval=1 + config.contrast)
        mean = jnp.mean(image)
        image = mean + factor * (image - mean)
    if config.brightness > 0:
        largest = 255 * config.brightness
        image = image + jax.random.uniform(brightness_key, minval=-largest, maxval=largest)
    if config.contrast > 0 or config.brightness > 0:
        image = jnp.clip(image, 0, 255)
    return image, mask


def content_batch(keys: Array, contents: Array, size: tuple[int, int], config: AugmentConfig) -> Array:
    """Which pixels of the views that `augment_batch` draws show the image, and not its padding.

    Args:
      keys: the keys that `augment_batch` was given, [B].
      contents: int32 [B, 4], where the images are before: top, left, height, width.
      size: (H, W).
      config: what is drawn.

    Returns:
      bool [B, H, W, 1].
    """

    def inside(key: Array, content: Array) -> Array:
        geometry_key, _, _ = jax.random.split(key, 3)
        matrix, offset = sample_affine(geometry_key, size, config)
        y, x = _source_places(size, matrix, offset)
        row, column = (
            _mirror(jnp.round(place).astype(jnp.int32), length) for place, length in zip((y, x), size, strict=True)
        )
        top, left, height, width = content
        return ((row >= top) & (row < top + height) & (column >= left) & (column < left + width))[..., None]

    return jax.vmap(inside)(keys, contents)


def sample_affine(key: Array, size: tuple[int, int], config: AugmentConfig) -> tuple[Array, Array]:
    """Draws the affine map from places in the new image to places in the old one.

    Places are (row, column) with pixel centres at whole numbers, so the centre that the image is flipped,
    turned and zoomed about, in this order, is ((H - 1) / 2, (W - 1) / 2); the shift comes last. The map is
    written as for `scipy.ndimage.affine_transform`: old = matrix @ new + offset.

    Args:
      key: a typed key, shape [].
      size: (H, W).
      config: the bounds.

    Returns:
      Matrix float32 [2, 2] and offset float32 [2], in pixels.
    """
    flip_key, rotation_key, scale_key, shift_key = jax.random.split(key, 4)
    flip = jax.random.bernoulli(flip_key, shape=(2,)) & jnp.array([config.vertical_flip, config.horizontal_flip])
    limit = math.radians(config.rotation)
    angle = jax.random.uniform(rotation_key, minval=-limit, maxval=limit)
    zoom = jax.random.uniform(scale_key, minval=config.scale[0], maxval=config.scale[1])
    shift = jax.random.uniform(shift_key, (2,), minval=-config.shift, maxval=config.shift)

    cos, sin = jnp.cos(angle) / zoom, jnp.sin(angle) / zoom
    turn = jnp.stack([jnp.stack([cos, -sin]), jnp.stack([sin, cos])])
    matrix = jnp.where(flip, -1.0, 1.0)[:, None] * turn
    sides = jnp.array(size, jnp.float32)
    centre = (sides - 1) / 2
    # A sum, not `@`: a GPU may round a matrix product to TF32, which is off by tenths of a pixel.
    offset = centre - jnp.sum(matrix * (centre + shift * sides)[None, :], axis=1)
    return matrix, offset


def warp(stacked: Array, matrix: Array, offset: Array) -> Array:
    """Resamples an image bilinearly at matrix @ (row, column) + offset.

    Outside, the image is continued symmetrically, (d c b a | a b c d | d c b a): `numpy.pad`'s 'symmetric',
    `scipy.ndimage`'s 'reflect'. So no corner turns black, and a defect mirrored in is in the mask too.

    Args:
      stacked: uint8 [H, W, 4], the image and its mask.
      matrix: float32 [2, 2].
      offset: float32 [2], in pixels.

    Returns:
      float32 [H, W, 4].
    """
    height, width, _ = stacked.shape
    source_y, source_x = _source_places((height, width), matrix, offset)
    top, left = jnp.floor(source_y), jnp.floor(source_x)
    weight_y, weight_x = (source_y - top)[..., None], (source_x - left)[..., None]

    rows = [_mirror(top.astype(jnp.int32) + i, height) * width for i in (0, 1)]
    columns = [_mirror(left.astype(jnp.int32) + i, width) for i in (0, 1)]
    # The four bytes of a pixel travel as one word: a quarter of the gathers.
    words = jax.lax.bitcast_convert_type(stacked, jnp.uint32).reshape(-1)

    def pixels(row: Array, column: Array) -> Array:
        word = words.at[row + column].get(mode="promise_in_bounds")
        return jax.lax.bitcast_convert_type(word, jnp.uint8).astype(jnp.float32)

    upper, lower = ((1 - weight_x) * pixels(row, columns[0]) + weight_x * pixels(row, columns[1]) for row in rows)
    return (1 - weight_y) * upper + weight_y * lower


def _source_places(size: tuple[int, int], matrix: Array, offset: Array) -> tuple[Array, Array]:
    """Rows and columns matrix @ (row, column) + offset, float32 [H, W] each."""
    y = jnp.arange(size[0], dtype=jnp.float32)[:, None]
    x = jnp.arange(size[1], dtype=jnp.float32)[None, :]
    return (
        matrix[0, 0] * y + matrix[0, 1] * x + offset[0],
        matrix[1, 0] * y + matrix[1, 1] * x + offset[1],
    )


def _mirror(index: Array, length: int) -> Array:
    """Folds any integer index into 0..length - 1, the border pixel counted twice."""
    index = index % (2 * length)
    return jnp.minimum(index, 2 * length - 1 - index)
