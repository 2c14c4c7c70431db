"""Preparing a dataset once, and opening what is prepared."""

import contextlib
import io
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds
from absl import logging

from dms_jax.data.datasets import DATASETS
from dms_jax.data.datasets.base import SPLITS, SurfaceDefectBuilder
from dms_jax.data.datasets.folder.builder import Folder, config_name
from dms_jax.data.datasets.folder.reading import Reading
from dms_jax.data.datasets.synthetic import SyntheticConfig
from dms_jax.data.examples import ExampleSource
from dms_jax.errors import UsageError, UserError
from dms_jax.references import is_reference, resolve


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

    def source(self, split: str) -> ExampleSource:
        """Opens a split.

        Args:
          split: `train`, `validation` or `test`.

        Returns:
          Its examples, with random access.

        Raises:
          UsageError: there is no such split.
        """
        if split not in self.sizes:
            raise UsageError(f"split {split!r} is unknown: it is one of {_listed(self.sizes)}.")
        return ExampleSource(self.builder, split, self.free_class)


def prepare(
    dataset: str,
    *,
    split: str = "",
    data_dir: str = "",
    manual_dir: str = "",
    synthetic: Mapping[str, Any] | None = None,
    skip_bad: bool = False,
    mask_values: str = "",
    value_range: str = "",
) -> PreparedDataset:
    """Prepares a dataset, or opens it where it is prepared already.

    The source files of a prepared dataset are not looked at again, except for `folder`: where the user's files have
    changed since, they are prepared anew, in another directory.

    Args:
      dataset: a name of `dms_jax.data.datasets.DATASETS`, or a reference (`dms_jax.references`) to a subclass of
        `SurfaceDefectBuilder`.
      split: which way to split the dataset into train, validation and test, where it knows several (for `mtdd` `paper`
        or `tiles`, for `neu_seg` `published` or `grouped`); empty for its first.
      data_dir: where prepared datasets are kept; empty for TFDS's default, `TFDS_DATA_DIR` or `~/tensorflow_datasets`.
      manual_dir: folder with the dataset's files as published; empty to download them, where that can be done. For
        `folder` the user's folder or CSV, see `dms_jax.data.datasets.folder.builder.Folder`; `synthetic` ignores it.
      synthetic: `seed`, `size` and `images` of `SyntheticConfig`, all optional; other datasets ignore it.
      skip_bad: leave out files that can't be used, see `PreparedDataset.skipped`, rather than refuse the dataset for
        the first of them.
      mask_values: of `folder`: which values of the masks' files are defective, such as `1-4,255` or `#ff0000`; empty to
        go by what they look like.
      value_range: of `folder`: the values of images of more than 8 bits that are black and white, such as `0,4095`;
        empty for those of the files' type.

    Returns:
      The dataset, opened.

    Raises:
      UsageError: `dataset`, `split` or a key of `synthetic` is unknown, or a value out of range.
      UserError: the dataset's files are missing, damaged or can't be downloaded, or `data_dir` can't be written; or the
        dataset was prepared with `skip_bad`, which left out files, and is now opened without it.
    """
    builder_class = _builder_class(dataset)
    root = str(Path(data_dir).expanduser().absolute()) if data_dir else None
    if dataset == Folder.name:
        config = _folder_config_name(split, manual_dir, root, (mask_values, value_range))
        reading = {"reading": Reading.parse(mask_values, value_range)}
    else:
        if mask_values or value_range:
            raise UsageError(f"dataset {dataset} has no mask_values or value_range: they are of dataset folder.")
        config, reading = _config_name(builder_class, split, synthetic), {}
    try:
        builder = _open(builder_class, root, config)
        if not builder.data_path.exists():
            try:
                _build(builder, manual_dir, skip_bad, reading)
            except BaseException:
                _remove_note(builder)
                raise
    except OSError as error:
        place = root or tfds.core.constants.DATA_DIR
        raise UserError(f"{dataset} cannot be prepared in {place} ({error}): choose another data_dir.") from error
    _check_whole(builder)
    free = builder.free_class
    skipped = tuple(builder.info.metadata.get("skipped") or ())
    if skipped and not skip_bad:
        raise UserError(
            f"{builder.data_dir} was prepared with skip_bad, which left out {len(skipped)} file(s) (the first: "
            f"{skipped[0].removesuffix('.')}): set skip_bad again, or remove that folder to prepare it anew."
        )
    return PreparedDataset(
        name=builder_class.name,
        config=config,
        class_names=builder.class_names,
        free_class=None if free is None else builder.class_names.index(free),
        sizes={name: builder.info.splits[name].num_examples for name in SPLITS},
        directory=Path(builder.data_dir),
        builder=builder,
        skipped=skipped,
        notes=builder.notes,
    )


