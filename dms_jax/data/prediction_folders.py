"""What `dms-jax predict` writes into a folder, so that nobody takes it for images from a camera."""

from collections.abc import Iterable
from fnmatch import fnmatch

# What the predictions are of, one file for each shard, and the folders of images.
SETTINGS = "predictions*.json"
MAPS, OVERLAYS = "maps", "overlays"


def written_folders(names: Iterable[str]) -> frozenset[str]:
    """The folders of maps and overlays among the names in a folder: none where no predictions were written there."""
    has_predictions = any(fnmatch(name, SETTINGS) for name in names)
    return frozenset({MAPS, OVERLAYS}) if has_predictions else frozenset()
