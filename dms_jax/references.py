"""Code of the user's own that a configuration names: `MODULE:NAME`, or `FILE.py:NAME`.

A name, and not the thing itself: it is kept in the run's `config.json`, from which the run is opened again.
"""

import hashlib
import importlib
import importlib.util
import sys
from pathlib import Path
from typing import Any

from dms_jax.errors import UsageError

# Ends a sentence on what a field may be.
OR_YOUR_OWN = "or your own as MODULE:NAME or FILE.py:NAME"


def is_reference(text: str) -> bool:
    """Whether a field's value names code of the user's own, rather than something that comes with the project."""
    return ":" in text


def absolute(text: str) -> str:
    """The same reference from any folder: a file's path is made absolute."""
    source, _, name = text.rpartition(":")
    return f"{Path(source).expanduser().absolute()}:{name}" if source.endswith(".py") else text


def resolve(field: str, text: str) -> Any:
    """What a reference names.

    Args:
      field: where it stands, for the messages, such as `config.model.network`.
      text: `MODULE:NAME`, the module being importable, or `FILE.py:NAME`.

    Raises:
      UsageError: it is no reference, or the module or the file cannot be had, or has no such name.
    """
    if not is_reference(text):
        raise UsageError(f"{field}={text} names no code of your own: write MODULE:NAME or FILE.py:NAME.")
    source, _, name = text.rpartition(":")
    try:
        module = _load_file(Path(source)) if source.endswith(".py") else importlib.import_module(source)
    except Exception as error:  # It is code, which can fail in any way.
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise UsageError(f"{field}={text}: {source} cannot be imported ({reason}): name a module or a file.") from error
    if not hasattr(module, name):
        raise UsageError(f"{field}={text}: {source} has no {name}: name something that it defines.")
    return getattr(module, name)


def _load_file(path: Path) -> Any:
    path = path.expanduser().absolute()
    # As a module of its own name, so that what it defines can be pickled, and is the same each time it is asked for.
    name = f"dms_jax_user_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:16]}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        # A file that is called *.py has a loader, whether it exists or not.
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
    return sys.modules[name]