def _builder_class(dataset: str) -> type[SurfaceDefectBuilder]:
    if dataset in DATASETS:
        return DATASETS[dataset]
    if not is_reference(dataset):
        raise UsageError(f"dataset {dataset!r} is unknown: it is one of {_listed(DATASETS)}.")
    builder_class = resolve("dataset", dataset)
    if not (isinstance(builder_class, type) and issubclass(builder_class, SurfaceDefectBuilder)):
        raise UsageError(f"dataset {dataset} is no subclass of SurfaceDefectBuilder: name one.")
    return builder_class


def _config_name(builder_class: type[SurfaceDefectBuilder], split: str, synthetic: Mapping[str, Any] | None) -> str:
    dataset = builder_class.name
    if dataset != "synthetic":
        known = [config.name for config in builder_class.BUILDER_CONFIGS]
        if split and split not in known:
            raise UsageError(f"split {split!r} of dataset {dataset} is unknown: it is one of {_listed(known)}.")
        return split or known[0]
    if split:
        raise UsageError(f"split {split!r} is unknown: the synthetic dataset has only one, leave it empty.")
    values = dict(synthetic or {})
    known = ["seed", "size", "images"]
    for key in values:
        if key not in known:
            raise UsageError(f"{key!r} of the synthetic dataset is unknown: it is one of {_listed(known)}.")
    return SyntheticConfig(**values).name


def _folder_config_name(split: str, manual_dir: str, data_dir: str | None, declared: Sequence[str]) -> str:
    if split:
        raise UsageError(f"split {split!r} is unknown: the splits of dataset folder are its folders, leave it empty.")
    return config_name(manual_dir, Path(data_dir or tfds.core.constants.DATA_DIR).expanduser(), declared)


def _open(builder_class: type[SurfaceDefectBuilder], data_dir: str | None, config: str) -> SurfaceDefectBuilder:
    try:
        builder = builder_class(data_dir=data_dir, config=config)
        # Read when first asked for.
        builder.info.metadata.keys()
        return builder
    except OSError:
        raise
    except Exception as error:  # TFDS raises all kinds of errors where it can't parse its dataset_info.json.
        folder = Path(data_dir or tfds.core.constants.DATA_DIR) / builder_class.name / config
        raise UserError(f"{folder} is damaged: remove that folder, and it will be prepared anew.") from error


def _build(builder: SurfaceDefectBuilder, manual_dir: str, skip_bad: bool, reading: Mapping[str, Any]) -> None:
    manual = Path(os.path.abspath(Path(manual_dir).expanduser())) if manual_dir else None
    is_file = isinstance(builder, Folder) and manual is not None and manual.is_file()
    if manual is not None and not is_file and not (manual.is_dir() and any(manual.iterdir())):
        raise UserError(f"manual_dir {manual} is not a folder with files: give the folder of the dataset.")
    if not sys.stderr.isatty():
        tfds.disable_progress_bar()
    logging.info("Preparing %s in %s", builder.info.full_name, builder.data_dir)
    try:
        # TFDS prints its progress on standard output, where results belong.
        with contextlib.redirect_stdout(io.StringIO()):
            builder.download_and_prepare(
                file_format="array_record",
                download_config=tfds.download.DownloadConfig(manual_dir=manual),
                skip_bad=skip_bad,
                **reading,
            )
    except OSError:
        # Another process may have prepared the same dataset meanwhile: its folder then was there first.
        if not builder.data_path.exists():
            raise
        builder.info.read_from_directory(builder.data_dir)


def _remove_note(builder: SurfaceDefectBuilder) -> None:
    """Remove TFDS's note on the dataset's configurations where it is all that there is of the dataset."""
    with contextlib.suppress(OSError):  # not there, or another version is in it
        Path(builder.data_dir).parent.rmdir()
    folder = Path(builder.data_dir).parent.parent
    if all(".config" in path.parts for path in folder.rglob("*") if path.is_file()):
        shutil.rmtree(folder, ignore_errors=True)


def _check_whole(builder: SurfaceDefectBuilder) -> None:
    splits = builder.info.splits
    whole = all(name in splits for name in SPLITS) and all(
        Path(path).exists() for name in SPLITS for path in splits[name].filepaths
    )
    if not (whole and builder.class_names):
        raise UserError(f"{builder.data_dir} is damaged: remove that folder, and it will be prepared anew.")


def _listed(names: Any) -> str:
    return ", ".join(names)
