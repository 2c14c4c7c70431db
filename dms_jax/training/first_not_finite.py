"""Where in a training step the first number that is not finite appears: forward, backward or in the update."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from dms_jax.runtime.devices import DATA_AXIS, Batch
from dms_jax.training.objective import Objective
from dms_jax.training.state import TrainState

# Of what is looked at: of a call of a module, before and after it, on the way forward and backward.
_GIVEN, _RETURNED = "given", "returned"
_FORWARD, _BACKWARD = "forward", "backward"


def find_first_not_finite(
    objective: Objective, optimizer: optax.GradientTransformation, mesh: Mesh, state: TrainState, batch: Batch
) -> str | None:
    """Do one step again, module by module, and say where the first number appears that is not finite.

    Compiling it takes as long as compiling a training step does. With several processes, each of them must call it, and
    sees what its own devices compute.

    Args:
      objective: of the training step.
      optimizer: of the training step.
      mesh: that it runs on.
      state: before the step; of finite parameters.
      batch: that it was given.

    Returns:
      The end of a sentence such as "the first that is not finite is the output of step3/conv, forward"; None where all
      is finite.
    """
    calls = _Calls()

    def step(state: TrainState, batch: Batch) -> tuple[dict[str, jax.Array], Any, Any]:
        inputs = objective.inputs(state.step, batch)
        params = jax.tree.map(lambda x: jax.lax.pcast(x, DATA_AXIS, to="varying"), state.params)
        with nn.intercept_methods(calls.intercept):
            gradient = jax.value_and_grad(objective.loss_of, has_aux=True)
            (_, (measured, _)), gradients = gradient(params, state.batch_stats, inputs)
        gradients = jax.lax.psum(gradients, DATA_AXIS)
        updates, _ = optimizer.update(gradients, state.opt_state, state.params)
        return measured, _flags(gradients), _flags(optax.apply_updates(state.params, updates))

    sharded = jax.jit(jax.shard_map(step, mesh=mesh, in_specs=(P(), P(DATA_AXIS)), out_specs=P()))
    measured, gradients, parameters = jax.device_get(sharded(state, batch))
    jax.effects_barrier()
    return (
        calls.first_forward()
        or _first_loss(measured)
        or calls.first_backward(_names(gradients))
        or _first_updated(_names(parameters))
    )


@dataclass
class _Calls:
    """The calls of a network's modules, in the order in which they begin and end, and what was not finite in them."""

    names: list[str] = field(default_factory=list)
    ended: list[int] = field(default_factory=list)
    bad: set[tuple[int, str, str]] = field(default_factory=set)

    def intercept(self, call: Callable[..., Any], args: Any, kwargs: Any, context: nn.module.InterceptorContext) -> Any:
        """Watch what a module is given and returns; see `flax.linen.intercept_methods`."""
        if context.method_name != "__call__":
            return call(*args, **kwargs)
        number = len(self.names)
        self.names.append("/".join(context.module.path))
        returned = call(*self._watched(args, number, _GIVEN), **kwargs)
        self.ended.append(number)
        return self._watched(returned, number, _RETURNED)

    def _watched(self, tree: Any, number: int, where: str) -> Any:
        return jax.tree.map(lambda x: self._watch(x, number, where) if _is_inexact(x) else x, tree)

    def _watch(self, x: jax.Array, number: int, where: str) -> jax.Array:
        def look(way: str, x: jax.Array) -> None:
            note = partial(self._note, (number, where, way))
            jax.debug.callback(note, ~jnp.isfinite(x).all())

        def forward(x: jax.Array) -> tuple[jax.Array, None]:
            look(_FORWARD, x)
            return x, None

        def backward(_: None, gradient: jax.Array) -> tuple[jax.Array]:
            look(_BACKWARD, gradient)
            return (gradient,)

        watch = jax.custom_vjp(lambda x: forward(x)[0])
        watch.defvjp(forward, backward)
        return watch(x)

    def _note(self, key: tuple[int, str, str], is_bad: np.ndarray) -> None:
        if is_bad:
            self.bad.add(key)

    def first_forward(self) -> str | None:
        """The innermost module that makes of finite numbers others, the first of them."""
        for number in self.ended:
            if (number, _RETURNED, _FORWARD) in self.bad and (number, _GIVEN, _FORWARD) not in self.bad:
                return f"the first that is not finite is the output of {self._called(number)}, forward"
        return None

    def first_backward(self, parameters: list[str]) -> str | None:
        """The innermost module that makes of finite gradients others, the last of them.

        Args:
          parameters: those whose gradient is not finite.
        """
        bad = {number for number, _, way in self.bad if way == _BACKWARD}
        whole = self.names.index("") if "" in self.names else 0
        if (whole, _RETURNED, _BACKWARD) in self.bad:
            return "the first that is not finite is the gradient of the loss with respect to the network's outputs"
        # Backwards, a module's parts come after it, and the last part first.
        for number in reversed(range(len(self.names))):
            if (number, _RETURNED, _BACKWARD) in self.bad:
                continue
            own = [name for name in parameters if name.rpartition("/")[0] == self.names[number]]
            if own or number in bad:
                what = f"the gradient of {own[0]}" if own else f"the gradient that {self._called(number)} hands back"
                return f"the first that is not finite is {what}, backward"
        return f"the gradient of {parameters[0]} is not finite, backward" if parameters else None

    def _called(self, number: int) -> str:
        return self.names[number] or "the network"


def _is_inexact(x: Any) -> bool:
    return isinstance(x, jax.Array) and jnp.issubdtype(x.dtype, jnp.inexact)


def _flags(tree: Any) -> Any:
    return jax.tree.map(lambda x: ~jnp.isfinite(x).all(), tree)


def _names(flags: Any) -> list[str]:
    """The paths of what is flagged."""
    return [
        jax.tree_util.keystr(path, simple=True, separator="/")
        for path, flag in jax.tree_util.tree_flatten_with_path(flags)[0]
        if flag
    ]


def _first_loss(measured: dict[str, Any]) -> str | None:
    """The innermost of the losses: "saliency_loss/2" before "saliency_loss" before "loss"."""
    bad = [name for name, value in measured.items() if not np.isfinite(value)]
    names = sorted(bad, key=lambda name: ("/" not in name, name == "loss", name))
    return f"the outputs of the network are finite, and the first that is not is {names[0]}" if names else None


def _first_updated(parameters: list[str]) -> str | None:
    return f"the gradients are finite, but {parameters[0]} is not after its update" if parameters else None
