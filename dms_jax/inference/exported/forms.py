"""The kinds of exported files, and what can be said of a path before JAX and ONNX Runtime are imported."""

from pathlib import Path
from typing import Literal

from dms_jax.errors import UsageError, UserError

Form = Literal["jax", "onnx"]
_SUFFIXES: dict[str, Form] = {".jaxexport": "jax", ".onnx": "onnx"}


def choose_form(output: Path, form: str | None, *, int8: bool) -> Form:
    """Which kind of file to write.

    Raises:
      UsageError: neither the format nor the suffix says so, or they contradict each other, or INT8 is asked of
        jax.export.
    """
    by_suffix = _SUFFIXES.get(output.suffix)
    if form is None and by_suffix is None:
        raise UsageError(f"{output} must end in {' or '.join(_SUFFIXES)}, or --format must say what to write.")
    chosen = next(kind for kind in _SUFFIXES.values() if kind == (form or by_suffix))
    if by_suffix not in (None, chosen):
        raise UsageError(f"--format={form} contradicts {output}, whose suffix says {by_suffix}: change one of them.")
    if int8 and chosen != "onnx":
        raise UsageError(f"--int8 has no meaning for {output}, a file of jax.export: name an .onnx file.")
    return chosen


def check_onnx_file(path: Path) -> None:
    """Refuse a path that is no file, or one of another kind by its suffix.

    Raises:
      UserError: it is so.
    """
    if not path.is_file():
        raise UserError(f"{path} is not there: name an ONNX file of dms-jax export.")
    if _SUFFIXES.get(path.suffix) == "jax":
        raise UserError(f"{path} is a file of jax.export: name an ONNX file of dms-jax export.")
