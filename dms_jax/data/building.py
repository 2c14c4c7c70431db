"""A dataset's files on disk: opened, or built whole or not at all."""

import contextlib
import io
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds
from absl import logging

from dms_jax.data.damage import damaged
from dms_jax.data.datasets.base import SPLITS, SurfaceDefectBuilder


def opened(
    builder_class: type[SurfaceDefectBuilder], data_dir: str | None, config: str, directory: Path
) -> SurfaceDefectBuilder | None:
    """The dataset, if it is prepared in the directory.

    Raises:
      UserError: what is noted of it there is damaged.
    """
    return _open(builder_class, data_dir, config) if directory.exists() else None


def _open(builder_class: type[SurfaceDefectBuilder], data_dir: str | None, config: str) -> SurfaceDefectBuilder:
    try:
        builder = builder_class(data_dir=data_dir, config=config)
        # Read when first asked for.
        builder.info.metadata.keys()
        return builder
    except OSError:
        raise
    except Exception as error:  # TFDS raises all kinds of errors where it can't parse its dataset_info.json.
        raise damaged(Path(data_dir or tfds.core.constants.DATA_DIR) / builder_class.name / config) from error


def build(
    builder_class: type[SurfaceDefectBuilder],
    data_dir: str | None,
    config: str,
    directory: Path,
    manual: Path | None,
    options: Mapping[str, Any],
) -> SurfaceDefectBuilder:
    """Prepare a dataset; nothing is left of a preparation that fails, and what it would have replaced is back.

    Args:
      builder_class: of the dataset.
      data_dir: where prepared datasets are kept; None for TFDS's default.
      config: name of the dataset's configuration.
      directory: where it will be below `data_dir`.
      manual: the dataset's files as published; None to download them.
      options: further arguments of `SurfaceDefectBuilder.download_and_prepare`.

    Raises:
      UserError: the files are missing, damaged or can't be downloaded.
      OSError: the directory can't be written.
    """
    if not sys.stderr.isatty():
        tfds.disable_progress_bar()
    with _set_aside(directory):
        builder = _open(builder_class, data_dir, config)
        logging.info("Preparing %s in %s", builder.info.full_name, builder.data_dir)
        try:
            _download_and_prepare(builder, manual, options)
        except BaseException:
            _remove_note(builder)
            raise
    return builder


def _download_and_prepare(builder: SurfaceDefectBuilder, manual: Path | None, options: Mapping[str, Any]) -> None:
    config = tfds.download.DownloadConfig(manual_dir=manual)
    try:
        # TFDS prints its progress on standard output, where results belong.
        with contextlib.redirect_stdout(io.StringIO()):
            builder.download_and_prepare(file_format="array_record", download_config=config, **options)
    except OSError:
        # Where there are no locks, another process may have prepared it meanwhile: its folder then was there first.
        if not builder.data_path.exists():
            raise
        builder.info.read_from_directory(builder.data_dir)
        builder.facts = None


@contextlib.contextmanager
def _set_aside(directory: Path) -> Iterator[None]:
    """Moves a prepared dataset away meanwhile, if it is there, and back if the new one fails."""
    # Named as TFDS names what is not whole, so that it is removed like that should this process be killed.
    aside = directory.with_name(f"incomplete.overwritten_{directory.name}")
    try:
        directory.rename(aside)
    except FileNotFoundError:
        yield
        return
    try:
        yield
    except BaseException:
        shutil.rmtree(directory, ignore_errors=True)
        aside.rename(directory)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def _remove_note(builder: SurfaceDefectBuilder) -> None:
    """Remove TFDS's note on the dataset's configurations where it is all that there is of the dataset."""
    with contextlib.suppress(OSError):  # not there, or another version is in it
        Path(builder.data_dir).parent.rmdir()
    folder = Path(builder.data_dir).parent.parent
    others = (path for path in folder.rglob("*") if path.is_file() or path.name.startswith("incomplete."))
    if all(".config" in path.parts for path in others):
        shutil.rmtree(folder, ignore_errors=True)


def check_whole(builder: SurfaceDefectBuilder) -> None:
    """Refuse a dataset that lacks a file or a part of one; what is garbled is noticed when it is read.

    Raises:
      UserError: it does.
    """
    try:
        whole = _is_whole(builder)
    except (AttributeError, KeyError, TypeError, ValueError) as error:  # what is noted of it is garbled
        raise damaged(builder.data_dir) from error
    if not whole:
        raise damaged(builder.data_dir)


def _is_whole(builder: SurfaceDefectBuilder) -> bool:
    splits, class_names, free = builder.info.splits, builder.class_names, builder.free_class
    # Earlier versions did not note the files' sizes.
    sizes = builder.info.metadata.get("file_sizes", {})
    named = bool(class_names) and all(isinstance(name, str) for name in class_names)
    return (
        named
        and (free is None or free in class_names)
        and all(name in splits for name in SPLITS)
        and all(
            path.exists() and path.stat().st_size == sizes.get(path.name, path.stat().st_size)
            for name in SPLITS
            for path in map(Path, splits[name].filepaths)
        )
    )
