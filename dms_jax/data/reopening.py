"""Opening a prepared dataset by where it lies, whatever has become of the files that it was prepared from."""

from pathlib import Path

from dms_jax.data.datasets.base import SPLITS
from dms_jax.data.datasets.folder.builder import Folder
from dms_jax.data.prepared import PreparedDataset


def reopen_folder(directory: Path) -> PreparedDataset | None:
    """Open what was prepared from a user's folder or CSV, without looking at either.

    Args:
      directory: `PreparedDataset.directory`.

    Returns:
      The dataset; None where the directory is not there, or not whole.
    """
    if directory.parent.parent.name != Folder.name or not (directory / "dataset_info.json").is_file():
        return None
    config, root = directory.parent.name, directory.parents[2]
    try:
        builder = Folder(data_dir=str(root), config=config)
        splits = builder.info.splits
        files = [Path(path) for split in SPLITS for path in splits[split].filepaths]
    except Exception:  # TFDS raises all kinds of errors where it cannot parse its dataset_info.json.
        return None
    if Path(builder.data_dir) != directory or not all(path.exists() for path in files):
        return None
    return PreparedDataset.of(builder)
