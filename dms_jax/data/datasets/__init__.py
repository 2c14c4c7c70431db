"""The datasets that can be prepared, by name."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from dms_jax.data.datasets.base import SurfaceDefectBuilder
from dms_jax.data.datasets.crackforest import CrackForest
from dms_jax.data.datasets.folder.builder import Folder
from dms_jax.data.datasets.kolektor_sdd2 import KolektorSdd2
from dms_jax.data.datasets.mtdd import Mtdd
from dms_jax.data.datasets.neu_det import NeuDet
from dms_jax.data.datasets.neu_seg import NeuSeg
from dms_jax.data.datasets.published import PublishedDatasetBuilder
from dms_jax.data.datasets.rsdds import Rsdds
from dms_jax.data.datasets.synthetic import Synthetic

DATASETS: Mapping[str, type[SurfaceDefectBuilder]] = MappingProxyType(
    {builder.name: builder for builder in (Mtdd, NeuSeg, NeuDet, CrackForest, Rsdds, KolektorSdd2, Folder, Synthetic)}
)


def published_in(folder: Path) -> str | None:
    """The name of the dataset that a folder looks like, as published; None where it looks like none or is no folder."""
    if not folder.is_dir():
        return None
    published = (builder for builder in DATASETS.values() if issubclass(builder, PublishedDatasetBuilder))
    return next((builder.name for builder in published if builder.is_likely_in(folder)), None)
