"""The compiled prediction step, over one device or many."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental.layout import Format, Layout
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from dms_jax.models.network import Network
from dms_jax.models.preprocessing import normalize
from dms_jax.runtime.cuda_graphs import WithFallback, jit_prediction
from dms_jax.runtime.devices import DATA_AXIS, is_gpu, replicated

# A convolution's kernel [k, k, C, D] with D outermost in memory.
_BY_OUTPUT = Layout((3, 0, 1, 2))


@dataclass(frozen=True)
class PredictStep:
    """Compiled prediction, in two parts: what depends on the variables alone is done once for many batches.

        prepared = predict_step.prepare(variables)
        maps, probabilities, finite = predict_step(prepared, images)

    Where one image at a time is waited for, handing over hundreds of arrays takes longer than the network:

        predict = predict_step.freeze(prepared)
        maps, probabilities, finite = predict(images)

    Attributes:
      prepare: takes the variables {"params", "batch_stats"} to those of `Network.for_prediction`.
      trace_prepare: traces that for abstract variables, whose result it returns, abstract.
      run: takes the prepared variables and images uint8 [B, S, S, 3], B a multiple of the number of devices, to the
        saliency maps of all N outputs, uint8 [B, N, S, S] (the sigmoid times 255, rounded), the class probabilities,
        float32 [B, N, num_classes] (no second axis entries without class heads), and whether all of both are numbers,
        bool [B]: pixels and classes of an image mean nothing where it is False.
      freeze: takes the prepared variables to a function of images that does as `run` does, with the variables inside of
        its program: compiled anew for each set of variables, and for each B.
    """

    prepare: Callable[[Any], Any]
    trace_prepare: Callable[[Any], Any]
    run: jax.stages.Wrapped | WithFallback
    freeze: Callable[[Any], Callable[[jax.Array], tuple[jax.Array, jax.Array, jax.Array]]]

    def __call__(self, prepared: Any, images: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        """See `run`."""
        return self.run(prepared, images)


def make_predict_step(
    model: Network, mesh: Mesh, *, deterministic: bool = False, final_only: bool = False
) -> PredictStep:
    """Compile prediction by a network.

    Args:
      model: the network.
      mesh: see `dms_jax.runtime.devices.data_mesh`.
      deterministic: see `dms_jax.runtime.compilation.compiler_options`.
      final_only: give the last output's map and probabilities alone: N = 1, and what the others need is not computed.
    """
    predictor, convert = model.for_prediction()

    def predict(prepared: Any, images: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        output = predictor.apply(prepared, normalize(images), train=False)
        first = -1 if final_only else 0
        maps = jnp.stack([jax.nn.sigmoid(s[..., 0]) for s in output.saliency[first:]], axis=1)
        if output.classes:
            probabilities = jax.nn.softmax(jnp.stack(output.classes[first:], axis=1))
        else:
            probabilities = jnp.zeros((images.shape[0], 0, model.num_classes))
        finite = jnp.isfinite(maps).all((1, 2, 3)) & jnp.isfinite(probabilities).all((1, 2))
        return jnp.round(255 * maps).astype(jnp.uint8), probabilities, finite

    sharded = jax.shard_map(predict, mesh=mesh, in_specs=(P(), P(DATA_AXIS)), out_specs=P(DATA_AXIS))

    def freeze(prepared: Any) -> Callable[[jax.Array], tuple[jax.Array, jax.Array, jax.Array]]:
        # As NumPy's arrays they become constants of the program, as JAX's they might become arguments again.
        constants = jax.device_get(prepared)
        run = jit_prediction(lambda _, images: sharded(constants, images), mesh, deterministic=deterministic)
        return partial(run, ())

    preparation: dict[str, Any] = {
        "convert": convert,
        "sharding": replicated(mesh),
        # As cuDNN reads them: else each prediction begins with transposing them all.
        "kernel_layout": _BY_OUTPUT if is_gpu(mesh) else None,
    }
    return PredictStep(
        prepare=partial(prepare_variables, **preparation),
        trace_prepare=partial(trace_prepare, **preparation),
        run=jit_prediction(sharded, mesh, deterministic=deterministic),
        freeze=freeze,
    )


def prepare_variables(
    variables: Any, *, convert: Callable[[Any], Any], sharding: NamedSharding, kernel_layout: Layout | None
) -> Any:
    """Convert a network's variables, and lay them out in memory as prediction reads them.

    Args:
      variables: {"params", "batch_stats"}.
      convert: see `Network.for_prediction`.
      sharding: of the result.
      kernel_layout: of the arrays of four axes; None for the usual one.
    """
    return _preparing(variables, convert, sharding, kernel_layout)[0](variables)


def trace_prepare(
    variables: Any, *, convert: Callable[[Any], Any], sharding: NamedSharding, kernel_layout: Layout | None
) -> Any:
    """Trace `prepare_variables` for abstract variables, and return its result, abstract."""
    prepare, prepared = _preparing(variables, convert, sharding, kernel_layout)
    prepare.lower(variables)
    return prepared


def _preparing(
    variables: Any, convert: Callable[[Any], Any], sharding: NamedSharding, kernel_layout: Layout | None
) -> tuple[jax.stages.Wrapped, Any]:
    """A function of such variables, and its result, abstract."""

    def placed(x: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
        place = Format(kernel_layout if x.ndim == 4 else None, sharding)
        return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place)

    prepared = jax.tree.map(placed, jax.eval_shape(convert, variables))
    return jax.jit(convert, out_shardings=jax.tree.map(lambda x: x.format, prepared)), prepared
