"""Files of tensors as PyTorch users keep them: `.pth` (needs PyTorch) and `.safetensors` (does not)."""

import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from dms_jax.errors import UsageError, UserError
from dms_jax.whole_files import write_whole

SUFFIXES = (".pth", ".pt", ".safetensors")
# Under one of these, training scripts keep the state dict among other things.
_WRAPPERS = ("state_dict", "model_state_dict", "model_state", "model")


def read_tensors(path: Path) -> dict[str, np.ndarray]:
    """Read a state dict.

    A safetensors file is recognised by its header, whatever it is called, or else by its name; anything else is left to
    PyTorch to read, with `weights_only=True`: a pickle that wants to run code is refused. A checkpoint that has the
    state dict in an entry `state_dict`, `model_state_dict`, `model_state` or `model` is understood.

    Args:
      path: the file.

    Returns:
      Name to tensor; tensors of floating point are float32.

    Raises:
      UserError: the file cannot be read, holds something else or something that is not finite, or PyTorch is needed
        and not installed.
    """
    try:
        with path.open("rb") as file:
            start = file.read(9)
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): name a .pth or .safetensors file.") from error
    # Eight bytes of the header's length, then the header, which is JSON.
    is_safetensors = start[8:] == b"{" or path.suffix == ".safetensors"
    tensors = _read_safetensors(path) if is_safetensors else _read_torch(path)
    tensors = {name: np.asarray(tensor, _float32(tensor.dtype)) for name, tensor in tensors.items()}
    for name, tensor in tensors.items():
        if not np.isfinite(tensor).all():
            raise UserError(f"{path}: {name} has values that are not finite: the file is damaged, get another copy.")
    return tensors


def write_tensors(path: Path, tensors: Mapping[str, np.ndarray], description: Mapping[str, str]) -> None:
    """Write a state dict, for `torch.load` or for safetensors as the file's suffix says.

    Args:
      path: `.pth`, `.pt` or `.safetensors`; its folder must exist.
      tensors: name to tensor.
      description: kept in the header of a safetensors file; a `.pth` file has the tensors alone.

    Raises:
      UsageError: the suffix is another one.
      UserError: PyTorch is needed and not installed.
    """
    check_suffix(path)
    if path.suffix == ".safetensors":
        from safetensors.numpy import save

        # safetensors 0.8 writes what lies in memory from an array's first element on, whatever its strides say.
        contiguous = {name: np.array(tensor, order="C") for name, tensor in tensors.items()}
        # Not its own `save_file`, whose files are readable to their owner alone, whatever the umask says.
        data = save(contiguous, metadata=dict(description))
        write_whole(path, lambda file: file.write(data))
    else:
        torch = _import_torch(path, "written")
        given = {name: torch.from_numpy(np.array(tensor)) for name, tensor in tensors.items()}
        write_whole(path, lambda file: torch.save(given, file))


def check_suffix(path: Path) -> None:
    """Refuse a name that does not say which kind of file to write.

    Raises:
      UsageError: the suffix is not one of `SUFFIXES`.
    """
    if path.suffix not in SUFFIXES:
        raise UsageError(f"{path} must end in {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}: the suffix says the kind.")


def _float32(dtype: np.dtype) -> np.dtype:
    # bfloat16 is no floating type of NumPy's own.
    return np.dtype(np.float32) if jnp.issubdtype(dtype, jnp.floating) else dtype


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return load_file(path)
    except (SafetensorError, AttributeError, KeyError, TypeError, ValueError) as error:  # of a type NumPy lacks, too
        raise UserError(f"{path} is no sound safetensors file ({error}): get another copy, or save it anew.") from error


def _read_torch(path: Path) -> dict[str, np.ndarray]:
    torch = _import_torch(path, "read")
    try:
        with warnings.catch_warnings():
            # About how the file was pickled: whether it can be read is all that matters.
            warnings.simplefilter("ignore")
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        # The reason stands on one of the lines; the first one advises to run the code.
        raise UserError(
            f"{path} holds more than tensors, or is damaged; what else it holds may run code of its author's choice "
            "and is not loaded: save model.state_dict() where you trust it."
        ) from error
    except Exception as error:  # the reader's own failures come in many kinds
        raise UserError(
            f"{path} is no file of tensors of PyTorch's nor a safetensors file, or is damaged: name another .pth or "
            ".safetensors."
        ) from error
    for wrapper in _WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    tensors = {} if not isinstance(content, Mapping) else {k: v for k, v in content.items() if _is_tensor(torch, k, v)}
    if not tensors:
        raise UserError(f"{path} holds no state dict (names with tensors): save model.state_dict() instead.")
    arrays = {}
    for name, tensor in tensors.items():
        try:
            arrays[name] = (tensor.float() if tensor.is_floating_point() else tensor).detach().numpy()
        except (RuntimeError, TypeError) as error:
            raise UserError(
                f"{path}: {name} is no plain tensor (sparse, quantised or without values): save plain ones."
            ) from error
    return arrays


def _is_tensor(torch: Any, name: Any, value: Any) -> bool:
    return isinstance(name, str) and isinstance(value, torch.Tensor)


def _import_torch(path: Path, done: str) -> Any:
    try:
        import torch
    except ImportError as error:
        raise UserError(
            f"{path} can only be {done} with PyTorch, which is not installed: pip install -e '.[torch]', or use a "
            ".safetensors file."
        ) from error
    return torch
