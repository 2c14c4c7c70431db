"""`dms-jax export-weights`: a trained network for those who deploy with PyTorch."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def add_to(commands: Any) -> None:
    """Add the sub-command to argparse's sub-parsers."""
    command = commands.add_parser(
        "export-weights",
        help="write a run's best network as a PyTorch state dict",
        description="Write the best network of a run as a state dict: torchvision's names under `backbone`, then lf, "
        "mf, hf (side outputs), phi.N (transitions), first and residual.N (saliency), classify.N (class heads).",
    )
    command.add_argument("--workdir", type=Path, required=True, metavar="DIR", help="work directory of the run")
    command.add_argument("--output", type=Path, required=True, metavar="FILE", help=".pth, .pt or .safetensors")
    command.add_argument("--format", choices=("torch",), default="torch", help="whose names and layout (torch)")
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Do what the flags say.

    Raises:
      UsageError: the output's suffix is none of those above.
      UserError: there is no trained run, its network or backbone is the user's own, or the file cannot be written.
    """
    # Imported late: a mistyped flag is answered at once.
    import jax

    from dms_jax.errors import UserError
    from dms_jax.interop.torch_files import check_suffix, write_tensors
    from dms_jax.interop.torch_names import network_rows
    from dms_jax.interop.torch_weights import to_tensors
    from dms_jax.models import DMS
    from dms_jax.models.preprocessing import IMAGENET_MEAN, IMAGENET_STD
    from dms_jax.runs.open_run import open_run

    check_suffix(arguments.output)
    opened = open_run(arguments.workdir)
    config, step, model = opened.config, opened.step, opened.model
    if not isinstance(model, DMS) or model.backbone is not None:
        field = "backbone" if isinstance(model, DMS) else "network"
        raise UserError(
            f"{arguments.workdir}: config.model.{field}={config.model[field]} has no names in PyTorch: name a run of "
            "SDMS or BDMS with a backbone of this project."
        )
    tensors = to_tensors(jax.device_get(opened.variables), network_rows(model), batches=step)
    description = {
        "network": config.model.network,
        "size": config.model.size,
        "ablation": model.ablation,
        "class_pooling": model.class_pooling,
        "schedule": ", ".join(model.schedule),
        "input": f"RGB / 255, mean {tuple(IMAGENET_MEAN)}, standard deviation {tuple(IMAGENET_STD)}",
        "image_size": str(config.data.image_size),
        "step": str(step),
    }
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    write_tensors(arguments.output, tensors, description)
    print(f"{arguments.output}: {len(tensors)} tensors of step {step}")
    print(f"input: {description['input']}, {config.data.image_size} x {config.data.image_size} pixels")
