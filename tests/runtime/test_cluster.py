"""Which environments are those of several processes. What each launcher sets is in its documentation."""

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from dms_jax.errors import UserError
from dms_jax.runtime.cluster import Cluster, find_cluster

SLURM = {
    "SLURM_JOB_ID": "7",
    "SLURM_STEP_NODELIST": "node[01-04]",
    "SLURM_NTASKS": "4",
    "SLURM_PROCID": "2",
    "SLURM_LOCALID": "0",
    "SLURM_STEP_NUM_TASKS": "4",
    "SLURM_STEP_TASKS_PER_NODE": "1(x4)",
}
OPEN_MPI = {
    "OMPI_COMM_WORLD_SIZE": "4",
    "OMPI_COMM_WORLD_RANK": "3",
    "OMPI_COMM_WORLD_LOCAL_RANK": "1",
    "OMPI_COMM_WORLD_LOCAL_SIZE": "2",
    "OMPI_MCA_orte_hnp_uri": "1531576320.0;tcp://10.96.0.1:34911",
}
POD = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "HOSTNAME": "train-0"}
KUBEFLOW = {
    **POD,
    "JOB_COMPLETION_INDEX": "1",
    "JAX_COORDINATOR_ADDRESS": "job-node-0-0.job:6666",
    "JAX_COORDINATOR_PORT": "6666",
    "JAX_NUM_PROCESSES": "2",
    "JAX_PROCESS_ID": "1",
    "JAX_DISTRIBUTED_BACKEND": "gloo",
}


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        (SLURM, Cluster("SLURM", None, 4, 2, 0, 1)),
        ({**SLURM, "SLURM_STEP_TASKS_PER_NODE": "2(x2)"}, Cluster("SLURM", None, 4, 2, 0)),
        ({**SLURM, "SLURM_STEP_TASKS_PER_NODE": "1,3"}, Cluster("SLURM", None, 4, 2, 0)),
        (OPEN_MPI, Cluster("Open MPI", None, 4, 3, 1, 2)),
        (KUBEFLOW, Cluster("environment variables", "job-node-0-0.job:6666", 2, 1)),
        ({**SLURM, "JAX_COORDINATOR_ADDRESS": "node01:1234"}, Cluster("SLURM", "node01:1234", 4, 2, 0, 1)),
        (
            {"JAX_COORDINATOR_ADDRESS": "[::1]:1234", "JAX_NUM_PROCESSES": "2", "JAX_PROCESS_ID": "0"},
            Cluster("environment variables", "[::1]:1234", 2, 0),
        ),
        # An indexed job without Kubeflow, whose manifest names the address and the number.
        (
            {**POD, "JOB_COMPLETION_INDEX": "1", "JAX_COORDINATOR_ADDRESS": "job-0.job:1", "JAX_NUM_PROCESSES": "3"},
            Cluster("environment variables", "job-0.job:1", 3, 1),
        ),
    ],
)
def test_several_processes(environment: dict[str, str], expected: Cluster) -> None:
    assert find_cluster(environment) == expected


@pytest.mark.parametrize(
    "environment",
    [
        {},
        POD,
        {**POD, "JOB_COMPLETION_INDEX": "0"},
        {**SLURM, "SLURM_STEP_NUM_TASKS": "1"},  # a shell within an allocation of four tasks
        {**SLURM, "SLURM_NTASKS": "1", "SLURM_STEP_NUM_TASKS": "1"},
        {name: value for name, value in SLURM.items() if "STEP" not in name},  # a batch script itself
        {**OPEN_MPI, "OMPI_COMM_WORLD_SIZE": "1"},
        {**KUBEFLOW, "JAX_NUM_PROCESSES": "1", "JAX_PROCESS_ID": "0"},
        {**SLURM, "JAX_NUM_PROCESSES": "1"},  # said so
        {"JAX_COORDINATOR_ADDRESS": ""},
    ],
)
def test_one_process_alone(environment: dict[str, str]) -> None:
    assert find_cluster(environment) is None


