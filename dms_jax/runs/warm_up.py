"""What stands between a configuration and its first step, as much of it as possible at the same time."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from threading import Event
from typing import Any

import grain
import jax
import optax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from dms_jax.checkpoints.manager import Checkpoints
from dms_jax.models.network import Network
from dms_jax.runs.config.build import compile_train_step
from dms_jax.runs.initialization import starting_state
from dms_jax.runs.monitoring.writers import load_tensorboard
from dms_jax.runs.validation import Validation
from dms_jax.runtime.devices import Batch, is_gpu
from dms_jax.training.state import TrainState, abstract_state

# In one program: one for each operation and shape would take half a minute to compile on a GPU.
parameter_norm = jax.jit(optax.tree.norm)


@dataclass(frozen=True)
class WarmUp:
    """A run that is ready for its first step.

    Attributes:
      train_step: compiled.
      state: to resume from.
      sentences: what to tell the user of it.
      pause_prepared: done when the first evaluation need not be waited for by Python any more.
    """

    train_step: Callable[[TrainState, Batch], TrainState]
    state: TrainState
    sentences: tuple[str, ...]
    pause_prepared: Future[None]


def warm_up(
    config: ConfigDict,
    model: Network,
    optimizer: optax.GradientTransformation,
    mesh: Mesh,
    checkpoints: Checkpoints,
    batches: grain.DatasetIterator,
    validation: Validation | None,
    *,
    ignores: bool,
    donate: bool,
    describe: Callable[[TrainState], None],
) -> WarmUp:
    """Compile the training step, and make or restore the state meanwhile.

    Compiling takes a minute on a GPU, drawing random weights ten seconds on the CPU, tracing the first evaluation
    three: with all three at once, the first step and the first evaluation come that much sooner
    (benchmarks/README.md). What is read from a file may not fit, which is to be said before that minute.

    Args:
      config: the run's.
      model: the network.
      optimizer: the optimiser.
      mesh: that the step runs on.
      checkpoints: the run's own.
      batches: the run's training batches; set to where the latest checkpoint was.
      validation: what will be evaluated, if anything.
      ignores: see `dms_jax.training.step.make_train_step`.
      donate: the same.
      describe: called with a state that is not a restored one.

    Raises:
      UserError: see `dms_jax.runs.initialization.starting_state`.
    """
    average, image_size = config.average_decay > 0, config.data.image_size
    target = abstract_state(model, optimizer, mesh, average=average, image_size=image_size)
    resumes = checkpoints.latest_step is not None
    draws = not (resumes or config.init.checkpoint or config.init.backbone)
    later = ThreadPoolExecutor(1)
    prepared: list[Future[None]] = []

    lowered = Event()

    def compile_step() -> Callable[[TrainState, Batch], TrainState]:
        def on_lowered() -> None:
            lowered.set()
            # A CPU compiles with all its cores: there, nothing would be had for nothing.
            prepared.append(later.submit(_prepare_pause if is_gpu(mesh) else lambda *_: None, validation, target))

        try:
            options = {"ignores": ignores, "donate": donate}
            return compile_train_step(config, model, optimizer, mesh, target, **options, on_lowered=on_lowered)
        finally:
            lowered.set()

    with ThreadPoolExecutor(1) as compiler:
        compiled = compiler.submit(compile_step) if draws else None
        if draws and is_gpu(mesh):
            # Two threads that trace take turns, and XLA's minute would begin later.
            lowered.wait()
        state, sentences = starting_state(config, model, optimizer, mesh, checkpoints, batches)
        if not resumes:
            describe(state)
        compiled = compiled or compiler.submit(compile_step)
        train_step = compiled.result()
    later.shutdown(wait=False)
    return WarmUp(train_step, state, sentences, prepared[0])


def _prepare_pause(validation: Validation | None, state: Any) -> None:
    """Do what the first pause would wait for, while XLA compiles the step and Python has nothing else to do."""
    load_tensorboard()
    parameter_norm.lower(state.params).compile()
    if validation is not None:
        validation.trace_ahead(state.inference_variables)
