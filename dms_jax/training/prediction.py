"""The compiled prediction step, over one device or many, and its measurement there."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental.layout import Format, Layout
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from dms_jax.data.augment import normalize
from dms_jax.evaluation.device_metrics import EvaluationMetrics
from dms_jax.models import DMS
from dms_jax.models.folding import fold_batch_norm
from dms_jax.training.compilation import WithFallback, is_gpu, jit_step
from dms_jax.training.step import DATA_AXIS, Batch

# A convolution's kernel [k, k, C, D] with D outermost in memory.
_BY_OUTPUT = Layout((3, 0, 1, 2))


@dataclass(frozen=True)
class PredictStep:
    """Compiled prediction, in two parts: what depends on the variables alone is done once for many batches.

        prepared = predict_step.prepare(variables)
        maps, probabilities = predict_step(prepared, images)

    Where one picture at a time is waited for, handing over hundreds of arrays takes longer than the network:

        predict = predict_step.freeze(prepared)
        maps, probabilities = predict(images)

    Attributes:
      prepare: takes the variables {"params", "batch_stats"} to those of the network with its BatchNorm folded.
      trace_prepare: traces that for abstract variables, whose result it returns, abstract.
      run: takes the prepared variables and images uint8 [B, S, S, 3], B a multiple of the number of devices, to the
        saliency maps of all N outputs, uint8 [B, N, S, S] (the sigmoid times 255, rounded), and the class
        probabilities, float32 [B, N, num_classes] (no second axis entries without class heads).
      freeze: takes the prepared variables to a function of images that does as `run` does, with the variables inside of
        its program: compiled anew for each set of variables, and for each B.
    """

    prepare: Callable[[Any], Any]
    trace_prepare: Callable[[Any], Any]
    run: jax.stages.Wrapped | WithFallback
    freeze: Callable[[Any], Callable[[jax.Array], tuple[jax.Array, jax.Array]]]

    def __call__(self, prepared: Any, images: jax.Array) -> tuple[jax.Array, jax.Array]:
        """See `run`."""
        return self.run(prepared, images)


def make_predict_step(model: DMS, mesh: Mesh, *, deterministic: bool = False) -> PredictStep:
    """Compile prediction by a network.

    Args:
      model: the network.
      mesh: see `dms_jax.training.step.data_mesh`.
      deterministic: see `dms_jax.training.compilation.compiler_options`.
    """
    folded = model.clone(folded=True)

    def predict(prepared: Any, images: jax.Array) -> tuple[jax.Array, jax.Array]:
        output = folded.apply(prepared, normalize(images), train=False)
        maps = jnp.stack([jax.nn.sigmoid(s[..., 0]) for s in output.saliency], axis=1)
        if output.classes:
            probabilities = jax.nn.softmax(jnp.stack(output.classes, axis=1))
        else:
            probabilities = jnp.zeros((images.shape[0], 0, model.num_classes))
        return jnp.round(255 * maps).astype(jnp.uint8), probabilities

    sharded = jax.shard_map(predict, mesh=mesh, in_specs=(P(), P(DATA_AXIS)), out_specs=P(DATA_AXIS))

    def freeze(prepared: Any) -> Callable[[jax.Array], tuple[jax.Array, jax.Array]]:
        # As NumPy's arrays they become constants of the program, as JAX's they might become arguments again.
        constants = jax.device_get(prepared)
        run = jit_step(lambda _, images: sharded(constants, images), mesh, deterministic=deterministic)
        return partial(run, ())

    preparation = {
        "fold": partial(fold_batch_norm, dtype=model.dtype),
        "sharding": NamedSharding(mesh, P()),
        # As cuDNN reads them: else each prediction begins with transposing them all.
        "kernel_layout": _BY_OUTPUT if is_gpu(mesh) else None,
    }
    return PredictStep(
        prepare=partial(prepare_variables, **preparation),
        trace_prepare=partial(trace_prepare, **preparation),
        run=jit_step(sharded, mesh, deterministic=deterministic),
        freeze=freeze,
    )


def prepare_variables(
    variables: Any, *, fold: Callable[[Any], Any], sharding: NamedSharding, kernel_layout: Layout | None
) -> Any:
    """Fold a network's variables, and lay them out in memory as prediction reads them.

    Args:
      variables: {"params", "batch_stats"}.
      fold: see `fold_batch_norm`.
      sharding: of the result.
      kernel_layout: of the arrays of four axes; None for the usual one.
    """
    return _preparing(variables, fold, sharding, kernel_layout)[0](variables)


def trace_prepare(
    variables: Any, *, fold: Callable[[Any], Any], sharding: NamedSharding, kernel_layout: Layout | None
) -> Any:
    """Trace `prepare_variables` for abstract variables, and return its result, abstract."""
    prepare, prepared = _preparing(variables, fold, sharding, kernel_layout)
    prepare.lower(variables)
    return prepared


def _preparing(
    variables: Any, fold: Callable[[Any], Any], sharding: NamedSharding, kernel_layout: Layout | None
) -> tuple[jax.stages.Wrapped, Any]:
    """A function of such variables, and its result, abstract."""

    def placed(x: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
        place = Format(kernel_layout if x.ndim == 4 else None, sharding)
        return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place)

    prepared = jax.tree.map(placed, jax.eval_shape(fold, variables))
    return jax.jit(fold, out_shardings=jax.tree.map(lambda x: x.format, prepared)), prepared


@dataclass(frozen=True)
class EvalStep:
    """Prediction and its measurement on the devices, for square pictures while training.

        prepared = predict_step.prepare(variables)
        sums = eval_step(prepared, batch)

    A batch is one as `dms_jax.data.pipeline.square_batches` yields it, B a multiple of the number of devices. The sums
    are those over the whole batch, the same on every device.

    Attributes:
      predict_step: see `make_predict_step`. The network is compiled once for both: the maps stay where they are, and
        are measured by a small program of its own.
      measure: that program, of the maps, the probabilities and a batch without its images.
      mesh: see `dms_jax.training.step.data_mesh`.
    """

    predict_step: PredictStep
    measure: jax.stages.Wrapped
    mesh: Mesh

    def __call__(self, prepared: Any, batch: Batch) -> EvaluationMetrics:
        """See `EvalStep`."""
        sums = self.measure(*self.predict_step(prepared, batch["image"]), _truth(batch))
        if self.mesh.size > 1 and not is_gpu(self.mesh):
            # Several devices of a CPU wait for each other with the threads that they share: with several batches on
            # their way, none may be left for a device that all others wait for.
            jax.block_until_ready(sums)
        return sums

    def trace_ahead(self, variables: Any, batch: Batch) -> None:
        """Trace what measuring such variables on such batches needs, both abstract: half of a first call's wait.

        Not compiled, which asks for the devices on their own where algorithms are tried.
        """
        prepared = self.predict_step.trace_prepare(variables)
        predict = self.predict_step.run.lower(prepared, batch["image"])
        sharding = NamedSharding(self.mesh, P(DATA_AXIS))
        outputs = (jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding) for x in predict.out_info)
        self.measure.lower(*outputs, _truth(batch))


def _truth(batch: Batch) -> dict[str, Any]:
    return {name: value for name, value in batch.items() if name != "image"}


def make_eval_step(predict_step: PredictStep, mesh: Mesh) -> EvalStep:
    """Compile measurement; see `EvalStep`."""

    def measure(maps: jax.Array, probabilities: jax.Array, batch: Batch) -> EvaluationMetrics:
        sums = EvaluationMetrics.single_from_model_output(
            maps=maps,
            probabilities=probabilities,
            masks=batch["mask"][..., 0],
            has_mask=batch["has_mask"],
            contents=batch["content"],
            labels=batch["label"],
            valid=batch["valid"],
        )
        return jax.lax.psum(sums, DATA_AXIS)

    sharded = jax.jit(jax.shard_map(measure, mesh=mesh, in_specs=P(DATA_AXIS), out_specs=P()))
    return EvalStep(predict_step, sharded, mesh)
