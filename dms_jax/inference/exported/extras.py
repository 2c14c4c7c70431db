"""What exported files need besides what is installed in any case."""

from importlib.util import find_spec

from dms_jax.errors import UserError

# Of each extra of pyproject.toml, the packages that are imported.
_PACKAGES = {"export": ("flatbuffers",), "onnx": ("onnx", "onnxruntime")}


def is_installed(extra: str) -> bool:
    """Whether all of an extra's packages can be imported: "export" or "onnx"."""
    return not _absent(extra)


def check_installed(extra: str, what: str) -> None:
    """Refuse what needs an extra that is not installed.

    Args:
      extra: "export" or "onnx".
      what: needs it; the beginning of a sentence, in the plural.

    Raises:
      UserError: a package is absent.
    """
    for package in _absent(extra):
        raise UserError(f"{what} need the package {package}, which is not installed: pip install 'dms-jax[{extra}]'.")


def _absent(extra: str) -> list[str]:
    return [package for package in _PACKAGES[extra] if find_spec(package) is None]
