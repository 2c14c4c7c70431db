"""A dataset that is prepared."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from dms_jax.data.datasets.base import SPLITS, SurfaceDefectBuilder
from dms_jax.data.examples import ExampleSource
from dms_jax.errors import UsageError


@dataclass(frozen=True)
class PreparedDataset:
    """A dataset on disk, ready to be read; can be pickled.

    Attributes:
      name: the dataset's name.
      config: the name of its configuration: which split of the dataset, or what was drawn.
      class_names: names of the classes, in the order of their indices.
      free_class: index of the defect-free class; None where every image has a defect.
      sizes: number of examples of `train`, `validation` and `test`.
      directory: where it is on disk.
      skipped: a sentence about each file that was left out because it can't be used.
      notes: what those who use the dataset should know, one sentence each.
      understood: how the user's files were understood, one sentence; empty for datasets other than `folder`.
    """

    name: str
    config: str
    class_names: tuple[str, ...]
    free_class: int | None
    sizes: Mapping[str, int]
    directory: Path
    builder: SurfaceDefectBuilder = field(repr=False, compare=False)
    skipped: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    understood: str = ""

    @classmethod
    def of(cls, builder: SurfaceDefectBuilder) -> Self:
        """The dataset that a builder has prepared."""
        free = builder.free_class
        return cls(
            name=builder.name,
            config=Path(builder.data_dir).parent.name,
            class_names=builder.class_names,
            free_class=None if free is None else builder.class_names.index(free),
            sizes={name: builder.info.splits[name].num_examples for name in SPLITS},
            directory=Path(builder.data_dir),
            builder=builder,
            skipped=tuple(builder.info.metadata.get("skipped") or ()),
            notes=builder.notes,
            understood=builder.info.metadata.get("understood", ""),
        )

    def source(self, split: str) -> ExampleSource:
        """Opens a split.

        Args:
          split: `train`, `validation` or `test`, or several of them, joined by `+`.

        Returns:
          Its examples, with random access.

        Raises:
          UsageError: there is no such split.
          UserError: its files are damaged.
        """
        if not set(split.split("+")) <= set(self.sizes):
            raise UsageError(f"split {split!r} is unknown: it is one of {', '.join(self.sizes)}.")
        ignores = bool(self.builder.info.metadata.get("ignores", False))
        return ExampleSource(self.builder, split, self.free_class, ignores)
