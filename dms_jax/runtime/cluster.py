"""Whether this process is one of several that train together, as the environment says, and how it joins the others."""

import os
import signal
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import jax

from dms_jax.errors import UserError, first_words

_ADDRESS, _COUNT, _NUMBER = "JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID"
_HEARTBEAT_TIMEOUT = 300
_TIME_TO_SPEAK = 60
_ALONE = f"or {_COUNT}=1 for one process alone"


@dataclass(frozen=True)
class Cluster:
    """The place of this process among several.

    Attributes:
      launcher: what started them, for messages.
      address: HOST:PORT of the first process; None where JAX is to ask the launcher.
      count: how many processes there are; None where JAX is to ask the launcher.
      number: this one's, from 0 on; None where JAX is to ask the launcher.
      local_number: this one's among those on its host; None where that is not known.
      on_this_host: how many of them are on this host; None where that is not known.
    """

    launcher: str
    address: str | None = None
    count: int | None = None
    number: int | None = None
    local_number: int | None = None
    on_this_host: int | None = None


def find_cluster(environment: Mapping[str, str], *, asks_kubernetes: bool = False) -> Cluster | None:
    """The cluster that the environment variables describe; None for one process alone.

    What JAX would wait for in vain is left out here: the other tasks of an allocation whose step has one, or those of
    a pod that is none of several.

    Args:
      environment: such as `os.environ`.
      asks_kubernetes: JAX can ask Kubernetes (it has the package `kubernetes`).

    Raises:
      UserError: the variables contradict each other, or one is missing.
    """
    count, number, address = (environment.get(name) or None for name in (_COUNT, _NUMBER, _ADDRESS))
    if count is not None and _integer(_COUNT, count, least=1) == 1:
        return None
    found = _slurm(environment) or _open_mpi(environment) or _kubernetes(environment, asks=asks_kubernetes)
    if count is None and number is None and address is None:
        if found is not None and found.launcher == "Open MPI" and not environment.get("OMPI_MCA_orte_hnp_uri"):
            raise UserError(
                f"Open MPI 5 does not say where its first process is: set {_ADDRESS}=HOST:PORT to that one's host and "
                f"a free port there, {_ALONE}."
            )
        return found
    found = found or Cluster("environment variables")
    total = found.count if count is None else _integer(_COUNT, count, least=1)
    own = found.number if number is None else _integer(_NUMBER, number, least=0)
    if own is None and "JOB_COMPLETION_INDEX" in environment:
        own = _integer("JOB_COMPLETION_INDEX", environment["JOB_COMPLETION_INDEX"], least=0)
    if address is None and found.launcher in ("environment variables", "Kubernetes"):
        raise UserError(f"{_ADDRESS} is missing: set it to HOST:PORT of process 0, {_ALONE}.")
    for name, value in ((_COUNT, total), (_NUMBER, own)):
        if value is None:
            raise UserError(f"{name} is missing beside {_ADDRESS}: set it, {_ALONE}.")
    assert total is not None
    assert own is not None
    if own >= total:
        raise UserError(f"{_NUMBER}={own} is not one of {total} processes: number them from 0 to {total - 1}.")
    if address is not None and not address.rpartition(":")[2].isdecimal():
        raise UserError(f"{_ADDRESS}={address} names no port: set it to HOST:PORT of process 0.")
    return replace(found, address=address, count=total, number=own)


