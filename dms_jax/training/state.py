"""Everything that a training step reads and changes, in one immutable value."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax
from clu import metrics
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from dms_jax.models import DMS
from dms_jax.training.devices import cpu_device

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
      metrics: averages of the figures of the steps since they were last written.
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


def metric_names(model: DMS) -> tuple[str, ...]:
    """Names of the figures that a training step of the network measures."""
    outputs = len(model.schedule)
    names = ["loss", "saliency_loss", *(f"saliency_loss/{i}" for i in range(outputs))]
    if model.has_class_heads:
        names += ["class_loss", "accuracy"]
    return tuple(names)


def empty_metrics(names: tuple[str, ...]) -> dict[str, metrics.Average]:
    """Averages of nothing yet."""
    return {name: metrics.Average(total=jnp.zeros((), jnp.float32), count=jnp.zeros((), jnp.int32)) for name in names}


def create_state(
    model: DMS,
    optimizer: optax.GradientTransformation,
    *,
    seed: int,
    defective_share: float | None = None,
    average: bool = False,
) -> TrainState:
    """A state with random parameters.

    Args:
      model: the network.
      optimizer: whose state is initialised.
      seed: decides the parameters.
      defective_share: share of defective pixels in the training set: the saliency maps begin there (see
        `with_saliency_prior`). None leaves them at 0.5.
      average: keep an exponential average of the variables.

    Returns:
      The state before the first step.
    """
    # On the CPU, so that a seed gives the same parameters whatever the accelerator.
    key = jax.device_put(jax.random.key(seed), _host())
    state = _initial_state(key, _hashable(model), optimizer, average)
    if defective_share is None:
        return state
    with_prior = partial(with_saliency_prior, share=defective_share, every_step=not model.refines)
    averaged = state.averaged
    if averaged is not None:
        averaged = averaged | {"params": with_prior(averaged["params"])}
    return state.replace(params=with_prior(state.params), averaged=averaged)


def copied(tree: Any) -> Any:
    """The arrays of a tree once more, on the CPU: the same array twice in one state could not be donated to the step.

    By NumPy: JAX's own copy is compiled for every shape, which takes seconds.
    """
    return jax.tree.map(lambda x: jax.device_put(np.array(x), _host()), tree)


def _host() -> jax.Device:
    return cpu_device() or jax.local_devices()[0]


def abstract_state(
    model: DMS, optimizer: optax.GradientTransformation, mesh: Mesh, *, average: bool = False
) -> TrainState:
    """The shapes and types of `create_state`'s result, replicated over a mesh: what a checkpoint is restored into."""
    sharding = NamedSharding(mesh, PartitionSpec())
    # Traced as `create_state` calls it, which need not do so again.
    key = jax.eval_shape(lambda: jax.random.key(0))
    shapes = _initial_state.eval_shape(key, _hashable(model), optimizer, average)
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), shapes)


# Hundreds of random tensors, each drawn once: compiling them well takes a minute and saves nothing.
@partial(jax.jit, static_argnums=(1, 2, 3), compiler_options={"xla_backend_optimization_level": 0})
def _initial_state(key: jax.Array, model: DMS, optimizer: optax.GradientTransformation, average: bool) -> TrainState:
    # The parameters do not depend on the size of the pictures.
    variables = model.init(key, jnp.zeros((1, 64, 64, 3)), train=False)
    params = variables["params"]
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        batch_stats=variables["batch_stats"],
        opt_state=optimizer.init(params),
        averaged={"params": params, "batch_stats": variables["batch_stats"]} if average else None,
        metrics=empty_metrics(metric_names(model)),
    )


def _hashable(model: DMS) -> DMS:
    """The same network; its fields may be lists."""
    return model.clone(schedule=tuple(model.schedule), stage_sizes=tuple(model.stage_sizes))


def with_saliency_prior(params: Mapping[str, Any], share: float, *, every_step: bool = False) -> dict[str, Any]:
    """Set the bias of the saliency map to the logit of the share of defective pixels.

    The first step's map starts at log(share / (1 - share)) instead of 0, so that training does not begin with
    unlearning that half of all pixels are defective (Lin et al., "Focal Loss", 2017, section 3.3). The other steps add
    to the map before them, and their biases stay.

    Args:
      params: of a network as `DMS` initialises it.
      share: 0..1; kept away from both ends.
      every_step: set all the maps' biases: those of a network without residual refinement, whose steps do not add.
    """
    share = float(np.clip(share, 1e-4, 1 - 1e-4))
    logit = float(np.log(share / (1 - share)))

    def prior(path: tuple[Any, ...], leaf: jax.Array) -> jax.Array:
        names = [key.key for key in path]
        is_first = names == ["step0", "saliency", "bias"]
        is_later = names[1:] == ["residual", "saliency", "bias"]
        if not (is_first or (every_step and is_later)):
            return leaf
        return jax.device_put(np.full(leaf.shape, logit, leaf.dtype), leaf.sharding)

    return jax.tree_util.tree_map_with_path(prior, dict(params))
