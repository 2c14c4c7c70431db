"""Synthetic surface defects: drawn, not downloaded, and the same for everyone by seed."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from dms_jax.data.datasets.base import SPLITS, SurfaceDefectBuilder, encode_example
from dms_jax.data.datasets.drawing import CLASS_NAMES, draw
from dms_jax.errors import UsageError

# Image i is of class i modulo 5 of this round: 40 % of all images are free of defects, 20 % show each
# defect.
_ROUND = ("free", "scratch", "free", "blob", "stain")
# Whole rounds go to the splits in turn: 70 % train, 10 % validation, 20 % test. The first three rounds serve
# all splits, so that the smallest dataset has every class in every split.
_TURNS = ("train", "test", "validation", "train", "train", "train", "train", "test", "train", "train")
_RANGES = {"seed": (0, 2**32 - 1), "size": (48, 1024), "images": (3 * len(_ROUND), 100_000)}
_CONFIG_NAME = re.compile(r"seed(\d+)-size(\d+)-images(\d+)")


@dataclass(kw_only=True)
class SyntheticConfig(tfds.core.BuilderConfig):
    """What to draw.

    Attributes:
      seed: the same seed and size give the same images, whatever their number.
      size: side of the square images in pixels, 48 to 1024.
      images: how many, in all splits together, 15 to 100000.
      name: made of the three.

    Raises:
      UsageError: a value is not a whole number or out of range.
    """

    name: str = field(init=False, default="")
    seed: int = 0
    size: int = 96
    images: int = 480

    def __post_init__(self) -> None:
        for key, (low, high) in _RANGES.items():
            value = getattr(self, key)
            whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
            if not whole or not low <= value <= high:
                raise UsageError(
                    f"{key} of the synthetic dataset must be a whole number from {low} to {high}, not {value!r}."
                )
            setattr(self, key, int(value))
        self.name = f"seed{self.seed}-size{self.size}-images{self.images}"


class Synthetic(SurfaceDefectBuilder, skip_registration=True):
    """Drawn surfaces (brushed metal, grain, tool marks) with scratches, blobs and stains, and without.

    40 % of the images are free of defects and 20 % show each kind, in every split; 70 % are for training,
    10 % for validation and 20 % for testing. A configuration is a `SyntheticConfig`, or its name, as
    `seed0-size96-images480`.
    """

    name = "synthetic"
    VERSION = tfds.core.Version("1.1.0")
    BUILDER_CONFIGS = (SyntheticConfig(),)
    CLASS_NAMES = CLASS_NAMES
    FREE_CLASS = "free"

    def __init__(self, *, config: str | SyntheticConfig | None = None, **kwargs: Any):
        # By name, because TFDS warns of configurations that it doesn't know, at every unpickling.
        super().__init__(config=config.name if isinstance(config, SyntheticConfig) else config, **kwargs)

    @classmethod
    def get_builder_config(cls, name: str, version: Any = None) -> SyntheticConfig | None:
        """The configuration of any name that `SyntheticConfig` makes; None for other names."""
        match = _CONFIG_NAME.fullmatch(name)
        if match is None:
            return super().get_builder_config(name, version)
        seed, size, images = map(int, match.groups())
        return SyntheticConfig(seed=seed, size=size, images=images)

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        del dl_manager
        total = self.builder_config.images
        return {split: self._generate_examples([i for i in range(total) if split_of(i) == split]) for split in SPLITS}

    def _generate_examples(self, indices: Iterable[int]) -> Iterator[tuple[str, dict[str, Any]]]:
        for index in indices:
            label = label_of(index)
            rng = image_rng(self.builder_config.seed, index)
            drawing = draw(label, self.builder_config.size, rng)
            name = f"{label}/{index:06d}.png"
            yield encode_example(
                Image.fromarray(drawing.image), Image.fromarray(drawing.mask), label, name=name, group=name
            )


def label_of(index: int) -> str:
    """The class of an image: of five, two are defect-free, and one each shows a scratch, a blob and a stain."""
    return _ROUND[index % len(_ROUND)]


def split_of(index: int) -> str:
    """The split of an image."""
    return _TURNS[index // len(_ROUND) % len(_TURNS)]


def image_rng(seed: int, index: int) -> np.random.Generator:
    """The image's own stream of random numbers, independent of how many images there are."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(index,))))
