"""Preparing a dataset once, or opening what is prepared."""

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds

from dms_jax.data.building import build, check_whole, opened
from dms_jax.data.datasets import DATASETS, published_in
from dms_jax.data.datasets.base import SurfaceDefectBuilder
from dms_jax.data.datasets.folder.builder import Folder, config_name, source_of
from dms_jax.data.datasets.folder.reading import Reading
from dms_jax.data.datasets.synthetic import SyntheticConfig
from dms_jax.data.inspect.summary import keep_summary
from dms_jax.data.preparation_lock import preparation_lock
from dms_jax.data.prepared import PreparedDataset
from dms_jax.errors import UsageError, UserError
from dms_jax.references import OR_YOUR_OWN, is_reference, resolve


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
    overwrite: bool = False,
) -> PreparedDataset:
    """Prepares a dataset, or opens it where it is prepared already.

    The source files of a prepared dataset are not looked at again, except for `folder`: where the user's files have
    changed since, they are prepared anew, in another directory. Several processes may prepare the same dataset at once:
    one does, and the others wait for it. A prepared dataset may be in a directory that can only be read.

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
        them. A class never loses all of its masks so.
      mask_values: of `folder`: which values of the masks' files are defective, such as `1-4,ignore:255` or `#ff0000`;
        empty to go by what they look like.
      value_range: of `folder`: the values of images of more than 8 bits that are black and white, such as `0,4095`;
        empty for those of the files' type.
      overwrite: prepare it anew even if it is prepared already; where that fails, what was there stays.

    Returns:
      The dataset, opened.

    Raises:
      UsageError: `dataset`, `split` or a key of `synthetic` is unknown, or a value out of range.
      UserError: the dataset's files are missing, damaged or can't be downloaded, or `data_dir` can't be written; or the
        dataset is prepared, but damaged; or it was prepared with `skip_bad`, which left out files, and is now opened
        without it.
    """
    builder_class = _builder_class(dataset)
    root = str(Path(data_dir).expanduser().absolute()) if data_dir else None
    if dataset == Folder.name:
        with _naming_published(Path(manual_dir)):
            config = _folder_config_name(split, manual_dir, root, (mask_values, value_range))
        reading = {"reading": Reading.parse(mask_values, value_range)}
    else:
        if mask_values or value_range:
            raise UsageError(f"dataset {dataset} has no mask_values or value_range: they are of dataset folder.")
        config, reading = _config_name(builder_class, split, synthetic), {}
    place = Path(root or tfds.core.constants.DATA_DIR).expanduser()
    if dataset == Folder.name:
        _refuse_nested(place, Path(manual_dir))
    directory = place / builder_class.name / config / str(builder_class.VERSION)
    try:
        builder = None if overwrite else opened(builder_class, root, config, directory)
        if builder is None:
            manual = _manual_folder(builder_class, manual_dir)
            with preparation_lock(place, builder_class.name, config):
                # Another process may have prepared it meanwhile.
                builder = None if overwrite else opened(builder_class, root, config, directory)
                if builder is None:
                    options = {"skip_bad": skip_bad, **reading}
                    with _naming_published(manual if dataset == Folder.name else None):
                        builder = build(builder_class, root, config, directory, manual, options)
    except OSError as error:
        raise UserError(f"{dataset} cannot be prepared in {place} ({error}): choose another data_dir.") from error
    check_whole(builder)
    prepared = PreparedDataset.of(builder)
    skipped = prepared.skipped
    if skipped and not skip_bad:
        raise UserError(
            f"{builder.data_dir} was prepared with skip_bad, which left out {len(skipped)} file(s) (the first: "
            f"{skipped[0].removesuffix('.')}): set --skip-bad (of dms-jax prepare) or config.data.skip_bad again, or "
            "prepare it anew with dms-jax prepare --overwrite."
        )
    if dataset == Folder.name and (name := published_in(Path(manual_dir).expanduser().absolute())):
        note = f"{manual_dir} {_looks_like(name)}, which has its classes, its split and what to know of it."
        prepared = replace(prepared, notes=(note, *prepared.notes))
    # Known where it has just been prepared, unless the builder is the user's own and does not use `encode_example`.
    facts, builder.facts = builder.facts, None
    if facts and all(facts.values()):
        keep_summary(prepared, facts)
    return prepared


def _refuse_nested(place: Path, manual: Path) -> None:
    """Refuse to keep datasets among the images that they are prepared from: they would be images the next time."""
    source = os.path.realpath(manual.expanduser())
    if os.path.isdir(source) and os.path.commonpath([source, os.path.realpath(place)]) == source:
        raise UserError(f"data_dir {place} lies in manual_dir {manual}: choose a data_dir outside of your images.")


def _builder_class(dataset: str) -> type[SurfaceDefectBuilder]:
    if dataset in DATASETS:
        return DATASETS[dataset]
    if not is_reference(dataset):
        raise UsageError(f"dataset {dataset!r} is unknown: it is one of {_listed(DATASETS)}, {OR_YOUR_OWN}.")
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


@contextlib.contextmanager
def _naming_published(manual: Path | None) -> Iterator[None]:
    """Say of a user's folder that can't be used if it looks like a dataset that is known by name; None: of nothing."""
    try:
        yield
    except UserError as error:
        # A value of a flag that makes no sense is none of the folder's.
        asks = manual is not None and not isinstance(error, UsageError)
        name = published_in(manual.expanduser().absolute()) if asks else None
        if name is None:
            raise
        # Where several files cannot be used, a heading says so (`refusal`).
        first, *others = (line.removesuffix(".") for line in str(error).splitlines())
        reason = f"{first.partition(':')[0]} (the first: {others[0]})" if others else f"it cannot be used ({first})"
        raise UserError(f"{manual} {_looks_like(name)}, for as dataset folder {reason}.") from error


def _looks_like(name: str) -> str:
    return f"looks like the dataset {name} as published: use dataset={name} (of dms-jax prepare: --dataset {name})"


def _folder_config_name(split: str, manual_dir: str, data_dir: str | None, declared: Sequence[str]) -> str:
    if split:
        raise UsageError(f"split {split!r} is unknown: the splits of dataset folder are its folders, leave it empty.")
    return config_name(manual_dir, Path(data_dir or tfds.core.constants.DATA_DIR).expanduser(), declared)


def _manual_folder(builder_class: type[SurfaceDefectBuilder], manual_dir: str) -> Path | None:
    manual = source_of(manual_dir) if manual_dir else None
    is_file = issubclass(builder_class, Folder) and manual is not None and manual.is_file()
    try:
        is_usable = manual is None or is_file or (manual.is_dir() and any(manual.iterdir()))
    except OSError as error:
        raise UserError(f"manual_dir {manual} cannot be read ({error.strerror}): change its permissions.") from error
    if not is_usable:
        raise UserError(f"manual_dir {manual} is not a folder with files: give the folder of the dataset.")
    return manual


def _listed(names: Any) -> str:
    return ", ".join(names)
