"""Files are written whole or not at all, and an error names them."""

import errno
from pathlib import Path

import pytest

from dms_jax.whole_files import write_whole


def test_what_cannot_be_written_is_named_as_the_user_named_it(tmp_path: Path) -> None:
    path = tmp_path / "absent" / "model.onnx"
    with pytest.raises(FileNotFoundError) as caught:
        write_whole(path, lambda file: file.write(b""))
    assert caught.value.filename == str(path)


def test_a_full_disk_says_of_which_file_and_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"before")

    def write(file: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space left") as caught:
        write_whole(path, write)
    assert caught.value.filename == str(path)
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("model.onnx", b"before")]


def test_a_folder_in_the_place_is_named_alone(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").mkdir()
    with pytest.raises(IsADirectoryError) as caught:
        write_whole(tmp_path / "model.onnx", lambda file: file.write(b"x"))
    assert str(caught.value).endswith(f": '{tmp_path / 'model.onnx'}'")
