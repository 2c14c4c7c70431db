"""Files whose readers do all that must not happen, by turns, to show that a trial sees it."""

import os
import time
from functools import partial
from pathlib import Path

from survival.damaged_samples import Maker, Sample

from dms_jax.errors import UserError

_WHOLE = bytes(64)


def _decoys(folder: Path) -> list[Sample]:
    samples = []
    for kind in ("decoded", "refused", "nameless", "traceback", "crash", "hang"):
        path = folder / kind
        path.write_bytes(_WHOLE)
        samples.append(Sample(path, partial(_read, path), str(path)))
    return samples


def _read(path: Path) -> None:
    if path.read_bytes() == _WHOLE or path.name == "decoded":
        return
    if path.name == "refused":
        raise UserError(f"{path} is damaged: replace it.")
    if path.name == "nameless":
        raise UserError("something is damaged: replace it.")
    if path.name == "traceback":
        raise RuntimeError("unexpected")
    if path.name == "crash":
        os.abort()
    time.sleep(60)


KINDS: dict[str, Maker] = {"decoys": _decoys}
