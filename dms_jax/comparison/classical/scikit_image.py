"""Segmentation by scikit-image, which is not installed with the package."""

from __future__ import annotations

from typing import Any

from dms_jax.errors import UserError


def segmentation(method: str) -> Any:
    """The module `skimage.segmentation`.

    Args:
      method: whose segments are wanted, for the message.

    Raises:
      UserError: scikit-image is not installed.
    """
    try:
        from skimage import segmentation as module
    except ImportError as error:
        raise UserError(f"{method} needs scikit-image, which is missing: pip install 'dms-jax[compare]'.") from error
    return module
