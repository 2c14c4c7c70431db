"""The SLURM script, the Kubeflow manifest and their page: what they name is there. To run them takes a cluster."""

import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import jax._src.clusters
import jax._src.distributed
import pytest
import yaml

from dms_jax.runs.config.flags import parse

ROOT = Path(__file__).parents[1]
SLURM = ROOT / "deploy" / "slurm.sh"
MANIFEST = ROOT / "deploy" / "trainjob.yaml"
PAGE = (ROOT / "docs" / "hosts.md").read_text()
# Of the manual pages of sbatch and srun.
SBATCH = {
    *("job-name", "nodes", "ntasks-per-node", "gpus-per-node", "cpus-per-task", "time", "signal", "requeue"),
    *("open-mode", "output"),
}
SRUN = {"kill-on-bad-exit", "label"}

pytestmark = pytest.mark.filterwarnings(
    # ml_collections reads configuration files in a way that Python will drop one day.
    r"ignore:the load_module\(\) method is deprecated:DeprecationWarning"
)


def test_the_slurm_script_runs_and_asks_for_what_slurm_knows() -> None:
    subprocess.run(["bash", "-n", str(SLURM)], check=True)
    text = SLURM.read_text()
    assert set(re.findall(r"^#SBATCH --([a-z-]+)", text, flags=re.MULTILINE)) == SBATCH
    (command,) = (line for line in text.splitlines() if line.startswith("srun "))
    before, after = command.split(" dms-jax train ")
    assert set(re.findall(r"--([a-z-]+)", before)) == SRUN
    arguments = after.replace("$config", "bdms:recipe=scratch").replace("$workdir", "runs/mine").replace('"${@:3}"', "")
    config, workdir = parse(["train", *shlex.split(arguments)], "quickstart")
    assert (config.data.balance, workdir) == (0.5, Path("runs/mine"))
    # Two nodes with eight GPUs each; and a task for each node, which has them all.
    assert config.batch_size % 16 == 0
    assert "--ntasks-per-node=1\n" in text


def test_the_slurm_script_runs_what_it_says(tmp_path: Path) -> None:
    stub = tmp_path / "srun"
    stub.write_text('#!/usr/bin/env bash\nprintf "%s\\n" "$@"\n')
    stub.chmod(0o755)
    command = ["bash", str(SLURM), "runs/a b", "bdms", "--config.seed=1"]
    done = subprocess.run(
        command, env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[2:] == [
        *("dms-jax", "train", "--config=bdms", "--workdir=runs/a b", "--config.seed=1"),
    ]
    failed = subprocess.run(command[:2], capture_output=True, text=True)
    assert failed.returncode == 1
    assert "name the work directory" in failed.stderr


@pytest.fixture
def documents() -> dict[str, dict[str, Any]]:
    return {document["kind"]: document for document in yaml.safe_load_all(MANIFEST.read_text())}


def test_the_manifest_trains_what_can_be_trained(documents: dict[str, dict[str, Any]]) -> None:
    trainer = documents["TrainJob"]["spec"]["trainer"]
    # Of Kubeflow's type `Trainer`.
    assert trainer.keys() <= {"image", "command", "args", "env", "numNodes", "resourcesPerNode", "numProcPerNode"}
    assert trainer["command"] == ["dms-jax", "train"]
    config, workdir = parse(["train", *trainer["args"]], "quickstart")
    assert config.batch_size % (trainer["numNodes"] * trainer["resourcesPerNode"]["limits"]["nvidia.com/gpu"]) == 0
    pod = pod_of(documents)
    (mount,) = pod["containers"][0]["volumeMounts"]
    assert workdir.is_relative_to(mount["mountPath"])


def pod_of(documents: dict[str, dict[str, Any]]) -> dict[str, Any]:
    (job,) = documents["TrainingRuntime"]["spec"]["template"]["spec"]["replicatedJobs"]
    return job["template"]["spec"]["template"]["spec"]


def test_the_manifests_parts_refer_to_each_other(documents: dict[str, dict[str, Any]]) -> None:
    reference = documents["TrainJob"]["spec"]["runtimeRef"]
    runtime = documents["TrainingRuntime"]
    assert runtime["apiVersion"] == documents["TrainJob"]["apiVersion"] == f"{reference['apiGroup']}/v1alpha1"
    assert (reference["kind"], reference["name"]) == ("TrainingRuntime", runtime["metadata"]["name"])
    # The policy that sets JAX_COORDINATOR_ADDRESS, and what it looks for: the step, and its container.
    assert "jax" in runtime["spec"]["mlPolicy"]
    (job,) = runtime["spec"]["template"]["spec"]["replicatedJobs"]
    assert job["name"] == "node"
    assert job["template"]["metadata"]["labels"]["trainer.kubeflow.org/trainjob-ancestor-step"] == "trainer"
    pod = pod_of(documents)
    assert [container["name"] for container in pod["containers"]] == ["node"]
    claim = documents["PersistentVolumeClaim"]
    assert pod["volumes"][0]["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    assert pod["volumes"][0]["name"] == pod["containers"][0]["volumeMounts"][0]["name"]
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    # Docker's image of this repository has its runs there.
    assert f"WORKDIR {Path(pod['containers'][0]['volumeMounts'][0]['mountPath']).parent}" in (
        (ROOT / "Dockerfile").read_text()
    )


def test_the_variables_on_the_page_are_read() -> None:
    sources = [ROOT / "dms_jax" / "runtime" / "cluster.py", Path(jax._src.distributed.__file__)]
    read = "".join(source.read_text() for source in sources)
    named = set(re.findall(r"\b(?:JAX|SLURM|JOB|OMPI)_[A-Z_]+\b", PAGE))
    assert len(named) >= 6
    assert all(name in read for name in named)


def test_what_the_page_links_to_is_there() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", PAGE)
    assert links
    assert all((ROOT / "docs" / link).exists() for link in links)
