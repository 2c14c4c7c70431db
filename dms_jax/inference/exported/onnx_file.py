"""A network as an ONNX file."""

from pathlib import Path

import onnx
from onnx import helper

from dms_jax.errors import UserError
from dms_jax.inference.description import ModelDescription
from dms_jax.inference.exported.metadata import ExportMetadata, Outputs
from dms_jax.inference.exported.network_graph import network_graph
from dms_jax.models.dms import DMS
from dms_jax.models.network import Network, Variables
from dms_jax.whole_files import write_whole

SUFFIX = ".onnx"
# Of 2022: all that the graph needs, and any runtime reads it.
OPSET, IR_VERSION = 17, 8


def make_onnx_model(
    model: Network,
    variables: Variables,
    description: ModelDescription,
    outputs: Outputs = "final",
    *,
    instead: str = "--output model.jaxexport",
) -> onnx.ModelProto:
    """Make an ONNX model of a network, checked.

    Args:
      model: a `DMS` whose backbone is this project's.
      variables: {"params", "batch_stats"} of it.
      description: what its predictions mean; kept in the model's metadata.
      outputs: which saliency maps and classes it gives.
      instead: how to have a file of jax.export, for the error message.

    Returns:
      See `dms_jax.inference.exported.network_graph.network_graph`.

    Raises:
      UserError: the network is neither SDMS nor BDMS, or its backbone is the user's own.
    """
    if not isinstance(model, DMS) or model.backbone is not None:
        own = type(model.backbone if isinstance(model, DMS) else model).__name__
        raise UserError(
            f"{own} cannot be written as ONNX, only SDMS and BDMS on this project's own backbones: export it with "
            f"{instead}."
        )
    graph = network_graph(model, variables, outputs)
    made = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="dms_jax",
        producer_version=description.version,
    )
    describe(made, ExportMetadata.today(description, outputs, f"ONNX, opset {OPSET}"))
    onnx.checker.check_model(made, full_check=True)
    return made


def describe(model: onnx.ModelProto, metadata: ExportMetadata) -> None:
    """Keep metadata in a model, in the place of what it may have had."""
    helper.set_model_props(model, metadata.to_texts())


def metadata_of(model: onnx.ModelProto) -> ExportMetadata:
    """What a model of `make_onnx_model` says of itself."""
    return ExportMetadata.from_texts({entry.key: entry.value for entry in model.metadata_props})


def save_onnx_model(model: onnx.ModelProto, path: Path) -> None:
    """Write a model; the file's folder must exist."""
    data = model.SerializeToString()
    write_whole(path, lambda file: file.write(data))
