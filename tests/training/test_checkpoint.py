"""Checkpoints: what they hold, and when."""

import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grain
import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest

from dms_jax.errors import UserError
from dms_jax.training import snapshot
from dms_jax.training.checkpoint import Checkpoints
from dms_jax.training.state import TrainState


def state_of(step: int, value: float) -> TrainState:
    """A state of one parameter."""
    return TrainState(
        step=jax.numpy.asarray(step),
        params={"scale": jax.numpy.full(3, value)},
        batch_stats={},
        opt_state=(),
        averaged=None,
        metrics={},
    )


def full(tree: Any) -> None:
    raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: no memory")


def numbers() -> Iterator[int]:
    return iter(grain.MapDataset.range(10).to_iter_dataset())


@pytest.mark.parametrize("joined", ["on the host", "on the device", "on the host, the device's memory being full"])
def test_a_checkpoint_is_of_the_moment_at_which_it_was_asked_for(
    joined: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The steps after it, which write to the same memory, do not wait for Orbax."""
    if joined != "on the host":
        monkeypatch.setattr(snapshot, "_are_on_cpu", lambda tree: False)
    if "full" in joined:
        monkeypatch.setattr(snapshot, "pack_on_devices", full)
    may_save = threading.Event()
    save = ocp.CheckpointManager.save

    def late(*arguments: Any, **named: Any) -> bool:
        assert may_save.wait(60)
        return save(*arguments, **named)

    monkeypatch.setattr(ocp.CheckpointManager, "save", late)
    next_step = jax.jit(lambda state: jax.tree.map(lambda x: x + 1, state), donate_argnums=0)
    state, batches = state_of(4, 0.5), numbers()
    next(batches)
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(state, batches)
        checkpoints.save_best(4, {"params": state.params}, 0.25)
        state = jax.block_until_ready(next_step(state))
        assert next(batches) == 1
        may_save.set()
        assert (checkpoints.latest_step, checkpoints.best_step, checkpoints.best_score) == (4, 4, 0.25)
    batches = numbers()
    with Checkpoints(tmp_path) as checkpoints:
        restored = checkpoints.restore(state_of(0, 0.0), batches)
        best = checkpoints.restore_best({"params": state.params})
    assert int(restored.step) == 4
    np.testing.assert_array_equal(restored.params["scale"], [0.5] * 3)
    np.testing.assert_array_equal(best["params"]["scale"], [0.5] * 3)
    assert next(batches) == 1


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(state_of(4, 0.5), numbers())
    other = state_of(0, 0.0).replace(params={"bias": jax.numpy.ones(3)})
    with Checkpoints(tmp_path) as checkpoints:
        with pytest.raises(
            UserError, match=r"checkpoints/4 is of another version.*params/scale \[3\] .*instead of params/bias \[3\]"
        ):
            checkpoints.restore(other, numbers())
        shutil.rmtree(tmp_path / "checkpoints" / "4" / "layout")
        with pytest.raises(UserError, match=r"checkpoints/4 is of an earlier version"):
            checkpoints.restore(state_of(0, 0.0), numbers())


def test_an_interruption_waits_until_a_checkpoint_is_handed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = ocp.CheckpointManager.save

    def slow(*arguments: Any, **named: Any) -> bool:
        # By then the other thread waits.
        time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.5)
        return save(*arguments, **named)

    monkeypatch.setattr(ocp.CheckpointManager, "save", slow)
    with pytest.raises(KeyboardInterrupt), Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(state_of(4, 0.5), numbers())
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.latest_step == 4


@pytest.mark.parametrize("seen_by", ["the next", "close"])
def test_what_fails_in_the_background_is_not_lost(
    seen_by: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*arguments: Any, **named: Any) -> bool:
        raise OSError("no space")

    monkeypatch.setattr(ocp.CheckpointManager, "save", fails)
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(state_of(4, 0.5), numbers())
    with pytest.raises(UserError, match=r"checkpoints cannot be written \(no space\): make room.*same command"):
        checkpoints.save(state_of(5, 0.5), numbers()) if seen_by == "the next" else checkpoints.close()
    checkpoints.close()


def test_what_is_saved_in_a_pause_is_written_after_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The best first, as a whole: without it, a state of the same step would not be measured again."""
    handed = []
    save = ocp.CheckpointManager.save
    monkeypatch.setattr(
        ocp.CheckpointManager,
        "save",
        lambda self, *given, **named: (
            handed.append((self.directory.name, (tmp_path / "best" / "4").is_dir())) or save(self, *given, **named)
        ),
    )
    with Checkpoints(tmp_path) as checkpoints:
        with checkpoints.written_afterwards():
            checkpoints.save(state_of(4, 0.5), numbers())
            checkpoints.save_best(4, {"params": np.ones(3)}, 0.5)
            time.sleep(0.1)
            assert handed == []
        assert (checkpoints.latest_step, checkpoints.best_step) == (4, 4)
        assert handed == [("best", False), ("checkpoints", True)]
        with checkpoints.written_afterwards():
            checkpoints.save(state_of(5, 0.5), numbers())
            checkpoints.save_best(5, {"params": np.ones(3)}, 0.5)
            # Whoever asks waits for it, within the pause too, and as in this order.
            assert checkpoints.latest_step == 5
            assert [name for name, _ in handed[2:]] == ["best", "checkpoints"]


def test_a_best_checkpoint_that_the_run_has_not_reached_is_forgotten(tmp_path: Path) -> None:
    variables = {"params": np.ones(3)}
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save_best(5, variables, 0.5)
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.drop_best_after(5)
        assert (checkpoints.best_step, checkpoints.best_score) == (5, 0.5)
        checkpoints.drop_best_after(4)
        assert (checkpoints.best_step, checkpoints.best_score) == (None, None)


@pytest.mark.parametrize("part", ["checkpoints/4/state", "checkpoints/4/layout", "checkpoints/4/data", "best/4/score"])
def test_damage_is_named_with_the_mend(part: str, tmp_path: Path) -> None:
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(state_of(4, 0.5), numbers())
        checkpoints.save_best(4, {"params": np.ones(3)}, 0.5)
    for path in (tmp_path / part).rglob("*"):
        if path.is_file():
            path.write_bytes(path.read_bytes()[:-9])
    step = "/".join(part.split("/")[:2])
    with Checkpoints(tmp_path) as checkpoints, pytest.raises(UserError, match=f"/{step} is damaged: remove it, .*"):
        checkpoints.best_score if part.startswith("best") else checkpoints.restore(state_of(0, 0.0), numbers())
    shutil.rmtree(tmp_path / step)
    with Checkpoints(tmp_path) as checkpoints:
        assert (checkpoints.best_step if part.startswith("best") else checkpoints.latest_step) is None


def test_a_damaged_best_checkpoint_is_named(tmp_path: Path) -> None:
    variables = {"params": jax.numpy.ones(3)}
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save_best(5, variables, 0.5)
    shutil.rmtree(tmp_path / "best" / "5" / "variables")
    with (
        Checkpoints(tmp_path) as checkpoints,
        pytest.raises(UserError, match=r"best/5 is damaged: bring back a copy, or train anew \(.*variables"),
    ):
        checkpoints.restore_best(variables)
