"""Checkpoints that are cut short, have a flipped bit or lack files: noticed, named in one sentence, and gone round."""

import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grain
import jax
import numpy as np
import pytest
from survival_runs import SEED, STEPS, Runs, assert_same, rows, state_at

from dms_jax.checkpoints.folders import read_best
from dms_jax.checkpoints.manager import Checkpoints
from dms_jax.errors import UserError
from dms_jax.training.state import TrainState

KINDS = ("cut short", "flipped", "missing")
# Larger than what is kept in the small files that TensorStore has checksums of.
SIZE = 5000


def state_of(value: float) -> TrainState:
    return TrainState(
        step=jax.numpy.asarray(1),
        params={"scale": jax.numpy.linspace(0, value, SIZE)},
        batch_stats={},
        opt_state=(),
        averaged=None,
        metrics={},
    )


def numbers() -> Any:
    return iter(grain.MapDataset.range(10).to_iter_dataset())


def files_of(checkpoint: Path) -> list[Path]:
    """Those that hold something of a checkpoint, each of which may be damaged; Orbax's notes do not."""
    paths = [path.relative_to(checkpoint) for path in sorted(checkpoint.rglob("*")) if path.is_file()]
    return [path for path in paths if path.name not in ("commit_success.txt", "_CHECKPOINT_METADATA")]


def damage(path: Path, kind: str, random_: random.Random) -> None:
    content = bytearray(path.read_bytes())
    if kind == "missing":
        path.unlink()
    elif kind == "cut short":
        path.write_bytes(content[: random_.randrange(len(content))])
    else:
        content[random_.randrange(len(content))] ^= 1 << random_.randrange(8)
        path.write_bytes(content)


