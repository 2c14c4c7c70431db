"""Random weights whose BatchNorm statistics are those of images, as training leaves them: no network explodes."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from drawn_state import INITIAL

from dms_jax.models.layers import MOMENTUM
from dms_jax.models.network import Network
from dms_jax.models.preprocessing import normalize


def realistic_variables(model: Network, images: np.ndarray) -> Any:
    """Variables {"params", "batch_stats"} of a network, for images like these, uint8 [B, H, W, 3].

    Saliency maps vary by about as much as a trained network's.
    """
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), jnp.zeros((1, 64, 64, 3)), train=False))
    random = np.random.default_rng(0)

    def fill(path: Any, leaf: Any) -> np.ndarray:
        name = path[-1].key
        if name == "kernel":
            return random.standard_normal(leaf.shape, np.float32) * np.float32(np.sqrt(2 / np.prod(leaf.shape[:-1])))
        if name == "bias":
            return random.standard_normal(leaf.shape, np.float32) / 10
        if name == "scale" and path[-2].key == "norm3":
            # As in trained networks, a bottleneck adds little to its shortcut; else rounding grows.
            return np.full(leaf.shape, 0.2, np.float32)
        return np.full(leaf.shape, INITIAL[name], np.float32)

    variables = jax.tree_util.tree_map_with_path(fill, dict(shapes))
    step = jax.jit(lambda v: model.apply(v, normalize(images), train=True, mutable=["batch_stats"])[1])
    moved = jax.device_get(step(variables))["batch_stats"]

    def of_the_batch(before: np.ndarray, after: np.ndarray) -> np.ndarray:
        return ((after - MOMENTUM * before) / (1 - MOMENTUM)).astype(np.float32)

    # The statistics of the batch itself, rather than a tenth of the way to them.
    statistics = jax.tree.map(of_the_batch, variables["batch_stats"], dict(moved))
    return {"params": variables["params"], "batch_stats": statistics}


def live_outputs(model: Network, variables: Any, images: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Saliency [B, N, H, W] in 0..1 and class probabilities [B, N, K], or None, of the network as it was trained."""

    def predict(variables: Any, images: jax.Array) -> Any:
        output = model.apply(variables, normalize(images), train=False)
        saliency = jnp.stack([jax.nn.sigmoid(s[..., 0]) for s in output.saliency], axis=1)
        return saliency, jax.nn.softmax(jnp.stack(output.classes, axis=1)) if output.classes else None

    return jax.device_get(jax.jit(predict)(variables, images))
