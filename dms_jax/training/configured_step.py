"""The training step that a configuration describes, compiled."""

from collections.abc import Callable

import optax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from dms_jax.models import DMS
from dms_jax.training import configuration
from dms_jax.training.compilation import compile_ahead
from dms_jax.training.state import TrainState
from dms_jax.training.step import Batch, abstract_batch, make_train_step


def compile_train_step(
    config: ConfigDict,
    model: DMS,
    optimizer: optax.GradientTransformation,
    mesh: Mesh,
    state: TrainState,
    when_traced: Callable[[], object] = lambda: None,
) -> Callable[[TrainState, Batch], TrainState]:
    """Compile the step for the configuration's batches and for states as the given one, which may be abstract.

    For `when_traced` see `dms_jax.training.compilation.compile_ahead`.
    """
    train_step = make_train_step(
        model,
        optimizer,
        mesh,
        loss=configuration.loss_config(config),
        augment=configuration.augment_config(config),
        seed=config.seed,
        average_decay=config.average_decay,
        deterministic=config.deterministic,
    )
    batch = abstract_batch(config.batch_size, config.data.image_size, mesh)
    return compile_ahead(train_step, state, batch, when_traced=when_traced)