def damaging_ways(checkpoint: Path) -> list[tuple[Path, str]]:
    """All files in all ways, but a lack of checksums, which earlier versions did not write."""
    ways = [(path, kind) for path in files_of(checkpoint) for kind in KINDS]
    return [(path, kind) for path, kind in ways if (path.name, kind) != ("checksums.json", "missing")]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Checkpoints of steps 1 and 2, and a best one of step 2."""
    folder = tmp_path_factory.mktemp("saved")
    with Checkpoints(folder) as checkpoints:
        checkpoints.save(1, state_of(1.0), numbers())
        checkpoints.save_best(2, {"params": state_of(2.0).params}, 0.5)
        checkpoints.save(2, state_of(2.0), numbers())
    return folder


def copied(saved: Path, folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    return Path(shutil.copytree(saved, folder))


def test_the_one_before_a_damaged_checkpoint_is_used(saved: Path, tmp_path: Path) -> None:
    ways = damaging_ways(saved / "checkpoints/2")
    assert len(ways) > 20
    random_ = random.Random(SEED)
    for path, kind in ways:
        workdir = copied(saved, tmp_path / "run")
        damage(workdir / "checkpoints/2" / path, kind, random_)
        with Checkpoints(workdir) as checkpoints:
            (sentence,) = checkpoints.set_aside_damaged()
            assert (checkpoints.latest_step, checkpoints.best_step) == (1, 2)
            checkpoints.check_latest()
        # Damaged checksums are those of other files, or none.
        named = "" if path.name == "checksums.json" else f"{path} "
        assert sentence.startswith(f"{workdir}/checkpoints/2 is damaged ({named}")
        assert sentence.endswith(
            ", and now called 2.damaged: the run resumes from the checkpoint before it, of step 1."
        )
    with Checkpoints(workdir) as checkpoints:
        batches = numbers()
        restored = checkpoints.restore(state_of(0.0), batches)
        np.testing.assert_array_equal(restored.params["scale"], state_of(1.0).params["scale"])
        # Its place is free again.
        checkpoints.save(2, state_of(3.0), batches)
    with Checkpoints(workdir) as checkpoints:
        assert checkpoints.set_aside_damaged() == ()
        assert checkpoints.latest_step == 2


def test_without_one_before_it_a_damaged_checkpoint_is_refused(saved: Path, tmp_path: Path) -> None:
    workdir = copied(saved, tmp_path / "run")
    for step in (1, 2):
        damage(workdir / f"checkpoints/{step}/data/process_0-of-1.json", "flipped", random.Random(SEED))
    with Checkpoints(workdir) as checkpoints:
        assert checkpoints.set_aside_damaged() == ()
        with pytest.raises(UserError, match=r"2 is damaged: remove it, .* \(data/process_0-of-1.json is not what was"):
            checkpoints.check_latest()


def test_a_damaged_best_is_not_predicted_with(saved: Path, tmp_path: Path) -> None:
    variables = {"params": state_of(0.0).params}
    random_ = random.Random(SEED)
    for path, kind in damaging_ways(saved / "best/2"):
        workdir = copied(saved, tmp_path / "run")
        damage(workdir / "best/2" / path, kind, random_)
        with Checkpoints(workdir) as checkpoints:
            with pytest.raises(UserError, match=r"best/2 is damaged: bring back a copy, or train anew \(.*\)\.$"):
                checkpoints.restore_best(variables)
            with pytest.raises(UserError, match=r"best/2 is damaged: bring back a copy"):
                read_best(workdir)
            (sentence,) = checkpoints.set_aside_damaged()
            assert (checkpoints.latest_step, checkpoints.best_step) == (2, None)
        assert "best/2 is damaged (" in sentence
        assert sentence.endswith("and now called 2.damaged: the run chooses its best network among those to come.")


def test_without_checksums_an_array_that_cannot_be_read_is_damage(saved: Path, tmp_path: Path) -> None:
    """As in a checkpoint of an earlier version: Orbax raises `Exception` itself."""
    workdir = copied(saved, tmp_path / "run")
    for name in ("checkpoints/2", "best/2"):
        (workdir / name / "checksums.json").unlink()
        largest = max((workdir / name).rglob("*"), key=lambda path: path.stat().st_size if path.is_file() else 0)
        largest.unlink()
    with Checkpoints(workdir) as checkpoints:
        with pytest.raises(UserError, match=r"checkpoints/2 is damaged: remove it, to resume from .* of step 1"):
            checkpoints.restore(state_of(0.0), numbers())
        with pytest.raises(UserError, match=r"best/2 is damaged: bring back"):
            checkpoints.restore_best({"params": state_of(0.0).params})
    with pytest.raises(UserError, match=r"best/2/variables is damaged"):
        read_best(workdir)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    """With a whole run, and one that was killed when it had a checkpoint of step 20."""
    runs = Runs(tmp_path_factory.mktemp("runs"))
    runs.finishes("whole")
    process = runs.start("killed")
    assert runs.wait_until((runs.folder / "killed/checkpoints/20").exists, process)
    process.kill()
    process.wait()
    yield runs
    runs.end()


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("which", ["latest", "previous", "best", "latest and best"])
def test_a_run_goes_round_what_is_damaged(which: str, kind: str, runs: Runs) -> None:
    workdir = copied(runs.folder / "killed", runs.folder / "damaged")
    steps = sorted(int(path.name) for path in (workdir / "checkpoints").iterdir() if path.name.isdecimal())
    # The one before it may still be there.
    best = max(
        (path for path in (workdir / "best").iterdir() if path.name.isdecimal()), key=lambda path: int(path.name)
    )
    of_name = {"latest": workdir / f"checkpoints/{steps[-1]}", "previous": workdir / f"checkpoints/{steps[-2]}"}
    for name in which.split(" and "):
        folder = of_name.get(name, best)
        damage(folder / runs.random.choice(files_of(folder)), kind, runs.random)
    # But for the checksums themselves, without which nothing would be known.
    runs.finishes("damaged")
    notes = [line for line in runs.sentences("damaged") if "is damaged" in line]
    lacks_checksums = any(not (folder / "checksums.json").exists() for folder in (*of_name.values(), best))
    expected = {"latest": 1, "previous": 0, "best": 1, "latest and best": 2}[which]
    assert len(notes) == expected or lacks_checksums, runs.said("damaged")
    said = runs.said("damaged")
    assert "Traceback" not in said
    assert "TensorStore" not in said
    assert f"resuming after step {steps[-2] if 'latest' in which and notes else steps[-1]}" in said
    if "best" in which:
        # What was the best is not there to be found again.
        assert rows(workdir) == rows(runs.folder / "whole")
        jax.tree.map(np.testing.assert_array_equal, state_at(workdir, STEPS), state_at(runs.folder / "whole", STEPS))
    else:
        assert_same(workdir, runs.folder / "whole")


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_commands_name_a_damaged_best(kind: str, runs: Runs) -> None:
    workdir = copied(runs.folder / "whole", runs.folder / "best")
    (best,) = (workdir / "best").iterdir()
    paths = [path for path in files_of(best) if path.name != "checksums.json"]
    damage(best / runs.random.choice(paths), kind, runs.random)
    images = runs.folder / "images"
    images.mkdir(exist_ok=True)
    from PIL import Image

    Image.fromarray(np.zeros((48, 48), np.uint8)).save(images / "black.png")
    name = ("--workdir", str(workdir))
    for arguments in (
        ("predict", *name, "--images", str(images), "--output", str(runs.folder / "predictions")),
        ("evaluate", *name),
        ("report", *name),
        ("export", *name, "--output", str(runs.folder / "model.jaxexport")),
        ("export-weights", *name, "--output", str(runs.folder / "model.safetensors")),
    ):
        code, said = runs.command(arguments[0], *arguments)
        assert code == 1, said
        assert said.startswith(f"dms-jax: {best} is damaged: bring back a copy, or train anew ("), said
        assert len(said.splitlines()) == 1, said
