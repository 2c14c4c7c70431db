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


# A network and a backbone that are not the project's.
MINE = """
import flax.linen as nn
import jax.numpy as jnp

from dms_jax.models import SaliencyOutput


class Network(nn.Module):
    num_classes: int
    dtype: type = jnp.float32
    axis_name: str | None = None
    num_outputs = 1
    has_class_heads = False

    @nn.compact
    def __call__(self, images, *, train):
        return SaliencyOutput((nn.Conv(1, (3, 3))(images),), (), {})

    def for_prediction(self):
        return self, lambda variables: variables


class Backbone(nn.Module):
    @nn.compact
    def __call__(self, images, *, train):
        strides = (4, 4, 8, 16, 32)
        return tuple(nn.Conv(8, (3, 3), stride, name=f"conv{i}")(images) for i, stride in enumerate(strides))
"""


def make_run(workdir: Path, config: Any, variables: Any) -> None:
    saved.save(config, workdir)
    describe(workdir)
    with Checkpoints(workdir) as checkpoints:
        # As training does, whose state has statistics even where a network has none.
        checkpoints.save_best(7, {"batch_stats": {}, **variables}, 0.5)


def describe(workdir: Path) -> None:
    names = tuple("abcdef"[:CLASSES])
    RunDescription(class_names=names, free_class="a", framing=Framing(), dataset="absent").save(workdir)


def init(model: Any) -> Any:
    return jax.jit(lambda: model.init(jax.random.key(0), jnp.zeros((1, 64, 64, 3)), train=False))()


# Without concatenation there is nothing to reduce.
@pytest.mark.parametrize(
    ("ablation", "growth"), [(a, "concat") for a in ABLATIONS] + [(a, "reduce") for a in ("", "b", "c", "e")]
)
@pytest.mark.parametrize("network", NETWORKS)
def test_names_and_shapes_are_the_references(network: str, ablation: str, growth: str) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    model = NETWORKS[network](num_classes=CLASSES, ablation=ablation, feature_growth=growth)
    shapes = jax.eval_shape(lambda: init(model))
    zeros = jax.tree.map(lambda x: np.broadcast_to(np.float32(0), x.shape), dict(shapes))
    with torch.device("meta"):
        net = torch_peer.reference(CLASSES, network, ablation=ablation, feature_growth=growth)
    ours = {name: tensor.shape for name, tensor in to_tensors(zeros, network_rows(model)).items()}
    assert ours == {name: tuple(tensor.shape) for name, tensor in net.state_dict().items()}


@pytest.mark.parametrize(
    ("network", "ablation", "suffix"),
    [("bdms", "", ".pth"), ("sdms", "c", ".safetensors"), ("bdms", "baseline", ".safetensors")],
)
def test_the_reference_loads_what_was_exported_and_gives_the_same_outputs(
    network: str, ablation: str, suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")

    monkeypatch.setitem(SIZES, "full", {"stage_sizes": SHALLOW})
    torch.manual_seed(0)
    origin = torch_peer.reference(CLASSES, network, stage_sizes=SHALLOW, ablation=ablation)
    torch_peer.randomise(origin)
    variables = torch_peer.carry_over(origin)
    make_run(tmp_path, bdms.network_config(network, f"ablation={ablation}" if ablation else ""), variables)
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


def test_the_description_is_of_the_network_that_the_configuration_has(tmp_path: Path) -> None:
    config = bdms.get_config("size=small,recipe=scratch")
    config.model.class_pooling, config.model.ablation = "average", "a"
    config.model.schedule = ("HF", "LF", "reset MF")
    make_run(tmp_path, config, init(build.build_model(config, CLASSES)))
    output = tmp_path / "w.safetensors"
    assert main(["export-weights", "--workdir", str(tmp_path), "--output", str(output)]) == 0
    with safe_open(output, "np") as file:
        description = file.metadata()
    assert (description["class_pooling"], description["ablation"]) == ("average", "a")
    assert description["schedule"] == "HF, LF, reset MF"


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
        assert f"{tmp_path}/best/3 is damaged: bring back a copy, or train anew (" in sentence

    def test_a_run_of_an_earlier_version(self, tmp_path: Path, fails: Any) -> None:
        saved.save(bdms.get_config(), tmp_path)
        (tmp_path / "best" / "3" / "variables").mkdir(parents=True)
        assert "has no run.json" in fails("--workdir", tmp_path, "--output", tmp_path / "w.pth")

    @pytest.mark.parametrize("field", ["network", "backbone"])
    def test_code_of_the_users_own(self, field: str, tmp_path: Path, fails: Any) -> None:
        (tmp_path / "mine.py").write_text(MINE)
        config = bdms.get_config("size=small")
        config.model[field] = f"{tmp_path}/mine.py:{field.title()}"
        if field == "network":
            config.model.size = "full"
        make_run(tmp_path, config, init(build.build_model(config, CLASSES)))
        sentence = fails("--workdir", tmp_path, "--output", tmp_path / "w.safetensors")
        assert f"config.model.{field}={tmp_path}/mine.py:{field.title()} has no names in PyTorch" in sentence
