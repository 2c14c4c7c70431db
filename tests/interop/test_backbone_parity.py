"""Backbones of every format: PyTorch networks against what `dms-jax import-weights` makes of their weights."""

from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

pytest.importorskip("torch", reason="PyTorch is not installed")

import torch
import torch_peer
from safetensors.torch import save_file
from torch_backbones import feature_maps, random_network, randomise, torchvision_network

from dms_jax.checkpoints.backbone import read_backbone, read_description
from dms_jax.cli import main
from dms_jax.models.compute import Compute
from dms_jax.models.resnext import BACKBONES, ResNeXt

TOLERANCE = 1e-4
SHALLOW = (2, 1, 2, 1)
MAPS = ("L0", "L1", "L2", "L3", "L4")
every_origin = pytest.mark.parametrize("origin", ["torchvision", "lua"])
every_library = pytest.mark.parametrize("library", ["torchvision", "timm"])
every_backbone = pytest.mark.parametrize("name", BACKBONES)


def imported(network: Any, source: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Save a network's state dict, import the file, and give the architecture that was found and the variables."""
    tensors = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    save_file(tensors, source) if source.suffix == ".safetensors" else torch.save(tensors, source)
    folder = source.parent / "imported"
    assert main(["import-weights", "--source", str(source), "--output", str(folder)]) == 0
    return dict(read_description(folder).architecture), read_backbone(folder)


def compare(
    network: Any,
    architecture: dict[str, Any],
    variables: Any,
    *,
    train: bool,
    batch: int = 4,
    size: tuple[int, int] = (65, 97),
    double: bool = False,
) -> None:
    """All five maps, in evaluation or of a training batch."""
    dtype = np.float64 if double else np.float32
    images = np.random.default_rng(0).standard_normal((batch, *size, 3), np.float32).astype(dtype)
    theirs = feature_maps(network.double() if double else network, images, train=train)
    with jax.enable_x64(double):
        model = ResNeXt(**architecture, compute=Compute(dtype))

        @jax.jit
        def apply(variables: Any, images: Any) -> Any:
            maps = model.apply(variables, images, train=train, mutable=["batch_stats"] if train else False)
            return maps[0] if train else maps

        ours = [np.asarray(x) for x in apply(variables, images)]
    assert [x.shape for x in ours] == [x.shape for x in theirs]
    errors = {name: float(np.abs(a - b).max() / np.abs(b).max()) for name, a, b in zip(MAPS, ours, theirs, strict=True)}
    shown = ", ".join(f"{name} {error:.1e}" for name, error in errors.items())
    print(f"parity: {architecture} {'train' if train else 'eval'} {dtype.__name__}: {shown}")
    assert max(errors.values()) < TOLERANCE


@pytest.mark.parametrize("train", [False, True], ids=["eval", "train"])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@every_origin
def test_both_names_in_both_files(origin: str, suffix: str, train: bool, tmp_path: Path) -> None:
    network = random_network(origin, SHALLOW, 32, 4)
    architecture, variables = imported(network, tmp_path / f"{origin}{suffix}")
    assert architecture == {"stage_sizes": SHALLOW, "groups": 32, "width_per_group": 4, "base_channels": 64}
    compare(network, architecture, variables, train=train)


@pytest.mark.parametrize("train", [False, True], ids=["eval", "train"])
@pytest.mark.parametrize(("groups", "width_per_group"), [(32, 8), (64, 4), (1, 64)])
def test_other_widths(groups: int, width_per_group: int, train: bool, tmp_path: Path) -> None:
    network = random_network("torchvision", (1, 1, 1, 1), groups, width_per_group)
    architecture, variables = imported(network, tmp_path / "weights.safetensors")
    assert (architecture["groups"], architecture["width_per_group"]) == (groups, width_per_group)
    compare(network, architecture, variables, train=train)


@pytest.mark.parametrize(
    ("origin", "name"),
    [*(("torchvision", name) for name in BACKBONES), ("lua", "resnext101_32x4d"), ("lua", "resnext101_64x4d")],
)
@pytest.mark.full
def test_whole_backbones(origin: str, name: str, tmp_path: Path) -> None:
    fields = BACKBONES[name]
    network = random_network(origin, fields["stage_sizes"], fields["groups"], fields["width_per_group"])
    architecture, variables = imported(network, tmp_path / f"{origin}.pth")
    assert architecture == fields
    for train in (False, True):
        compare(network, architecture, variables, train=train, size=(161, 193))


@pytest.mark.full
def test_the_papers_backbone_with_large_scales_on_a_training_batch(tmp_path: Path) -> None:
    # In float64: see `torch_backbones.randomise`.
    network = torchvision_network((3, 4, 23, 3), 32, 4)
    torch_peer.randomise(network)
    compare(network, *imported(network, tmp_path / "weights.pth"), train=True, size=(161, 193), double=True)


@pytest.mark.full
@every_backbone
@every_library
def test_the_libraries_own(library: str, name: str, tmp_path: Path) -> None:
    network = from_library(library, name)
    randomise(network)
    architecture, variables = imported(network, tmp_path / f"{library}.pth")
    assert architecture == BACKBONES[name]
    for train in (False, True):
        compare(network, architecture, variables, train=train, size=(161, 193))


@every_backbone
@every_library
def test_the_libraries_names_are_those_of_the_networks_here(library: str, name: str) -> None:
    theirs = from_library(library, name, device="meta").state_dict()
    fields = BACKBONES[name]
    with torch.device("meta"):
        ours = torchvision_network(fields["stage_sizes"], fields["groups"], fields["width_per_group"]).state_dict()
    assert theirs.keys() == ours.keys()
    assert all(theirs[key].shape == ours[key].shape for key in ours if not key.startswith("fc."))


def from_library(library: str, name: str, device: str = "cpu") -> Any:
    """The library's own network with random weights; nothing else here needs the library."""
    pytest.importorskip(library)
    with torch.device(device):
        if library == "timm":
            import timm

            return timm.create_model(name, pretrained=False)
        from torchvision.models import get_model, list_models

        if name not in list_models():
            pytest.skip(f"torchvision has no {name}")
        return get_model(name, weights=None)
