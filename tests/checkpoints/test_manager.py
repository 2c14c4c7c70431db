"""Checkpoints: what they hold, and when."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grain
import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest

from dms_jax.checkpoints.folders import has_checkpoint, steps_in
from dms_jax.checkpoints.manager import Checkpoints
from dms_jax.errors import UserError
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


def numbers() -> Iterator[int]:
    return iter(grain.MapDataset.range(10).to_iter_dataset())


def test_a_checkpoint_is_of_the_moment_at_which_it_was_asked_for(tmp_path: Path) -> None:
    """The steps after it write to the same memory."""
    next_step = jax.jit(lambda state: jax.tree.map(lambda x: x + 1, state), donate_argnums=0)
    state, batches = state_of(4, 0.5), numbers()
    next(batches)
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save_best(4, {"params": state.params}, 0.25)
        checkpoints.save(4, state, batches)
        state = jax.block_until_ready(next_step(state))
        assert next(batches) == 1
        assert (checkpoints.latest_step, checkpoints.best_step, checkpoints.best_score) == (4, 4, 0.25)
    batches = numbers()
    with Checkpoints(tmp_path) as checkpoints:
        restored = checkpoints.restore(state_of(0, 0.0), batches)
        best = checkpoints.restore_best({"params": state.params})
    assert int(restored.step) == 4
    np.testing.assert_array_equal(restored.params["scale"], [0.5] * 3)
    np.testing.assert_array_equal(best["params"]["scale"], [0.5] * 3)
    assert next(batches) == 1


def test_orbax_reads_a_state_without_this_project(tmp_path: Path) -> None:
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(4, state_of(4, 0.5), numbers())
    tree = ocp.StandardCheckpointer().restore(tmp_path / "checkpoints" / "4" / "state")
    np.testing.assert_array_equal(tree["params"]["scale"], [0.5] * 3)
    assert int(tree["step"]) == 4


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(4, state_of(4, 0.5), numbers())
    other = state_of(0, 0.0).replace(params={"bias": jax.numpy.ones(3)})
    with (
        Checkpoints(tmp_path) as checkpoints,
        pytest.raises(
            UserError, match=r"checkpoints/4 is of another version.*params/scale \[3\] .*instead of params/bias \[3\]"
        ),
    ):
        checkpoints.restore(other, numbers())


@pytest.mark.parametrize("shape", [2, (3, 1)])
def test_a_checkpoint_of_another_size_is_refused(shape: Any, tmp_path: Path) -> None:
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(4, state_of(4, 0.5), numbers())
    other = state_of(0, 0.0).replace(params={"scale": jax.numpy.ones(shape)})
    with Checkpoints(tmp_path) as checkpoints, pytest.raises(UserError, match=r"checkpoints/4 is of another version"):
        checkpoints.restore(other, numbers())


@pytest.mark.parametrize("seen_by", ["the next", "close"])
def test_what_fails_in_the_background_is_not_lost(
    seen_by: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints = Checkpoints(tmp_path)

    def fails(*arguments: Any, **named: Any) -> None:
        raise OSError("no space")

    checkpoints.save_best(4, {"params": np.ones(3)}, 0.5)
    with monkeypatch.context() as patch:
        patch.setattr(ocp.CheckpointManager, "wait_until_finished", fails)
        with pytest.raises(UserError, match=r"best cannot be written \(no space\): make room.*same command"):
            checkpoints.save(4, state_of(4, 0.5), numbers()) if seen_by == "the next" else checkpoints.close()
    checkpoints.close()


def test_the_best_is_written_before_the_state_of_its_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it, a state of the same step would not be measured again."""
    saved = []
    save = ocp.CheckpointManager.save
    monkeypatch.setattr(
        ocp.CheckpointManager,
        "save",
        lambda self, *given, **named: (
            saved.append((self.directory.name, (tmp_path / "best" / "4").is_dir())) or save(self, *given, **named)
        ),
    )
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save_best(4, {"params": np.ones(3)}, 0.5)
        checkpoints.save(4, state_of(4, 0.5), numbers())
    assert saved == [("best", False), ("checkpoints", True)]


def test_a_run_that_failed_resumes_with_the_best_network_until_its_latest_state(tmp_path: Path) -> None:
    """The later one, which is there to predict with, is forgotten then."""
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save_best(3, {"params": state_of(3, 0.25).params}, 0.25)
        checkpoints.save(4, state_of(4, 0.5), numbers())
        checkpoints.save_best(6, {"params": state_of(6, 0.75).params}, 0.75)
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.best_step == 6
        checkpoints.drop_best_after(checkpoints.latest_step)
        assert (checkpoints.latest_step, checkpoints.best_step, checkpoints.best_score) == (4, 3, 0.25)


