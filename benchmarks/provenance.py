"""What a result was made with: the code, the device and the versions."""

import re
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

from dms_jax.version import __version__

_DEVICES = re.compile(r"^(\d+) device\(s\): (.+)$", re.MULTILINE)


def commit_of(root: Path) -> str | None:
    """The commit that is checked out in a folder, with -dirty where tracked files differ from it.

    None where the folder is no checkout of its own, or there is no git.
    """
    try:
        if Path(_git(root, "rev-parse", "--show-toplevel")).resolve() != root.resolve():
            return None
        changes = _git(root, "status", "--porcelain", "--untracked-files=no")
        return _git(root, "rev-parse", "HEAD") + ("-dirty" if changes else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def _git(root: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", "-C", str(root), *arguments], check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ).stdout.strip()


def card_in(log: str) -> dict[str, Any] | None:
    """The `kind` and `count` of the devices that a run says it computes on, the last time it does; None if never.

    Asking JAX here would take memory of the GPUs that runs train on.
    """
    found = _DEVICES.findall(log)
    return {"kind": found[-1][1], "count": int(found[-1][0])} if found else None


def versions() -> dict[str, str]:
    """Of `dms_jax` and `jax`, in this interpreter."""
    return {"dms_jax": __version__, "jax": version("jax")}
