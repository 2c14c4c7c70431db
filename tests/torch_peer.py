"""The reference network in PyTorch (`torch_reference`), and its weights carried over by a table of names."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest


def reference(num_classes: int, network: str, **fields: Any) -> Any:
    """The reference network, "sdms" or "bdms"; skips the test where PyTorch is not installed.

    Args:
      num_classes: image-level classes.
      network: whose schedule is the default.
      **fields: of `torch_reference.DMS`.
    """
    pytest.importorskip("torch", reason="PyTorch is not installed")
    import torch_reference

    return torch_reference.DMS(num_classes, **{"schedule": torch_reference.SCHEDULES[network], **fields})


def randomise(net: Any, seed: int = 0) -> None:
    """Give BatchNorm statistics, scales and biases, PReLU slopes and convolution scales that are not trivial."""
    import torch
    from torch import nn

    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.1, generator=generator)
                module.running_var.uniform_(0.5, 1.5, generator=generator)
                module.weight.uniform_(0.5, 1.5, generator=generator)
                module.bias.normal_(0, 0.1, generator=generator)
            elif isinstance(module, nn.PReLU):
                module.weight.uniform_(0.05, 0.5, generator=generator)


def module_names(steps: int, stage_sizes: Sequence[int]) -> dict[str, str]:
    """Names of the modules that a reference may have, each with the path of ours."""
    names = {"backbone.conv1": "backbone/stem_conv", "backbone.bn1": "backbone/stem_norm"}
    for stage, count in enumerate(stage_sizes, start=1):
        for block in range(count):
            theirs, ours = f"backbone.layer{stage}.{block}", f"backbone/stage{stage}_block{block + 1}"
            for i in (1, 2, 3):
                names[f"{theirs}.conv{i}"] = f"{ours}/conv{i}"
                names[f"{theirs}.bn{i}"] = f"{ours}/norm{i}"
            names[f"{theirs}.downsample.0"] = f"{ours}/downsample_conv"
            names[f"{theirs}.downsample.1"] = f"{ours}/downsample_norm"

    def conv_block(theirs: str, ours: str) -> None:
        for i, part in enumerate(("conv", "norm", "prelu")):
            names[f"{theirs}.{i}"] = f"{ours}/{part}"

    for side in ("lf", "mf", "hf"):
        for i in range(3):
            conv_block(f"{side}.{i}", f"side_{side}/block{i + 1}")
    for i, branch in enumerate(("point", "dilated2", "dilated4", "dilated6", "pooled")):
        conv_block(f"hf.2.branches.{i}", f"side_hf/aspp/{branch}")
    conv_block("hf.2.fuse", "side_hf/aspp/fuse")
    names["first"] = "step0/saliency"
    for step in range(steps):
        conv_block(f"phi.{step}", f"step{step}/transition")
        names[f"classify.{step}"] = f"step{step}/classes"
        if step:
            conv_block(f"residual.{step - 1}.0", f"step{step}/residual/block1")
            conv_block(f"residual.{step - 1}.1", f"step{step}/residual/block2")
            names[f"residual.{step - 1}.2"] = f"step{step}/residual/saliency"
    return names


def carry_over(net: Any) -> dict[str, Any]:
    """Our variables with the reference's weights; every tensor of it has its place, or this fails."""
    return carry_over_by(net, module_names(net.num_steps, net.stage_sizes))


def carry_over_by(net: Any, names: Mapping[str, str], *, gradients: bool = False) -> dict[str, Any]:
    """Our variables with the weights of any network in PyTorch, or with their gradients.

    Args:
      net: the network; every tensor of it has its place, or this fails.
      names: its modules, each with the path of ours.
      gradients: of the parameters, in their place.
    """
    from torch import nn

    variables: dict[str, Any] = {"params": {}, "batch_stats": {}}

    def weights(tensor: Any) -> Any:
        return tensor.grad if gradients else tensor

    def put(collection: str, path: str, leaf: str, value: Any) -> None:
        node = variables[collection]
        for part in path.split("/"):
            node = node.setdefault(part, {})
        node[leaf] = np.array(value.detach().numpy())  # a copy: the reference's tensors change in training mode

    for theirs, module in net.named_modules():
        if not list(module.parameters(recurse=False)):
            continue
        ours = names[theirs]
        if isinstance(module, (nn.ConvTranspose2d, nn.Conv2d)):
            # [O, I, h, w] to [h, w, I, O]; a transposed kernel, [I, O, h, w], to [h, w, O, I].
            put("params", ours, "kernel", weights(module.weight).permute(2, 3, 1, 0))
        elif isinstance(module, nn.Linear):
            put("params", ours, "kernel", weights(module.weight).T)
        elif isinstance(module, nn.BatchNorm2d):
            put("params", ours, "scale", weights(module.weight))
            put("batch_stats", ours, "mean", module.running_mean)
            put("batch_stats", ours, "var", module.running_var)
        elif isinstance(module, nn.LSTM):
            put("params", ours, "input_kernel", weights(module.weight_ih_l0).T)
            put("params", ours, "recurrent_kernel", weights(module.weight_hh_l0).T)
            # PyTorch has two, of which only the sum matters.
            put("params", ours, "bias", module.bias_ih_l0 + module.bias_hh_l0)
            continue
        elif isinstance(module, nn.PReLU):
            put("params", ours, "negative_slope", weights(module.weight).reshape(()))
        else:
            raise TypeError(f"{theirs}: {type(module)}")
        if getattr(module, "bias", None) is not None:
            put("params", ours, "bias", weights(module.bias))
    return variables
