"""The datasets that can be prepared, by name."""

from collections.abc import Mapping
from types import MappingProxyType

from dms_jax.data.datasets.base import SurfaceDefectBuilder
from dms_jax.data.datasets.crackforest import CrackForest
from dms_jax.data.datasets.folder.builder import Folder
from dms_jax.data.datasets.kolektor_sdd2 import KolektorSdd2
from dms_jax.data.datasets.mtdd import Mtdd
from dms_jax.data.datasets.neu_det import NeuDet
from dms_jax.data.datasets.neu_seg import NeuSeg
from dms_jax.data.datasets.rsdds import Rsdds
from dms_jax.data.datasets.synthetic import Synthetic

DATASETS: Mapping[str, type[SurfaceDefectBuilder]] = MappingProxyType(
    {builder.name: builder for builder in (Mtdd, NeuSeg, NeuDet, CrackForest, Rsdds, KolektorSdd2, Folder, Synthetic)}
)
