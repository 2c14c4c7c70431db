"""A network or a backbone of the user's own, held against what `docs/extending.md` asks of it, before a run begins."""

import inspect
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from dms_jax.errors import UsageError
from dms_jax.models.dms import BACKBONE_STRIDES
from dms_jax.models.network import SaliencyOutput
from dms_jax.references import is_reference
from dms_jax.runs.config.build import build_model

# With a single one, an axis of classes could not be told from one of logits.
_CLASSES = 2


def check_own_network(config: ConfigDict) -> None:
    """Refuse a network or a backbone that the configuration names by a reference, where it gives something else.

    It is traced for one image, and not run. What it raises itself is left as it is: its author needs the traceback.

    Raises:
      UsageError: it takes no `train`, or what it returns is not what a network or a backbone returns.
    """
    for name, look in (("network", _network_fault), ("backbone", _backbone_fault)):
        reference = config.model[name]
        if not is_reference(reference):
            continue
        model: Any = build_model(config, _CLASSES)
        module = model if name == "network" else model.backbone
        fault = _fault(module, config.data.image_size, look)
        if fault:
            raise UsageError(f"config.model.{name}={reference} {fault} (docs/extending.md).")
        # A backbone stands in none but our own networks.
        return


def _fault(module: Any, size: int, look: Callable[[Any, Any, int], str]) -> str:
    if not isinstance(module, nn.Module):
        return f"gives {_kind(module)}: it must give a Flax module"
    parameters = inspect.signature(type(module).__call__).parameters
    if "train" not in parameters and not any(each.kind is each.VAR_KEYWORD for each in parameters.values()):
        return "takes no train: its __call__ must be (self, images, *, train)"
    faults: list[str] = []

    def trace(images: jax.Array) -> None:
        output, _ = module.init_with_output(jax.random.key(0), images, train=False)
        # In here, for JAX hands on nothing but arrays.
        faults.append(look(module, output, size))

    jax.eval_shape(trace, jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32))
    return faults[0]


def _backbone_fault(module: Any, maps: Any, size: int) -> str:
    wanted = f"five maps at strides of {', '.join(map(str, BACKBONE_STRIDES[:-1]))} and {BACKBONE_STRIDES[-1]}"
    if not isinstance(maps, (tuple, list)):
        return f"returns {_kind(maps)}: it must return {wanted}"
    if len(maps) != len(BACKBONE_STRIDES):
        return f"returns {len(maps)} maps: it must return {wanted}"
    found = [list(jnp.shape(x)) for x in maps]
    for shape, stride in zip(found, BACKBONE_STRIDES, strict=True):
        # Rounded up they are ours; the alignment hardly suffers where others round down.
        sides = (size // stride, -(-size // stride))
        if len(shape) != 4 or shape[0] != 1 or not set(shape[1:3]) <= set(sides):
            return f"returns maps of shapes {found} for an image of {size} x {size}: it must return {wanted}"
    return ""


def _network_fault(model: Any, output: Any, size: int) -> str:
    if not isinstance(output, SaliencyOutput):
        return f"returns {_kind(output)}: it must return a dms_jax.models.SaliencyOutput"
    number, maps, classes = model.num_outputs, output.saliency, output.classes
    found, wanted = [list(jnp.shape(x)) for x in maps], [1, size, size, 1]
    if found != [wanted] * number:
        return (
            f"returns saliency of shapes {found} for an image of {size} x {size}: with num_outputs={number} they must "
            f"be {[wanted] * number}"
        )
    found, wanted = [list(jnp.shape(x)) for x in classes], [1, _CLASSES]
    if model.has_class_heads and found != [wanted] * number:
        return (
            f"returns classes of shapes {found} for an image and {_CLASSES} classes: with has_class_heads and "
            f"num_outputs={number} they must be {[wanted] * number}"
        )
    return ""


def _kind(value: Any) -> str:
    return "a bare array" if isinstance(value, jax.Array) else f"a {type(value).__name__}"
