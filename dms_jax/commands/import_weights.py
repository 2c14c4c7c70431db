"""`dms-jax import-weights`: a backbone trained in PyTorch, for `config.init.backbone`."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dms_jax.errors import UserError

COUNTER = "num_batches_tracked"


def add_to(commands: Any) -> None:
    """Add the sub-command to argparse's sub-parsers."""
    command = commands.add_parser(
        "import-weights",
        help="turn a PyTorch backbone into one to start from",
        description="Turn the weights of a ResNet or ResNeXt (torchvision's or timm's names, or those of files "
        "converted from Lua Torch; .pth or .safetensors) into a folder that --config.init.backbone starts from.",
    )
    command.add_argument("--source", type=Path, required=True, metavar="FILE", help="a state dict")
    command.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder to make")
    command.add_argument("--prefix", metavar="NAME", help="of the backbone, where there are several: encoder_q")
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Do what the flags say.

    Raises:
      UserError: the file cannot be used or the folder cannot be made.
    """
    # Imported late: a mistyped flag is answered at once.
    from dms_jax.checkpoints.backbone import BackboneDescription, check_free, save_backbone
    from dms_jax.interop.torch_files import read_tensors
    from dms_jax.interop.torch_names import BACKBONE_FORMATS
    from dms_jax.interop.torch_weights import import_backbone
    from dms_jax.models.resnext import BACKBONES

    source, output = arguments.source.expanduser(), arguments.output.expanduser()
    check_free(output)
    tensors = read_tensors(source)
    try:
        backbone = import_backbone(tensors, arguments.prefix)
    except UserError as error:
        raise UserError(f"{source}: {error}") from error
    description = BackboneDescription(backbone.architecture, source.name)
    save_backbone(output, backbone.variables, description)
    form = BACKBONE_FORMATS[backbone.form].description
    used = len(tensors) - len(backbone.left_alone)
    print(f"{source.name}: {description.name} with names of {form}, {used} tensors used")
    if backbone.left_alone:
        print(f"left alone: {_by_module(backbone.left_alone)}")
    # The first is that of the configurations.
    needs_name = description.name in list(BACKBONES)[1:]
    setting = f" --config.model.backbone={description.name}" if needs_name else ""
    print(f"{output}: start from it with --config.init.backbone={output}{setting}")


def _by_module(names: Sequence[str]) -> str:
    """All of the names, a module's together, and the counters of all of the norms."""
    modules = Counter(COUNTER if name.endswith(COUNTER) else name.rpartition(".")[0] for name in names)
    return ", ".join(f"{module} ({count})" for module, count in modules.items())
