"""Images of MTDD, where they are beside the repository."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

MTDD = Path(__file__).parents[2] / "shared" / "datasets" / "mtdd"


def mtdd_images(size: int, count: int) -> np.ndarray:
    """Images from all over the classes, uint8 [count, size, size, 3]; without them, the test is skipped."""
    if not MTDD.is_dir():
        pytest.skip("needs ../shared/datasets/mtdd: the images of MTDD")
    paths = sorted(MTDD.glob("*/Imgs/*.jpg"))
    chosen = paths[:: len(paths) // count][:count]
    images = [Image.open(path).convert("RGB").resize((size, size), Image.Resampling.BILINEAR) for path in chosen]
    return np.stack([np.asarray(image) for image in images])