def test_a_run_without_room_for_a_state_resumes_with_the_best_network_until_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The best network of the state that is missing takes less room, and is there."""
    save = ocp.CheckpointManager.save

    def fails(self: ocp.CheckpointManager, *given: Any, **named: Any) -> Any:
        if self.directory.name == "checkpoints":
            raise OSError("no space")
        return save(self, *given, **named)

    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save_best(4, {"params": state_of(4, 0.25).params}, 0.25)
        checkpoints.save(4, state_of(4, 0.5), numbers())
        checkpoints.save_best(6, {"params": state_of(6, 0.75).params}, 0.75)
        monkeypatch.setattr(ocp.CheckpointManager, "save", fails)
        with pytest.raises(UserError, match="no space"):
            checkpoints.save(6, state_of(6, 0.5), numbers())
    monkeypatch.undo()
    with Checkpoints(tmp_path) as checkpoints:
        assert (checkpoints.latest_step, checkpoints.best_step) == (4, 6)
        checkpoints.drop_best_after(4)
        assert (checkpoints.best_step, checkpoints.best_score) == (4, 0.25)


def test_one_best_network_is_kept_once_the_state_of_its_step_is_whole(tmp_path: Path) -> None:
    with Checkpoints(tmp_path) as checkpoints:
        for step in (3, 6, 9):
            checkpoints.save_best(step, {"params": state_of(step, 0.25).params}, 0.25)
            checkpoints.save(step, state_of(step, 0.5), numbers())
            assert len(steps_in(tmp_path / "best")) <= 2
    assert steps_in(tmp_path / "best") == [9]


def test_a_damaged_best_network_leaves_the_one_before_it(tmp_path: Path) -> None:
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save_best(3, {"params": np.ones(3)}, 0.25)
        checkpoints.save(4, state_of(4, 0.5), numbers())
        checkpoints.save_best(6, {"params": np.ones(3)}, 0.5)
    shutil.rmtree(tmp_path / "best" / "6" / "score")
    with Checkpoints(tmp_path) as checkpoints:
        (sentence,) = checkpoints.set_aside_damaged()
        assert sentence.endswith(
            "called 6.damaged: the run chooses its best network among the one of step 3 and those to come."
        )
        assert (checkpoints.best_step, checkpoints.best_score) == (3, 0.25)


def test_whoever_predicts_with_a_run_leaves_its_checkpoints_as_they_are(tmp_path: Path) -> None:
    variables = {"params": np.ones(3)}
    for step in (3, 6):
        with Checkpoints(tmp_path) as checkpoints:
            checkpoints.save_best(step, variables, 0.25)
    with Checkpoints(tmp_path / "state") as checkpoints:
        checkpoints.save(6, state_of(6, 0.5), numbers())
    shutil.move(tmp_path / "state" / "checkpoints" / "6", tmp_path / "checkpoints")
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.restore_best(jax.tree.map(jax.numpy.asarray, variables))
    assert sorted(steps_in(tmp_path / "best")) == [3, 6]


def test_a_run_that_failed_before_any_state_keeps_its_best_network(tmp_path: Path) -> None:
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save_best(3, {"params": state_of(3, 0.25).params}, 0.25)
    with Checkpoints(tmp_path) as checkpoints:
        assert (checkpoints.latest_step, checkpoints.best_step) == (None, 3)


def test_a_best_checkpoint_that_the_run_has_not_reached_is_forgotten(tmp_path: Path) -> None:
    variables = {"params": np.ones(3)}
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save_best(5, variables, 0.5)
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.drop_best_after(5)
        assert (checkpoints.best_step, checkpoints.best_score) == (5, 0.5)
        checkpoints.drop_best_after(4)
        assert (checkpoints.best_step, checkpoints.best_score) == (None, None)


@pytest.mark.parametrize("part", ["checkpoints/4/state", "checkpoints/4/data", "best/4/score"])
def test_damage_is_named_with_the_mend(part: str, tmp_path: Path) -> None:
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(4, state_of(4, 0.5), numbers())
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


@pytest.mark.parametrize("content", ["", "notes.txt", "state"])
def test_a_folder_that_is_named_like_a_step_is_no_checkpoint(content: str, tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints" / "7"
    (folder / content).mkdir(parents=True)
    with Checkpoints(tmp_path) as checkpoints, pytest.raises(UserError, match=r"7 is damaged: remove it, and the run"):
        checkpoints.check_latest()
    shutil.rmtree(folder)
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(4, state_of(4, 0.5), numbers())
        checkpoints.check_latest()
    (folder / content).mkdir(parents=True)
    with Checkpoints(tmp_path) as checkpoints:
        for look in (checkpoints.check_latest, lambda: checkpoints.restore(state_of(0, 0.0), numbers())):
            with pytest.raises(UserError, match=r"7 is damaged: .* from the one before it, of step 4 "):
                look()
    shutil.rmtree(folder)
    with Checkpoints(tmp_path) as checkpoints:
        assert int(checkpoints.restore(state_of(0, 0.0), numbers()).step) == 4


def test_what_was_begun_and_what_others_put_there_is_no_checkpoint(tmp_path: Path) -> None:
    for name in ("5.orbax-checkpoint-tmp", "5.orbax-checkpoint-tmp-3", "0009", "old"):
        (tmp_path / "checkpoints" / name).mkdir(parents=True)
    (tmp_path / "checkpoints" / "8").write_text("")
    assert not has_checkpoint(tmp_path)
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.latest_step is None
        checkpoints.check_latest()


def test_a_folder_beside_the_best_is_named(tmp_path: Path) -> None:
    variables = {"params": jax.numpy.ones(3)}
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save_best(5, variables, 0.5)
    (tmp_path / "best" / "9").mkdir()
    with Checkpoints(tmp_path) as checkpoints, pytest.raises(UserError, match=r"9 is damaged: remove it, .* of step 5"):
        checkpoints.restore_best(variables)


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
