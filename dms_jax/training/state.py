"""Everything that a training step reads and changes, in one immutable value."""

import dataclasses
from collections.abc import Mapping
from functools import partial
from typing import Any, cast

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax
from clu import metrics
from jax.sharding import Mesh

from dms_jax.models.network import Network
from dms_jax.runtime.devices import abstract_replicated, cpu_device

PyTree = Any


@flax.struct.dataclass
class TrainState:
    """What training carries from step to step; all of it is in a checkpoint.

    Attributes:
      step: steps done, int32 [].
      params: the network's parameters.
      batch_stats: running statistics of BatchNorm.
      opt_state: of the optimiser.
      averaged: exponential average of parameters and statistics, {"params", "batch_stats"}; None without averaging.
      metrics: averages of the metrics of the steps since they were last written.
    """

    step: jax.Array
    params: PyTree
    batch_stats: PyTree
    opt_state: optax.OptState
    averaged: PyTree | None
    metrics: dict[str, metrics.Average]

    @property
    def inference_variables(self) -> PyTree:
        """The variables to predict with: the averaged ones where there are any."""
        if self.averaged is not None:
            return self.averaged
        return {"params": self.params, "batch_stats": self.batch_stats}


def metric_names(model: Network) -> tuple[str, ...]:
    """Names of the metrics that a training step of the network measures."""
    outputs = model.num_outputs
    names = ["loss", "saliency_loss", *(f"saliency_loss/{i}" for i in range(outputs))]
    if model.has_class_heads:
        names += ["class_loss", "accuracy"]
    return tuple(names)


def empty_metrics(names: tuple[str, ...]) -> dict[str, metrics.Average]:
    """Averages of nothing yet."""
    return {name: metrics.Average(total=jnp.zeros((), jnp.float32), count=jnp.zeros((), jnp.int32)) for name in names}


def add_metrics(
    averages: dict[str, metrics.Average], measured: Mapping[str, jax.Array], is_sound: jax.Array
) -> dict[str, metrics.Average]:
    """Add a step's metrics to the averages; its accuracy only if an image of it has a label.

    The average of the loss counts the steps before the first one that was not sound, and is NaN from that one on: how
    many steps have been done since it was begun then says which one that was, without a look at each of them.

    Args:
      averages: of the steps since they were last written.
      measured: of this step.
      is_sound: whether what the step does to the parameters is finite; its loss is looked at here.
    """
    has = {"accuracy": measured["labelled"][None] > 0.5} if "accuracy" in averages else {}
    added = {
        name: each.merge(metrics.Average.from_model_output(measured[name], mask=has.get(name)))
        for name, each in averages.items()
    }
    loss, before = added["loss"], averages["loss"]
    is_sound &= jnp.isfinite(loss.total)
    added["loss"] = metrics.Average(
        total=jnp.where(is_sound, loss.total, jnp.nan), count=jnp.where(is_sound, loss.count, before.count)
    )
    return added


def read_averages(averages: Mapping[str, metrics.Average]) -> dict[str, float | None]:
    """What averages on the host come to; None where no step counted."""
    return {name: float(each.compute()) if each.count else None for name, each in averages.items()}


def create_state(
    model: Network,
    optimizer: optax.GradientTransformation,
    *,
    seed: int,
    average: bool = False,
    image_size: int = 64,
) -> TrainState:
    """A state with random parameters.

    Args:
      model: the network.
      optimizer: whose state is initialised.
      seed: decides the parameters.
      average: keep an exponential average of the variables.
      image_size: of the sides of the images, on which the parameters of this project's own networks do not depend.

    Returns:
      The state before the first step.
    """
    # On the CPU, so that a seed gives the same parameters whatever the accelerator.
    key = jax.device_put(jax.random.key(seed), _host())
    return _initial_state(key, _hashable(model), optimizer, average, image_size)


def copied(tree: Any) -> Any:
    """The arrays of a tree once more, on the CPU: the same array twice in one state could not be donated to the step.

    By NumPy: JAX's own copy is compiled for every shape, which takes seconds.
    """
    return jax.tree.map(lambda x: jax.device_put(np.array(x), _host()), tree)


def _host() -> jax.Device:
    return cpu_device() or jax.local_devices()[0]


def abstract_state(
    model: Network,
    optimizer: optax.GradientTransformation,
    mesh: Mesh,
    *,
    average: bool = False,
    image_size: int = 64,
) -> TrainState:
    """The shapes and types of `create_state`'s result, replicated over a mesh: what a checkpoint is restored into."""
    # Traced as `create_state` calls it, which need not do so again.
    key = jax.eval_shape(lambda: jax.random.key(0))
    shapes = _initial_state.eval_shape(key, _hashable(model), optimizer, average, image_size)
    return abstract_replicated(shapes, mesh)


# Hundreds of random tensors, each drawn once: compiling them well takes a minute and saves nothing.
@partial(jax.jit, static_argnums=(1, 2, 3, 4), compiler_options={"xla_backend_optimization_level": 0})
def _initial_state(
    key: jax.Array, model: Network, optimizer: optax.GradientTransformation, average: bool, image_size: int
) -> TrainState:
    variables = model.init(key, jnp.zeros((1, image_size, image_size, 3)), train=False)
    params, batch_stats = variables["params"], variables.get("batch_stats", {})
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        batch_stats=batch_stats,
        opt_state=optimizer.init(params),
        averaged={"params": params, "batch_stats": batch_stats} if average else None,
        metrics=empty_metrics(metric_names(model)),
    )


def _hashable(model: Network) -> Network:
    """The same network; its fields may be lists."""
    # Flax makes dataclasses of its modules.
    names = [field.name for field in dataclasses.fields(cast(Any, model))]
    fields = {name: getattr(model, name) for name in names}
    return model.clone(**{name: tuple(value) for name, value in fields.items() if isinstance(value, list)})
