"""Numbers that are not finite: which step, which images and which layer a run names."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn
from odd_images import ROOT, write_images, write_tiny_config

from configs import quickstart
from dms_jax.models.network import SaliencyOutput
from dms_jax.runs.config import build
from dms_jax.runs.dataset import open_dataset
from dms_jax.runs.splits import choose_splits
from dms_jax.runtime.devices import data_mesh, replicate, shard_batch
from dms_jax.training.augment import AugmentConfig
from dms_jax.training.first_not_finite import find_first_not_finite
from dms_jax.training.losses import LossConfig
from dms_jax.training.objective import Objective
from dms_jax.training.state import add_metrics, create_state, empty_metrics

PLAIN = AugmentConfig(horizontal_flip=False, rotation=0.0)
# Of `Fragile.between`: what follows the first layer.
FINE: Callable[[jax.Array], jax.Array] = jnp.tanh


def root(x: jax.Array) -> jax.Array:
    """Zero everywhere, but without a gradient there."""
    return jnp.sqrt(0 * x)


class Between(nn.Module):
    function: Callable[[jax.Array], jax.Array]

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        return self.function(x)


class Fragile(nn.Module):
    """Two layers, and something between them."""

    between: Callable[[jax.Array], jax.Array] = FINE
    num_classes: int = 2
    dtype: Any = jnp.float32
    axis_name: str | None = None
    num_outputs: int = 1
    has_class_heads: bool = False

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool) -> SaliencyOutput:
        x = nn.Dense(2, name="first")(images)
        x = Between(self.between, name="between")(x)
        return SaliencyOutput((nn.Dense(1, name="last")(x),), (), {})


def found(model: Fragile, *, rate: float = 0.1, loss: LossConfig | None = None, first: float | None = None) -> Any:
    optimizer = optax.sgd(rate)
    mesh = data_mesh(jax.devices()[:1])
    state = create_state(model, optimizer, seed=0)  # type: ignore[arg-type]
    if first is not None:
        state.params["first"]["kernel"] = jnp.full_like(state.params["first"]["kernel"], first)
    objective = Objective(model, loss or LossConfig(), PLAIN, seed=0)  # type: ignore[arg-type]
    batch = {
        "image": np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), np.uint8),
        "mask": np.full((2, 8, 8, 1), 255, np.uint8),
        "label": np.zeros(2, np.int32),
    }
    return find_first_not_finite(objective, optimizer, mesh, replicate(state, mesh), shard_batch(batch, mesh))


def test_the_layer_is_named_where_numbers_stop_being_finite() -> None:
    assert found(Fragile()) is None
    assert found(Fragile(), first=3e38) == "the first that is not finite is the output of first, forward"
    assert found(Fragile(jnp.log)) == "the first that is not finite is the output of between, forward"
    assert found(Fragile(root)) == "the first that is not finite is the gradient that between hands back, backward"
    assert re.fullmatch(
        r"the gradients are finite, but \w+/\w+ is not after its update", str(found(Fragile(), rate=np.inf))
    )
    broken = LossConfig(saliency_weight=3e38, output_weights=(3e38,))
    assert "the outputs of the network are finite, and the first that is not is" in found(Fragile(), loss=broken)


def test_the_metrics_tell_afterwards_which_step_it_was() -> None:
    def after(losses: list[float], sound: list[bool]) -> Any:
        averages = empty_metrics(("loss", "accuracy"))
        for loss, is_sound in zip(losses, sound, strict=True):
            measured = {"loss": jnp.float32(loss), "accuracy": jnp.float32(1), "labelled": jnp.float32(1)}
            averages = add_metrics(averages, measured, jnp.bool_(is_sound))
        return averages

    whole = after([1, 2, 3], [True] * 3)
    assert (float(whole["loss"].compute()), int(whole["loss"].count)) == (2, 3)
    for losses, sound in (
        ([1, np.nan, 3, 4], [True] * 4),
        ([1, np.inf, 3, -np.inf], [True] * 4),
        ([1, 2, 3, 4], [True, False, True, True]),
    ):
        broken = after(losses, sound)
        assert int(broken["loss"].count) == 1
        assert not np.isfinite(broken["loss"].total)
        assert float(broken["accuracy"].compute()) == 1


@pytest.mark.parametrize(("resize", "balance"), [("squash", 0.0), ("squash", 0.5), ("tiles", 0.0)])
def test_the_images_of_a_step_are_those_that_it_is_given(resize: str, balance: float, tmp_path: Path) -> None:
    config = quickstart.get_config()
    config.batch_size = 3
    config.data.data_dir, config.data.resize, config.data.balance = str(tmp_path), resize, balance
    config.data.image_size, config.data.synthetic.size, config.data.synthetic.images = 32, 48, 20
    config.data.threads = 2
    dataset = open_dataset(config)
    splits = choose_splits(dataset, config)
    pictures: dict[bytes, set[str]] = {}
    for source in splits.train:
        for crops in [build._training_crops(config, splits, None)[0]]:
            for index, name in enumerate(crops.names()):
                pictures.setdefault(crops[index]["image"].tobytes(), set()).add(name)
        assert len(crops.names()) >= len(source)
    batches = build.read_training_batches(config, splits)
    try:
        for step in range(1, 12):
            shown = next(batches)["image"]
            names = build.names_in_batch(config, splits, step)
            assert len(names) == 3
            assert all(name in pictures[image.tobytes()] for name, image in zip(names, shown, strict=True))
    finally:
        batches.close()


@pytest.mark.slow
@pytest.mark.parametrize("debugs", [False, True])
def test_a_run_with_too_high_a_learning_rate_says_where_it_broke(debugs: bool, tmp_path: Path) -> None:
    write_images(tmp_path / "images", {"free": 8, "scratch": 8})
    config = write_tiny_config(tmp_path)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "dms_jax.cli", "train", f"--config={config}", f"--workdir={tmp_path / 'run'}"),
            *(f"--config.data.manual_dir={tmp_path / 'images'}", f"--config.data.data_dir={tmp_path / 'data'}"),
            *("--config.steps=40", "--config.log_every=20", "--config.evaluate_every=20"),
            "--config.optimizer.learning_rate=1e12",
        ],
        env={**os.environ, "PYTHONPATH": str(ROOT), "JAX_DEBUG_NANS": str(int(debugs))},
        capture_output=True,
        text=True,
        check=False,
    )
    sentence = done.stderr.splitlines()[-1]
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert re.search(r"the loss is not finite at step \d, of the images (\S+\.png, ){3}\S+\.png", sentence)
    assert ("the output of" in sentence) == debugs
    assert ("JAX_DEBUG_NANS" in sentence) != debugs
