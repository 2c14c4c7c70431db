"""What is read from `.pth` and `.safetensors`, and what is refused."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from dms_jax.errors import UsageError, UserError
from dms_jax.interop.torch_files import read_tensors, write_tensors

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

TENSORS = {"a.weight": np.arange(6, dtype=np.float32).reshape(2, 3), "a.count": np.array(3, np.int64)}


def as_torch(tensors: dict[str, np.ndarray]) -> dict[str, Any]:
    return {name: torch.from_numpy(np.array(tensor)) for name, tensor in tensors.items()}


def assert_same(found: dict[str, np.ndarray], expected: dict[str, np.ndarray] = TENSORS) -> None:
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        np.testing.assert_array_equal(found[name], tensor)
        assert found[name].dtype == tensor.dtype


@pytest.mark.parametrize("name", ["w.pth", "w.pt", "w.safetensors", "größe 重み.pth"])
def test_what_was_written_is_read(name: str, tmp_path: Path) -> None:
    write_tensors(tmp_path / name, TENSORS, {"step": "3"})
    assert_same(read_tensors(tmp_path / name))
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
def test_transposed_and_sliced_arrays_are_written_by_their_values(name: str, tmp_path: Path) -> None:
    kernel = np.arange(72, dtype=np.float32).reshape(3, 3, 2, 4)
    tensors = {"turned": kernel.transpose(3, 2, 0, 1), "sliced": kernel[:, ::2], "reversed": kernel[::-1]}
    write_tensors(tmp_path / name, tensors, {})
    assert_same(read_tensors(tmp_path / name), tensors)


def test_files_of_both_kinds_may_be_read_by_whom_the_umask_says(tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(b"")
    for name in ("w.pth", "w.safetensors"):
        write_tensors(tmp_path / name, TENSORS, {})
        assert (tmp_path / name).stat().st_mode == (tmp_path / "other").stat().st_mode


def test_a_written_pth_is_a_plain_state_dict(tmp_path: Path) -> None:
    write_tensors(tmp_path / "w.pth", TENSORS, {})
    module = torch.nn.Module()
    module.a = torch.nn.Module()
    module.a.register_parameter("weight", torch.nn.Parameter(torch.zeros(2, 3)))
    module.a.register_buffer("count", torch.tensor(0))
    module.load_state_dict(torch.load(tmp_path / "w.pth", weights_only=True), strict=True)
    assert_same({name: tensor.numpy() for name, tensor in module.state_dict().items()})


@pytest.mark.parametrize("wrapper", ["state_dict", "model_state_dict", "model_state", "model"])
def test_a_state_dict_among_other_things(wrapper: str, tmp_path: Path) -> None:
    torch.save({"epoch": 3, wrapper: as_torch(TENSORS), "optimizer": {"lr": 0.1}}, tmp_path / "w.pth")
    assert_same(read_tensors(tmp_path / "w.pth"))


def test_files_of_old_versions(tmp_path: Path) -> None:
    torch.save(as_torch(TENSORS), tmp_path / "w.pth", _use_new_zipfile_serialization=False)
    assert_same(read_tensors(tmp_path / "w.pth"))


def test_parameters_and_other_precisions_become_float32_arrays(tmp_path: Path) -> None:
    values = torch.tensor([1.0, -2.5])
    tensors = {
        "parameter": torch.nn.Parameter(values),
        "half": values.half(),
        "bfloat16": values.bfloat16(),
        "double": values.double(),
    }
    torch.save(tensors, tmp_path / "w.pth")
    assert_same(read_tensors(tmp_path / "w.pth"), dict.fromkeys(tensors, np.float32([1.0, -2.5])))


def test_safetensors_in_bfloat16(tmp_path: Path) -> None:
    from safetensors import torch as safetensors_torch

    safetensors_torch.save_file({"a": torch.tensor([1.0, -2.5]).bfloat16()}, tmp_path / "w.safetensors")
    assert_same(read_tensors(tmp_path / "w.safetensors"), {"a": np.float32([1.0, -2.5])})


def test_safetensors_by_another_name(tmp_path: Path) -> None:
    save_file(TENSORS, tmp_path / "weights.bin")
    assert_same(read_tensors(tmp_path / "weights.bin"))


class Hostile:
    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.file),)


@pytest.mark.parametrize("form", ["zip", "legacy", "plain pickle"])
def test_a_pickle_that_wants_to_run_code_is_refused_unrun(form: str, tmp_path: Path) -> None:
    import pickle

    source, ran = tmp_path / "w.pth", tmp_path / "ran"
    content = {"state_dict": as_torch(TENSORS), "x": Hostile(ran)}
    if form == "plain pickle":
        source.write_bytes(pickle.dumps({"a": Hostile(ran)}, protocol=4))
    else:
        torch.save(content, source, _use_new_zipfile_serialization=form == "zip")
    with pytest.raises(UserError, match=r"w\.pth holds more than tensors, .* may run code .* is not loaded") as caught:
        read_tensors(source)
    assert "\n" not in str(caught.value)
    assert not ran.exists()


@pytest.mark.parametrize(
    "content",
    [[1, 2], torch.zeros(3), {}, {1: torch.zeros(2)}, {"state_dict": {}}, {"state_dict": {"a": 1}}],
    ids=["list", "tensor", "empty", "numbers", "empty state", "no tensors"],
)
def test_no_state_dict(content: Any, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(UserError, match=r"w\.pth holds no state dict"):
        read_tensors(tmp_path / "w.pth")


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("kind", ["sparse", "meta"])
def test_tensors_without_plain_values_are_named(kind: str, tmp_path: Path) -> None:
    tensor = torch.ones(2, 2).to_sparse() if kind == "sparse" else torch.empty(2, 2, device="meta")
    torch.save({"a.weight": torch.ones(2), "b.weight": tensor}, tmp_path / "w.pth")
    with pytest.raises(UserError, match=r"w\.pth: b\.weight is no plain tensor"):
        read_tensors(tmp_path / "w.pth")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite(value: float, tmp_path: Path) -> None:
    save_file({"a": np.ones(2, np.float32), "b": np.float32([1, value])}, tmp_path / "w.safetensors")
    with pytest.raises(UserError, match=r"w\.safetensors: b has values that are not finite"):
        read_tensors(tmp_path / "w.safetensors")


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
@pytest.mark.parametrize("damage", ["empty", "text", "cut"])
def test_damaged_files(name: str, damage: str, tmp_path: Path) -> None:
    path = tmp_path / name
    write_tensors(path, {"a": np.zeros(5000, np.float32)}, {})
    path.write_bytes({"empty": b"", "text": b"version https://", "cut": path.read_bytes()[:9000]}[damage])
    with pytest.raises(UserError, match=name) as caught:
        read_tensors(path)
    assert "\n" not in str(caught.value)
    assert "damaged" in str(caught.value) or "no sound" in str(caught.value)


def test_types_that_numpy_lacks(tmp_path: Path) -> None:
    from safetensors import torch as safetensors_torch

    path = tmp_path / "w.safetensors"
    safetensors_torch.save_file({"a": torch.ones(2).to(torch.float8_e4m3fn)}, path)
    with pytest.raises(UserError, match=r"w\.safetensors is no sound safetensors file"):
        read_tensors(path)


def test_a_file_that_is_none(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "absent.pth"):
        with pytest.raises(UserError, match=rf"{path} cannot be read"):
            read_tensors(path)


def test_a_name_that_does_not_say_the_kind(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"must end in \.pth, \.pt or \.safetensors"):
        write_tensors(tmp_path / "w.bin", TENSORS, {})
    assert list(tmp_path.iterdir()) == []


def test_a_failure_to_write_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "w.safetensors").mkdir()
    with pytest.raises(OSError, match="directory"):
        write_tensors(tmp_path / "w.safetensors", TENSORS, {})
    assert [path.name for path in tmp_path.iterdir()] == ["w.safetensors"]


def test_without_pytorch_safetensors_are_read_and_written_and_others_say_what_is_missing(tmp_path: Path) -> None:
    write_tensors(tmp_path / "w.safetensors", TENSORS, {})
    write_tensors(tmp_path / "w.pth", TENSORS, {})
    (tmp_path / "empty.safetensors").touch()
    program = f"""
import sys
sys.modules["torch"] = None
from pathlib import Path
from dms_jax.errors import UserError
from dms_jax.interop.torch_files import read_tensors, write_tensors
folder = Path({str(tmp_path)!r})
tensors = read_tensors(folder / "w.safetensors")
write_tensors(folder / "again.safetensors", tensors, {{}})
for done in (
    lambda: read_tensors(folder / "w.pth"),
    lambda: write_tensors(folder / "new.pth", tensors, {{}}),
    lambda: read_tensors(folder / "empty.safetensors"),
):
    try:
        done()
    except UserError as error:
        print(error)
"""
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    read, written, empty = done.stdout.splitlines()
    assert "w.pth can only be read with PyTorch" in read
    assert "new.pth can only be written with PyTorch" in written
    assert "pip install -e '.[torch]'" in read
    assert "PyTorch" not in empty
    assert_same(read_tensors(tmp_path / "again.safetensors"))