def test_kubernetes_is_asked_where_it_can_be() -> None:
    environment = {**POD, "JOB_COMPLETION_INDEX": "0"}
    assert find_cluster(environment, asks_kubernetes=True) == Cluster("Kubernetes", on_this_host=1)
    assert find_cluster(POD, asks_kubernetes=True) is None


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"JAX_COORDINATOR_ADDRESS": "a:1"}, "JAX_NUM_PROCESSES is missing beside JAX_COORDINATOR_ADDRESS: set it, or"),
        ({"JAX_COORDINATOR_ADDRESS": "a:1", "JAX_NUM_PROCESSES": "2"}, "JAX_PROCESS_ID is missing"),
        ({"JAX_NUM_PROCESSES": "2", "JAX_PROCESS_ID": "1"}, "JAX_COORDINATOR_ADDRESS is missing: set it to HOST:PORT"),
        ({**KUBEFLOW, "JAX_PROCESS_ID": "2"}, "JAX_PROCESS_ID=2 is not one of 2 processes: number them from 0 to 1"),
        ({**KUBEFLOW, "JAX_NUM_PROCESSES": "two"}, "JAX_NUM_PROCESSES=two must be a whole number, at least 1"),
        ({**KUBEFLOW, "JAX_PROCESS_ID": "-1"}, "JAX_PROCESS_ID=-1 must be a whole number, at least 0"),
        ({**KUBEFLOW, "JAX_COORDINATOR_ADDRESS": "host"}, "JAX_COORDINATOR_ADDRESS=host names no port"),
        (
            {name: value for name, value in OPEN_MPI.items() if "hnp" not in name},
            "Open MPI 5 does not say where its first process is: set JAX_COORDINATOR_ADDRESS",
        ),
    ],
)
def test_what_does_not_fit_together_is_named(environment: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        find_cluster(environment)


JOIN = """
import os, sys
from dms_jax.runtime.cluster import find_cluster, join
join(find_cluster(os.environ), timeout=int(sys.argv[1]))
import jax
print(jax.process_index(), jax.process_count(), jax.config._read("jax_cuda_visible_devices"))
jax.distributed.shutdown()
"""


def start(environment: dict[str, str], *, timeout: int) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", JOIN, str(timeout)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(
    ("per_node", "visible", "expected"),
    [
        ("1(x2)", "", ["0 2 all", "1 2 all"]),  # each has a node for itself
        ("2", "", ["0 2 0", "1 2 1"]),
        ("2", "3", ["0 2 all", "1 2 all"]),  # as with --gpus-per-task=1
    ],
)
def test_tasks_of_slurm_meet_and_have_their_devices(per_node: str, visible: str, expected: list[str]) -> None:
    job = {**SLURM, "SLURM_JOB_ID": str(random.randrange(10**6)), "SLURM_STEP_NODELIST": "localhost"}
    job |= {"SLURM_NTASKS": "2", "SLURM_STEP_NUM_TASKS": "2", "SLURM_STEP_TASKS_PER_NODE": per_node}
    job |= {"CUDA_VISIBLE_DEVICES": visible}
    tasks = [start({**job, "SLURM_PROCID": n, "SLURM_LOCALID": n}, timeout=120) for n in ("0", "1")]
    said = [task.communicate(timeout=200) for task in tasks]
    assert [out.splitlines()[-1:] for out, _ in said] == [[line] for line in expected], said


def test_who_waits_in_vain_says_so_in_time() -> None:
    alone = {"JAX_COORDINATOR_ADDRESS": "127.0.0.1:9", "JAX_NUM_PROCESSES": "2", "JAX_PROCESS_ID": "1"}
    process = start(alone, timeout=2)
    _, error = process.communicate(timeout=100)
    assert process.returncode == 1
    *_, sentence = error.splitlines()
    assert "all 2 processes have not met at 127.0.0.1:9 in 2 s: see that each of them is started and" in sentence
    assert "Traceback" not in error
