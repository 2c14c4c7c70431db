"""A pre-trained backbone in a folder of its own: what `config.init.backbone` starts from."""

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dms_jax.checkpoints.trees import read_tree, write_tree
from dms_jax.errors import UserError
from dms_jax.models.resnext import BACKBONES

DESCRIPTION_NAME = "backbone.json"
_TREE_NAME = "variables"


@dataclass(frozen=True)
class BackboneDescription:
    """What is known of a pre-trained backbone without reading its parameters.

    Attributes:
      architecture: the fields of the `ResNeXt`: stage_sizes, groups, width_per_group, base_channels.
      source: what it was imported from.
    """

    architecture: Mapping[str, Any]
    source: str

    @property
    def name(self) -> str:
        """Its name among `BACKBONES`, or its fields where it has none."""
        return backbone_name(self.architecture)


def backbone_name(architecture: Mapping[str, Any]) -> str:
    """The name among `BACKBONES` of a `ResNeXt` with these fields, or the fields themselves."""
    for name, fields in BACKBONES.items():
        if fields == architecture:
            return name
    return "ResNeXt(" + ", ".join(f"{name}={value}" for name, value in architecture.items()) + ")"


def save_backbone(folder: Path, variables: Mapping[str, Any], description: BackboneDescription) -> None:
    """Write a backbone; its description, without which it is none, comes last.

    Args:
      folder: must not exist yet, or be empty.
      variables: {"params", "batch_stats"} of a `ResNeXt`.
      description: of these variables.

    Raises:
      UserError: the folder has something in it.
    """
    folder = folder.absolute()
    check_free(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    facts = {"architecture": dict(description.architecture), "source": description.source}
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".import-") as scratch:
        temporary = Path(scratch)
        write_tree(temporary / _TREE_NAME, dict(variables))
        (temporary / DESCRIPTION_NAME).write_text(json.dumps(facts, indent=2) + "\n")
        folder.mkdir(exist_ok=True)
        for name in (_TREE_NAME, DESCRIPTION_NAME):
            (temporary / name).rename(folder / name)


def check_free(folder: Path) -> None:
    """Refuse a folder that has something in it already.

    Raises:
      UserError: it has.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder} exists already: name another folder, or remove it.")


def read_description(folder: Path) -> BackboneDescription:
    """Read what a folder of `save_backbone` holds.

    Raises:
      UserError: it is no such folder.
    """
    try:
        facts = json.loads((folder / DESCRIPTION_NAME).read_text())
        architecture = dict(facts["architecture"])
        architecture["stage_sizes"] = tuple(architecture["stage_sizes"])
        return BackboneDescription(architecture, str(facts["source"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{folder} holds no imported backbone ({DESCRIPTION_NAME} cannot be read): make one with "
            "dms-jax import-weights --source FILE --output DIR."
        ) from error


def read_backbone(folder: Path) -> dict[str, Any]:
    """Read the variables {"params", "batch_stats"} that `save_backbone` wrote, as NumPy arrays.

    Raises:
      UserError: they cannot be read.
    """
    return read_tree(folder / _TREE_NAME)
