"""`dms-jax export-weights`: a PyTorch network, written independently, loads a run's weights and computes the same."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch_peer
from safetensors import safe_open
from safetensors.numpy import load_file

from configs import bdms
from dms_jax.checkpoints.manager import Checkpoints
from dms_jax.cli import main
from dms_jax.data.framing import Framing
from dms_jax.interop.torch_names import network_rows
from dms_jax.interop.torch_weights import to_tensors
from dms_jax.models.dms import ABLATIONS, NETWORKS, SIZES
from dms_jax.runs.config import build, saved
from dms_jax.runs.description import RunDescription

SHALLOW = (1, 1, 1, 1)
CLASSES = 6
STEPS = {"sdms": 3, "bdms": 6}


def make_run(workdir: Path, network: str, ablation: str, variables: Any) -> None:
    config = bdms.network_config(network, f"ablation={ablation}" if ablation else "")
    saved.save(config, workdir)
    describe(workdir)
    with Checkpoints(workdir) as checkpoints:
        checkpoints.save_best(7, variables, 0.5)


def describe(workdir: Path) -> None:
    names = tuple("abcdef"[:CLASSES])
    RunDescription(class_names=names, free_class="a", framing=Framing(), dataset="absent").save(workdir)


# Without concatenation there is nothing to reduce: the reference knows the growth of the other ablations only.
@pytest.mark.parametrize(
    ("ablation", "growth"), [(a, "concat") for a in ABLATIONS] + [(a, "reduce") for a in ("", "b", "c", "e")]
)
@pytest.mark.parametrize("network", NETWORKS)
def test_names_and_shapes_are_the_peers(network: str, ablation: str, growth: str) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    model = NETWORKS[network](num_classes=CLASSES, ablation=ablation, feature_growth=growth)
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), jnp.zeros((1, 64, 64, 3)), train=False))
    zeros = jax.tree.map(lambda x: np.broadcast_to(np.float32(0), x.shape), dict(shapes))
    with torch.device("meta"):
        net = torch_peer.reference(CLASSES, network, ablation=ablation, feature_growth=growth)
    ours = {name: tensor.shape for name, tensor in to_tensors(zeros, network_rows(model)).items()}
    assert ours == {name: tuple(tensor.shape) for name, tensor in net.state_dict().items()}


@pytest.mark.parametrize(
    ("network", "ablation", "suffix"),
    [("bdms", "", ".pth"), ("sdms", "c", ".safetensors"), ("bdms", "baseline", ".safetensors")],
)
def test_the_peer_loads_what_was_exported_and_gives_the_same_outputs(
    network: str, ablation: str, suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")

    monkeypatch.setitem(SIZES, "full", {"stage_sizes": SHALLOW})
    torch.manual_seed(0)
    origin = torch_peer.reference(CLASSES, network, stage_sizes=SHALLOW, ablation=ablation)
    torch_peer.randomise(origin)
    variables = torch_peer.carry_over(origin, STEPS[network], SHALLOW, ablation)
    make_run(tmp_path, network, ablation, variables)
    output = tmp_path / "new" / f"weights{suffix}"
    assert main(["export-weights", "--workdir", str(tmp_path), "--output", str(output), "--format", "torch"]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert f"{output}: {len(origin.state_dict())} tensors of step 7" in printed.out
    if suffix == ".pth":
        tensors = torch.load(output, weights_only=True)
    else:
        tensors = {name: torch.from_numpy(tensor) for name, tensor in load_file(output).items()}
        with safe_open(output, "np") as file:
            assert file.metadata()["ablation"] == ablation
    net = torch_peer.reference(CLASSES, network, stage_sizes=SHALLOW, ablation=ablation)
    net.load_state_dict(tensors, strict=True)
    for name, tensor in net.state_dict().items():
        counts = name.endswith("num_batches_tracked")
        assert int(tensor) == 7 if counts else torch.equal(tensor, origin.state_dict()[name]), name

    images = np.random.default_rng(0).standard_normal((1, 65, 97, 3), np.float32)
    with torch.no_grad():
        saliency, classes = net.eval()(torch.from_numpy(images.transpose(0, 3, 1, 2).copy()))
    model = build.build_model(saved.load_run(tmp_path), CLASSES)
    ours = jax.jit(lambda variables, images: model.apply(variables, images, train=False))(variables, images)
    theirs = [x.numpy().transpose(0, 2, 3, 1) for x in saliency] + [x.numpy() for x in classes]
    for a, b in zip([*ours.saliency, *ours.classes], theirs, strict=True):
        assert np.abs(a - b).max() / np.abs(b).max() < 1e-4


class TestFailures:
    @pytest.fixture
    def fails(self, capsys: pytest.CaptureFixture[str]) -> Any:
        def run(*arguments: Any, exit_code: int = 1) -> str:
            assert main(["export-weights", *map(str, arguments)]) == exit_code
            printed = capsys.readouterr()
            assert printed.out == ""
            [sentence] = printed.err.splitlines()
            return sentence

        return run

    def test_no_run(self, tmp_path: Path, fails: Any) -> None:
        assert "holds no run" in fails("--workdir", tmp_path / "absent", "--output", tmp_path / "w.pth")

    def test_no_best_checkpoint(self, tmp_path: Path, fails: Any) -> None:
        saved.save(bdms.get_config(), tmp_path)
        assert "has no best checkpoint" in fails("--workdir", tmp_path, "--output", tmp_path / "w.pth")

    def test_a_name_that_does_not_say_the_kind(self, tmp_path: Path, fails: Any) -> None:
        sentence = fails("--workdir", tmp_path, "--output", tmp_path / "w.onnx", exit_code=2)
        assert "must end in .pth, .pt or .safetensors" in sentence

    def test_a_damaged_checkpoint(self, tmp_path: Path, fails: Any) -> None:
        saved.save(bdms.get_config(), tmp_path)
        describe(tmp_path)
        (tmp_path / "best" / "3" / "variables").mkdir(parents=True)
        sentence = fails("--workdir", tmp_path, "--output", tmp_path / "w.pth")
        assert "is damaged" in sentence