def join(cluster: Cluster, *, program: str = "train.py", timeout: int = 300) -> None:
    """Wait for the other processes, and make JAX's devices those of all; before anything else uses JAX.

    A process has all of its host's devices, unless there are several on the host and the launcher has not already
    given each its own. `JAX_LOCAL_DEVICE_IDS` overrides both.

    Args:
      cluster: see `find_cluster`.
      program: what the user calls it, for messages.
      timeout: seconds to wait for them; then this process ends with a sentence, and 1.

    Raises:
      UserError: they cannot be joined.
    """
    where = f" at {cluster.address}" if cluster.address else ""
    others = "the other processes" if cluster.count is None else f"all {cluster.count} processes"
    fix = f"see that each of them is started and reaches the first one, or set {_COUNT}=1 for one process alone."

    def give_up() -> None:
        print(f"{program}: {cluster.launcher}: {others} have not met{where} in {timeout} s: {fix}", file=sys.stderr)
        os._exit(1)

    # JAX ends the process too, later, with a stack trace instead of an error.
    waiting = threading.Timer(timeout, give_up)
    waiting.daemon = True
    has_own_devices = bool(os.environ.get("JAX_LOCAL_DEVICE_IDS")) or _has_own_devices(cluster, os.environ)
    # That one is dead, `dms_jax.runtime.processes` notices earlier, and says so in a sentence; JAX's own end is a stack
    # trace. (It counts from the last of beats that come every half of this time: it may come after half of it.)
    patience: dict[str, Any] = {
        "initialization_timeout": timeout + _TIME_TO_SPEAK,
        "heartbeat_timeout_seconds": _HEARTBEAT_TIMEOUT,
    }
    waiting.start()
    try:
        if cluster.address is not None:
            # JAX need not look for a launcher, and warn that it lacks what it would ask Kubernetes with.
            jax.distributed.initialize(
                cluster.address,
                cluster.count,
                cluster.number,
                None if has_own_devices else cluster.local_number,
                cluster_detection_method="deactivate",
                **patience,
            )
        else:
            jax.distributed.initialize(None, cluster.count, cluster.number, **patience)
    except (RuntimeError, ValueError, OSError) as error:  # JAX's errors are RuntimeErrors
        raise UserError(
            f"{cluster.launcher}: {others} could not be joined{where} ({first_words(error)}): {fix}"
        ) from error
    finally:
        waiting.cancel()
    if has_own_devices and not os.environ.get("JAX_LOCAL_DEVICE_IDS"):
        # Under SLURM and Open MPI, JAX takes the device with the process's number on its host, and only that.
        for option in ("jax_cuda_visible_devices", "jax_rocm_visible_devices"):
            jax.config.update(option, "all")
    # JAX has taken it as a notice of preemption. Here, it ends what has not begun, and stops a run between two steps.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _has_own_devices(cluster: Cluster, environment: Mapping[str, str]) -> bool:
    visible = environment.get("CUDA_VISIBLE_DEVICES", "")
    return cluster.local_number is None or cluster.on_this_host == 1 or (visible != "" and "," not in visible)


def _slurm(environment: Mapping[str, str]) -> Cluster | None:
    names = ("SLURM_JOB_ID", "SLURM_STEP_NODELIST", "SLURM_NTASKS", "SLURM_PROCID", "SLURM_LOCALID")
    if any(name not in environment for name in names):
        return None
    # Of the step: in a shell within an allocation, SLURM_NTASKS is the allocation's, and nobody else is there.
    name = "SLURM_STEP_NUM_TASKS" if "SLURM_STEP_NUM_TASKS" in environment else "SLURM_NTASKS"
    count = _integer(name, environment[name], least=1)
    if count == 1:
        return None
    per_node = environment.get("SLURM_STEP_TASKS_PER_NODE", "")
    return Cluster(
        "SLURM",
        count=count,
        number=_integer("SLURM_PROCID", environment["SLURM_PROCID"], least=0),
        local_number=_integer("SLURM_LOCALID", environment["SLURM_LOCALID"], least=0),
        # "1(x4)" is one on each of four nodes.
        on_this_host=1 if per_node.partition("(")[0] == "1" and "," not in per_node else None,
    )


def _open_mpi(environment: Mapping[str, str]) -> Cluster | None:
    names = tuple(f"OMPI_COMM_WORLD_{part}" for part in ("SIZE", "RANK", "LOCAL_RANK", "LOCAL_SIZE"))
    if any(name not in environment for name in names):
        return None
    count, number, local, here = (_integer(name, environment[name], least=0) for name in names)
    return None if count == 1 else Cluster("Open MPI", None, count, number, local, here)


def _kubernetes(environment: Mapping[str, str], *, asks: bool) -> Cluster | None:
    # A pod of an indexed job: how many there are, only Kubernetes knows.
    is_indexed = "KUBERNETES_SERVICE_HOST" in environment and "JOB_COMPLETION_INDEX" in environment
    return Cluster("Kubernetes", on_this_host=1) if is_indexed and asks else None


def _integer(name: str, text: str, *, least: int) -> int:
    try:
        value = int(text)
    except ValueError:
        value = least - 1
    if value < least:
        raise UserError(f"{name}={text} must be a whole number, at least {least}: correct it.")
    return value
