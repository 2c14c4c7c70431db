"""What has to be the same for all processes of a run, wherever they are: said in a sentence, instead of waited for."""

import json
import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
from ml_collections import ConfigDict

from dms_jax.errors import UserError
from dms_jax.runs.config.fields import flatten
from dms_jax.runtime.processes import Processes

# Where and how fast each reads its images is its own affair.
_OWN = ("data.data_dir", "data.manual_dir", "data.threads", "data.cache")
_TOKEN_NAME = ".shared"
# As long as network file systems may remember that a file was not there.
_SECONDS_UNTIL_SEEN = 60


def check_alike(config: ConfigDict, processes: Processes) -> None:
    """Refuse processes that were started with other configurations, or have other numbers of devices.

    Raises:
      UserError: in every process, if one differs.
    """
    # As texts: what is not a number is unlike itself.
    fields = {name: json.dumps(value) for name, value in flatten(config).items() if name not in _OWN}
    first, *rest = [json.loads(text) for text in processes.exchange(json.dumps(fields))]
    for number, other in enumerate(rest, start=1):
        differing = [name for name in first.keys() | other.keys() if first.get(name) != other.get(name)]
        if differing:
            raise UserError(
                f"process {number} was started with another config.{min(differing)} than process 0: start all with the "
                "same command."
            )
    devices = processes.exchange(str(jax.local_device_count()))
    if len(set(devices)) > 1:
        raise UserError(f"the processes have {', '.join(devices)} devices: give each of them as many as the others.")


def check_same_images(images: Mapping[str, str], processes: Processes) -> None:
    """Refuse processes that read other datasets.

    Args:
      images: hashes by split; see `dms_jax.runs.dataset.digests`.
      processes: that train together.

    Raises:
      UserError: in every process, if one differs.
    """
    for number, others in enumerate(found := processes.exchange(json.dumps(dict(images), sort_keys=True))):
        if others != found[0]:
            raise UserError(
                f"process {number} has other images than process 0: give every host the same files, in "
                "config.data.manual_dir or config.data.data_dir."
            )


def agreed_results(results: dict[str, Any] | None, workdir: Path, processes: Processes) -> dict[str, Any] | None:
    """The results of a finished run, if all processes find the run finished; None if none does.

    Raises:
      UserError: in every process, if some do.
    """
    finished = processes.exchange("finished" if results is not None else "")
    for number, answer in enumerate(finished):
        if answer != finished[0]:
            raise _not_shared(number, workdir)
    return results


def check_shared(workdir: Path, processes: Processes) -> None:
    """Refuse a work directory that is another one on another host: checkpoints are written and read by all.

    Args:
      workdir: exists for the first process.
      processes: that train together.

    Raises:
      UserError: in every process, if one does not see what the first one writes.
    """
    if processes.count == 1:
        return
    path = workdir / _TOKEN_NAME
    token = secrets.token_hex(8)
    with processes.telling_failures():
        if processes.index == 0:
            path.write_text(token)
    token = processes.exchange(token)[0]
    seen = processes.exchange("seen" if processes.index == 0 or _appears(path, token) else "")
    if processes.index == 0:
        path.unlink(missing_ok=True)
    for number, answer in enumerate(seen):
        if not answer:
            raise _not_shared(number, workdir)


def _appears(path: Path, token: str) -> bool:
    until = time.monotonic() + _SECONDS_UNTIL_SEEN
    while time.monotonic() < until:
        if path.exists() and path.read_text() == token:
            return True
        time.sleep(0.1)
    return False


def _not_shared(number: int, workdir: Path) -> UserError:
    return UserError(
        f"process {number} does not see what process 0 wrote to {workdir}: choose a --workdir on storage that all "
        "hosts share."
    )
