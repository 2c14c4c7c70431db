"""An image with its prediction drawn on it."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from dms_jax.inference.interpretation import Prediction

_OUTLINE = (255, 32, 32)
_TEXT = (255, 255, 255)
_BEHIND_TEXT = (0, 0, 0)
# JPEG allows no more pixels along a side.
_LONGEST = 65500


def draw_overlay(image: Image.Image, prediction: Prediction) -> Image.Image:
    """The image with the outline of its mask in red, and a line with its class and how defective it is.

    An image that is too long for JPEG is made smaller.

    Args:
      image: RGB.
      prediction: of that image.
    """
    pixels = np.array(image)
    if prediction.mask is not None:
        width = max(round(max(pixels.shape[:2]) / 300), 1)
        pixels[outline(prediction.mask, width)] = _OUTLINE
    drawn = Image.fromarray(pixels)
    draw = ImageDraw.Draw(drawn)
    font = ImageFont.load_default(max(min(pixels.shape[:2]) // 18, 9))
    text = caption(prediction)
    left, top, right, bottom = draw.textbbox((3, 2), text, font=font)
    draw.rectangle((left - 3, top - 2, right + 3, bottom + 2), fill=_BEHIND_TEXT)
    draw.text((3, 2), text, fill=_TEXT, font=font)
    drawn.thumbnail((_LONGEST, _LONGEST))
    return drawn


def caption(prediction: Prediction) -> str:
    """Such as `crack 98%, 2 regions`."""
    parts = []
    # A single class is certain in every image, also in those that show nothing.
    if prediction.class_name is not None and len(prediction.probabilities) > 1:
        share = prediction.probabilities[prediction.class_name]
        # Characters that the font lacks would be boxes.
        parts.append(f"{prediction.class_name.encode('ascii', 'replace').decode()} {share:.0%}")
    else:
        parts.append(f"defective {prediction.score:.0%}")
    if prediction.mask is not None:
        count = len(prediction.regions)
        parts.append(f"{count} region{'' if count == 1 else 's'}")
    return ", ".join(parts)


def outline(mask: NDArray[np.bool_], width: int = 1) -> NDArray[np.bool_]:
    """The pixels of a mask, bool [H, W], that have one outside of it within `width`; the image's border is none."""
    if not mask.any():
        return mask
    return mask & ~ndimage.binary_erosion(mask, np.ones((3, 3), bool), iterations=width, border_value=1)
