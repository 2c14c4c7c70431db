"""A network as one file that JAX alone reads: `jax.export`, on a CPU or a CUDA device.

The file is a ZIP archive of two entries: `metadata.json` and `program.bin`, what `jax.export` serialises.
"""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from dms_jax.errors import UserError, first_words
from dms_jax.inference.description import ModelDescription
from dms_jax.inference.exported.extras import check_installed
from dms_jax.inference.exported.metadata import ExportMetadata, Outputs
from dms_jax.models.network import Network, Variables
from dms_jax.models.preprocessing import normalize
from dms_jax.whole_files import write_whole

SUFFIX = ".jaxexport"
PLATFORMS = ("cpu", "cuda")
_METADATA, _PROGRAM = "metadata.json", "program.bin"
_NOTE = (
    "JAX promises to read this file for six months after it was written, by the same or a later version: keep the run, "
    "and export it again."
)


def write_jax_program(
    path: Path,
    model: Network,
    variables: Variables,
    description: ModelDescription,
    outputs: Outputs = "final",
    dtype: DTypeLike = jnp.float32,
) -> ExportMetadata:
    """Write a network, with its weights and its preprocessing.

    Args:
      path: the file; its folder must exist.
      model: any network.
      variables: {"params", "batch_stats"} of it.
      description: what its predictions mean.
      outputs: which saliency maps and classes the program gives.
      dtype: see `export_program`.

    Returns:
      What the file says of itself.

    Raises:
      UserError: flatbuffers, which jax does not install, is absent.
    """
    check_installed("export", "Files of jax.export")
    program = bytes(export_program(model, variables, description.framing.size, outputs, dtype).serialize())
    form = f"jax.export, jax {jax.__version__}, {jnp.dtype(dtype)}"
    metadata = ExportMetadata.today(description, outputs, form, _NOTE)

    def write(file: object) -> None:
        # Weights do not become smaller.
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:  # type: ignore[call-overload]
            archive.writestr(_METADATA, json.dumps(metadata.to_json(), indent=1))
            archive.writestr(_PROGRAM, program)

    write_whole(path, write)
    return metadata


def export_program(
    model: Network, variables: Variables, size: int, outputs: Outputs = "final", dtype: DTypeLike = jnp.float32
) -> jax.export.Exported:
    """Export a network as a function of images.

    Args:
      model: any network.
      variables: {"params", "batch_stats"} of it.
      size: side S of the images.
      outputs: which saliency maps and classes it returns.
      dtype: to compute in: float32, the same on a CPU and a GPU to five digits; or bfloat16, as the run computes on a
        GPU, many times as fast there.

    Returns:
      A function of images uint8 [B, S, S, 3], B free, that returns saliency float32 [B, N, S, S] in 0..1 and
      probabilities float32 [B, N, num_classes] ([B, 0, num_classes] without class heads).
    """
    predictor, convert = model.clone(dtype=dtype, axis_name=None).for_prediction()
    # As NumPy's arrays they become constants of the program.
    constants = jax.device_get(jax.jit(convert)(variables))
    first = 0 if outputs == "all" else -1

    def predict(images: jax.Array) -> tuple[jax.Array, jax.Array]:
        output = predictor.apply(constants, normalize(images), train=False)
        saliency = jnp.stack([jax.nn.sigmoid(s[..., 0]) for s in output.saliency[first:]], axis=1)
        if not output.classes:
            return saliency, jnp.zeros((images.shape[0], 0, model.num_classes))
        return saliency, jax.nn.softmax(jnp.stack(output.classes[first:], axis=1))

    batch, *_ = jax.export.symbolic_shape("batch")
    images = jax.ShapeDtypeStruct((batch, size, size, 3), jnp.uint8)
    # GPUs would multiply float32 in fewer digits, and maps would differ by a hundred times as much as from a CPU.
    with jax.default_matmul_precision("float32" if jnp.dtype(dtype) == jnp.float32 else "default"):
        return jax.export.export(jax.jit(predict), platforms=PLATFORMS)(images)


def read_jax_program(path: Path) -> tuple[Callable[[np.ndarray], tuple[jax.Array, jax.Array]], ExportMetadata]:
    """Read what `write_jax_program` wrote: the compiled function, see `export_program`, and the metadata.

    Raises:
      UserError: it cannot be read, is another file, or flatbuffers is absent.
    """
    check_installed("export", "Files of jax.export")
    try:
        with zipfile.ZipFile(path) as archive:
            metadata = ExportMetadata.from_json(json.loads(archive.read(_METADATA)))
            program = jax.export.deserialize(bytearray(archive.read(_PROGRAM)))
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): name a file of dms-jax export.") from error
    except Exception as error:  # jax's own failures come in many kinds
        raise UserError(
            f"{path} is no file of dms-jax export that jax {jax.__version__} reads ({first_words(error)}): export it "
            "again."
        ) from error
    return jax.jit(program.call), metadata
