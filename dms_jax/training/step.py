"""The compiled training step, over one device or many.

It runs under `jax.shard_map` over a mesh with the one axis "data": the state is on every device, a batch is
sharded among them. Automatic partitioning would gather the whole batch on every device for each grouped convolution.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.experimental.layout import Layout, with_layout_constraint
from jax.flatten_util import ravel_pytree
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from dms_jax.models.network import Network
from dms_jax.ops.sharding import varying_axes
from dms_jax.runtime.compilation import compiler_options
from dms_jax.runtime.devices import DATA_AXIS, Batch, batch_sharding, platform_of
from dms_jax.training.augment import AugmentConfig
from dms_jax.training.losses import LossConfig
from dms_jax.training.objective import Objective
from dms_jax.training.state import TrainState, add_metrics


def make_train_step(
    model: Network,
    optimizer: optax.GradientTransformation,
    mesh: Mesh,
    *,
    loss: LossConfig,
    augment: AugmentConfig,
    seed: int,
    average_decay: float = 0.0,
    deterministic: bool = False,
    ignores: bool = False,
    donate: bool = True,
) -> jax.stages.Wrapped:
    """Compile one step of training.

    Args:
      model: the network. With `axis_name` "data" it normalises by the statistics of the whole batch, and a step is the
        same on any number of devices. With None, and in layers that pass over it, each device normalises by those of
        its own images, for which no other waits, and the running statistics are averages over the devices.
      optimizer: applied to the gradient of the loss over the whole batch.
      mesh: see `data_mesh`.
      loss: weights of the loss.
      augment: random transforms and pasted defects, drawn from (seed, step, position in the global batch).
      seed: of the transforms, for a batch that brings none.
      average_decay: share of the old value that the exponential average of the variables keeps at each step, less at
        the beginning: min(average_decay, (1 + step) / (10 + step)). The state must then have `averaged`.
      deterministic: see `dms_jax.runtime.compilation.compiler_options`.
      ignores: pixels whose mask is `dms_jax.data.image_files.IGNORED` teach nothing.
      donate: the old state is gone after a step; False: it can be looked at, for twice the memory.

    Returns:
      A function of the state and a batch of `image` uint8 [B, S, S, 3], `mask` uint8
      [B, S, S, 1] and `label` int32 [B], B a multiple of the number of devices. With `has_mask` bool [B] the pixels of
      images without one teach nothing, as a label of -1 does not; with `content` int32 [B, 4], neither does what lies
      outside of it (top, left, height, width). With `seed` uint32 [B], all alike, it stands for `seed` above: what is
      compiled is then the same for every seed. It returns the next state, whose `metrics` have the step's metrics
      added.
    """
    objective = Objective(model, loss, augment, seed, ignores)

    def step(state: TrainState, batch: Batch) -> TrainState:
        inputs = objective.inputs(state.step, batch)
        # Each device's own gradient, in float32, summed over the devices in a few large all-reduces: JAX would reduce
        # each by itself where its parameter is used, in bfloat16.
        params = jax.tree.map(lambda x: jax.lax.pcast(x, DATA_AXIS, to="varying"), state.params)
        gradient = jax.value_and_grad(objective.loss_of, has_aux=True)
        (_, (measured, batch_stats)), gradients = gradient(params, state.batch_stats, inputs)
        # Those that a network keeps device by device: with no `axis_name`, or of layers that do not ask for it.
        batch_stats = _all_reduce_flat(batch_stats, mean=True)
        gradients = jax.tree.map(_row_major, gradients)
        gradients = {module: _all_reduce_flat(part) for module, part in gradients.items()}
        updates, opt_state = optimizer.update(gradients, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        averaged = state.averaged
        if averaged is not None:
            decay = jnp.minimum(average_decay, (1 + state.step) / (10 + state.step))
            fresh = {"params": params, "batch_stats": batch_stats}
            averaged = optax.incremental_update(fresh, averaged, 1 - decay)
        return TrainState(
            step=state.step + 1,
            params=params,
            batch_stats=batch_stats,
            opt_state=opt_state,
            averaged=averaged,
            metrics=add_metrics(state.metrics, measured, jnp.isfinite(optax.tree.norm(updates))),
        )

    sharded = jax.shard_map(step, mesh=mesh, in_specs=(P(), P(DATA_AXIS)), out_specs=P())
    options = compiler_options(platform_of(mesh), mesh.size, deterministic=deterministic)
    return jax.jit(sharded, donate_argnums=0 if donate else (), compiler_options=options)


def _all_reduce_flat(tree: Any, *, mean: bool = False) -> Any:
    """The sum (or the mean) over the devices of those arrays that differ between them, all-reduced as one array."""
    leaves, structure = jax.tree.flatten(tree)
    differing = [i for i, leaf in enumerate(leaves) if DATA_AXIS in varying_axes(leaf)]
    parts = [leaves[i] for i in differing]
    devices = jax.lax.axis_size(DATA_AXIS)
    if parts and devices > 1:
        flat, unravel = ravel_pytree(parts)
        total = jax.lax.psum(flat, DATA_AXIS)
        # Divided as one array: one kernel instead of hundreds.
        parts = unravel(total / devices if mean else total)
    else:
        parts = jax.lax.psum(parts, DATA_AXIS)
    for i, part in zip(differing, parts, strict=True):
        leaves[i] = part
    return jax.tree.unflatten(structure, leaves)


def _row_major(gradient: jax.Array) -> jax.Array:
    """The gradient, in memory as parameters are.

    A convolution's kernel gradient comes in another order. Where an update reads it in that one, it cannot write the
    parameters and the momentum in their places, and XLA copies them there afterwards.
    """
    if gradient.ndim < 2:
        return gradient
    layout = Layout(tuple(range(gradient.ndim)))
    return jax.lax.optimization_barrier(with_layout_constraint(gradient, layout))


def abstract_batch(batch_size: int, image_size: int, mesh: Mesh) -> Batch:
    """The shapes and types of a global batch as `dms_jax.data.pipeline.training_batches` yields it, sharded."""
    sharding = batch_sharding(mesh)
    shapes = {
        "image": ((image_size, image_size, 3), np.uint8),
        "mask": ((image_size, image_size, 1), np.uint8),
        "has_mask": ((), np.bool_),
        "label": ((), np.int32),
        "content": ((4,), np.int32),
    }
    return {
        name: jax.ShapeDtypeStruct((batch_size, *shape), dtype, sharding=sharding)
        for name, (shape, dtype) in shapes.items()
    }
