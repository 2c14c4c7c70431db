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
      run: takes the prepared variables and images uint8 [B, S, S, 3], B a multiple of the number of devices, to the
        saliency maps of all N outputs, uint8 [B, N, S, S] (the sigmoid times 255, rounded), and the class
        probabilities, float32 [B, N, num_classes] (no second axis entries without class heads).
      freeze: takes the prepared variables to a function of images that does as `run` does, with the variables inside of
        its program: compiled anew for each set of variables, and for each B.
    """

    prepare: Callable[[Any], Any]
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

    return PredictStep(
        prepare=partial(
            prepare_variables,
            fold=partial(fold_batch_norm, dtype=model.dtype),
            sharding=NamedSharding(mesh, P()),
            # As cuDNN reads them: else each prediction begins with transposing them all.
            kernel_layout=_BY_OUTPUT if is_gpu(mesh) else None,
        ),
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
    shapes = jax.eval_shape(fold, variables)
    formats = jax.tree.map(lambda x: Format(kernel_layout if x.ndim == 4 else None, sharding), shapes)
    return jax.jit(fold, out_shardings=formats)(variables)


def make_eval_step(predict_step: PredictStep, mesh: Mesh) -> Callable[[Any, Batch], EvaluationMetrics]:
    """Prediction and its measurement on the devices, for square pictures while training.

    Args:
      predict_step: see `make_predict_step`. The network is compiled once for both: the maps stay where they are, and
        are measured by a small program of its own.
      mesh: see `dms_jax.training.step.data_mesh`.

    Returns:
      A function of the prepared variables and a batch as `dms_jax.data.pipeline.square_batches` yields it, B a multiple
      of the number of devices. It returns the sums over the whole batch, the same on every device.
    """

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

    def evaluate(prepared: Any, batch: Batch) -> EvaluationMetrics:
        truth = {name: value for name, value in batch.items() if name != "image"}
        return sharded(*predict_step(prepared, batch["image"]), truth)

    return evaluate
