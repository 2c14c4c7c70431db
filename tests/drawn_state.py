"""A state as before a run's first step, without the compilation of its drawing, which takes seconds."""

from typing import Any

import jax
import numpy as np
import optax

from dms_jax.models.network import Network
from dms_jax.runtime.devices import data_mesh
from dms_jax.training.state import TrainState, abstract_state

INITIAL = {"scale": 1, "var": 1, "negative_slope": 0.25, "bias": 0, "mean": 0}


def drawn_state(
    model: Network, optimizer: optax.GradientTransformation, *, seed: int = 0, average: bool = False
) -> TrainState:
    """What `create_state` makes but for the kernels, which NumPy draws by He's scale; of SGD, and without a prior."""
    shapes = abstract_state(model, optimizer, data_mesh(jax.devices()[:1]), average=average)
    random = np.random.default_rng(seed)

    def draw(path: Any, x: jax.ShapeDtypeStruct) -> np.ndarray:
        name = path[-1].key
        if name == "kernel":
            return random.standard_normal(x.shape, np.float32) * np.float32(_scale(x.shape))
        return np.full(x.shape, INITIAL[name], x.dtype)

    drawn = {name: jax.tree_util.tree_map_with_path(draw, getattr(shapes, name)) for name in ("params", "batch_stats")}
    zeros = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), shapes)
    state = zeros.replace(**drawn, averaged=drawn if average else None)
    return jax.tree.map(lambda x: jax.device_put(np.array(x), jax.devices()[0]), state)


def _scale(shape: tuple[int, ...]) -> float:
    if len(shape) == 2:
        return 1 / np.sqrt(shape[0])
    # That of a saliency map is smaller, but larger than at first: the images' losses are to differ.
    return 0.1 if shape[-1] == 1 else np.sqrt(2 / (shape[0] * shape[1] * shape[-1]))
