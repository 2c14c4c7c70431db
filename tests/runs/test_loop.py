"""Whole runs of a tiny network: learning, interruption, resumption and what is left behind."""

import csv
import gc
import json
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict
from tiny_network import SIZE

from configs import quickstart
from dms_jax import cli
from dms_jax.checkpoints.manager import Checkpoints
from dms_jax.errors import UserError
from dms_jax.models.dms import SIZES
from dms_jax.runs import loop, model_selection, setup, testing, warm_up
from dms_jax.runs.config import build, saved
from dms_jax.runs.lock import locked
from dms_jax.runs.loop import train
from dms_jax.runs.monitoring.metrics_file import read_metrics
from dms_jax.runs.reporting import next_steps
from dms_jax.runs.testing import evaluate_run
from dms_jax.runs.validation import Validation
from dms_jax.runtime.garbage import gc_frozen
from dms_jax.training.optimizer import create_optimizer
from dms_jax.training.step import make_train_step

TINY = {**SIZE, "schedule": ("HF", "reset MF")}
STEPS = 5


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


# Of equal arguments the same functions, whose programs JAX then has already: each run would trace and load them anew.
optimizer_once, train_step_once = cache(create_optimizer), cache(make_train_step)


def make_tiny(patch: pytest.MonkeyPatch) -> None:
    patch.setitem(SIZES, "small", TINY)
    patch.setattr(loop, "create_optimizer", optimizer_once)
    patch.setattr(build, "make_train_step", train_step_once)


@pytest.fixture(autouse=True)
def _tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    make_tiny(monkeypatch)


def tiny_config(data_dir: Path) -> ConfigDict:
    config = quickstart.get_config()
    config.steps = STEPS
    config.batch_size = 4
    config.log_every = 2
    config.evaluate_every = 3
    config.checkpoint_every = 2
    config.data.data_dir = str(data_dir)
    config.data.image_size = 48
    config.data.synthetic.size = 48
    config.data.synthetic.images = 30
    config.data.threads = 2
    return config


def losses(workdir: Path) -> list[Any]:
    lines = read_metrics(workdir / "metrics.jsonl")
    return [{key: value for key, value in line.items() if "per_second" not in key} for line in lines]


def variables_at(workdir: Path, step: int) -> Any:
    import orbax.checkpoint as ocp

    restored = ocp.StandardCheckpointer().restore((workdir / "checkpoints" / str(step) / "state").absolute())
    return jax.tree.map(np.asarray, restored)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, data_dir: Path) -> Path:
    """A run that nothing interrupted."""
    workdir = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        make_tiny(patch)
        train(tiny_config(data_dir), str(workdir))
    return workdir


def test_a_run_leaves_what_it_promises(whole: Path) -> None:
    assert {path.name for path in (whole / "checkpoints").iterdir()} == {"4", "5"}
    assert len(list((whole / "best").iterdir())) == 1
    assert json.loads((whole / "config.json").read_text())["model"]["size"] == "small"
    assert "stem_conv" in (whole / "parameters.txt").read_text()
    events = b"".join(path.read_bytes() for path in whole.glob("events.out.tfevents.*"))
    assert b"validation/max_f" in events
    # Images, beside the scalars.
    assert events.count(b"\x89PNG") == 2 * 4
    lines = losses(whole)
    assert [line["step"] for line in lines if "train/loss" in line] == [2, 4, 5]
    assert [line["step"] for line in lines if "validation/max_f" in line] == [3, 5]
    results = json.loads((whole / "eval" / "test.json").read_text())
    assert results["images"] == 5
    # Every image, and the masks of those that are not of the defect-free class.
    assert results["trained_on"] == {"images": 20, "masks": 12, "mask_share": 1.0, "without": []}
    assert len(results["outputs"]) == 2
    assert results["outputs"][-1]["mae"] == results["mae"]
    assert {"max_f", "accuracy", "defective", "operating_threshold"} <= results.keys()
    assert results["selected_on"] == results["operating_threshold"]["chosen_on"] == "validation"
    assert len((whole / "eval" / "test.csv").read_text().splitlines()) == 1 + 5
    page = (whole / "report.html").read_text()
    data = json.loads(page.split('<script type="application/json" id="data">')[1].split("</script>")[0])
    assert len(data["cards"]) == 5
    assert all(len(card["maps"]) == 2 and card["image"] for card in data["cards"])
    assert ">Loss<" in page


def test_a_finished_run_is_scored_again_and_on_other_splits(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    workdir = tmp_path / "copy"
    shutil.copytree(whole, workdir)
    expected = json.loads((whole / "eval" / "test.json").read_text())
    assert evaluate_run(workdir).results == expected
    assert cli.main(["evaluate", "--workdir", str(workdir), "--split", "validation", "--csv", str(tmp_path / "c")]) == 0
    validation = json.loads((workdir / "eval" / "validation.json").read_text())
    assert validation["operating_threshold"]["chosen_on"] == "validation (these very images)"
    assert validation["operating_threshold"]["value"] == expected["operating_threshold"]["value"]
    shown = capsys.readouterr().out
    assert f"validation: {validation['images']} images" in shown
    page = tmp_path / "validation.html"
    assert cli.main(["report", "--workdir", str(workdir), "--split", "validation", "--output", str(page)]) == 0
    assert f"{page} (" in capsys.readouterr().out
    assert page.read_text().count('"maps":[') == validation["images"]
    assert all(f"{output['mae']:.5f}" in shown for output in validation["outputs"])
    assert (tmp_path / "c").read_text() == (workdir / "eval" / "validation.csv").read_text()
    # Looking at a run does not finish it: one that was to be longer continues.
    assert validation["steps"] == STEPS


def test_a_finished_run_whose_checkpoints_were_removed_is_not_overwritten(
    whole: Path, tmp_path: Path, data_dir: Path
) -> None:
    workdir = tmp_path / "copy"
    shutil.copytree(whole, workdir)
    shutil.rmtree(workdir / "checkpoints")
    config = tiny_config(data_dir)
    assert train(config, workdir) == json.loads((whole / "eval" / "test.json").read_text())
    config.steps += 1
    with pytest.raises(UserError, match=r"whose checkpoints were removed, .*config\.init\.checkpoint="):
        train(config, workdir)
    config.seed += 1
    with pytest.raises(UserError, match=r"holds another run, which differs in config\.seed "):
        train(config, workdir)
    assert list((workdir / "best").iterdir())


def test_predictions_averaged_over_flips_are_reported_apart(whole: Path, tmp_path: Path) -> None:
    workdir = tmp_path / "copy"
    shutil.copytree(whole, workdir)
    files = [workdir / name for name in ("run.json", "eval/test.json", "eval/test.csv")]
    before = [file.read_bytes() for file in files]
    command = ["evaluate", "--workdir", str(workdir), "--flips", "--json", str(tmp_path / "flips.json")]
    assert cli.main([*command, "--csv", str(tmp_path / "flips.csv")]) == 0
    assert [file.read_bytes() for file in files] == before
    plain, flipped = json.loads(before[1]), json.loads((tmp_path / "flips.json").read_text())
    augment = json.loads((workdir / "config.json").read_text())["augment"]
    assert flipped.pop("flips") == [axis for axis in ("horizontal", "vertical") if augment[f"{axis}_flip"]] != []
    assert plain.keys() == flipped.keys()
    # After a few steps the maps are all one grey, but the class heads see a difference.
    tables = [list(csv.DictReader(file.read_text().splitlines())) for file in (files[2], tmp_path / "flips.csv")]
    probabilities = [{row["name"]: float(row["defect_probability"]) for row in table} for table in tables]
    assert probabilities[0] != probabilities[1]
    assert probabilities[0] == pytest.approx(probabilities[1], abs=0.1)
    config = json.loads((workdir / "config.json").read_text())
    config["augment"].update(horizontal_flip=False, vertical_flip=False)
    (workdir / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match="was trained without flips"):
        evaluate_run(workdir, flips=True)


def test_a_limit_of_false_alarms_stands_until_another_is_given(whole: Path, tmp_path: Path) -> None:
    workdir = tmp_path / "copy"
    shutil.copytree(whole, workdir)

    def kept() -> dict[str, Any]:
        return {key: json.loads((workdir / "run.json").read_text())[key] for key in ("plain", "gated")}

    first = kept()
    assert "largest F1" in first["plain"]["note"]
    evaluate_run(workdir, max_false_alarms=0.0)
    limited = kept()
    assert limited["plain"]["threshold"] >= max(map(int, first["plain"]["normal_maxima"]))
    assert "may" in limited["plain"]["note"]
    evaluate_run(workdir)
    assert kept() == limited
    evaluate_run(workdir, max_false_alarms=1.0)
    assert kept() == first


@pytest.mark.parametrize("split", ["train", "validation"])
def test_a_limit_of_false_alarms_is_not_kept_where_test_is_not_evaluated(
    whole: Path, tmp_path: Path, split: str
) -> None:
    workdir = tmp_path / "copy"
    shutil.copytree(whole, workdir)
    before = (workdir / "run.json").read_bytes()
    tested = evaluate_run(workdir, split, max_false_alarms=0.0)
    assert "may" in tested.results["operating_threshold"]["note"]
    assert (workdir / "run.json").read_bytes() == before
    assert tested.notes == (
        f"max_false_alarms=0 is of these results of {split} alone: evaluate test with it, and the run keeps it, for "
        "dms-jax predict too.",
    )
    assert not evaluate_run(workdir, split).notes
    assert (workdir / "run.json").read_bytes() == before


def test_training_with_another_limit_of_false_alarms_tests_a_finished_run_again(
    whole: Path, tmp_path: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workdir, config = tmp_path / "copy", tiny_config(data_dir)
    shutil.copytree(whole, workdir)
    results, page = workdir / "eval" / "test.json", (workdir / "report.html").read_text()
    before, scalars = results.read_bytes(), losses(workdir)
    config.evaluation.max_false_alarms = 0.0
    with monkeypatch.context() as patch:
        # What was tested with another limit does not pass for it.
        patch.setattr(model_selection, "evaluate_network", None)
        with pytest.raises(TypeError):
            train(config, workdir)
        assert not results.exists()
    limited = train(config, workdir)
    assert "may" in limited["operating_threshold"]["note"]
    assert json.loads(results.read_text()) == limited
    assert losses(workdir) == scalars
    assert (workdir / "report.html").read_text() != page
    with monkeypatch.context() as patch:
        patch.setattr(warm_up, "compile_train_step", None)
        assert train(config, workdir) == limited
    # Evaluation has lifted the limit that training is given again.
    evaluate_run(workdir, max_false_alarms=1.0)
    assert results.read_bytes() == before
    assert train(config, workdir) == limited
    assert json.loads(results.read_text()) == limited
    shutil.rmtree(workdir / "checkpoints")
    with pytest.raises(UserError, match=r"dms-jax evaluate --workdir .*copy --max-false-alarms 1\.0\.$"):
        train(tiny_config(data_dir), workdir)
    assert json.loads(results.read_text()) == limited
    # Which helps.
    evaluate_run(workdir, max_false_alarms=1.0)
    assert train(tiny_config(data_dir), workdir) == json.loads(before)


def test_training_without_a_limit_leaves_that_of_evaluation_and_tells_when_it_lifts_its_own(
    whole: Path, tmp_path: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    workdir, config = tmp_path / "copy", tiny_config(data_dir)
    shutil.copytree(whole, workdir)
    limited = evaluate_run(workdir, max_false_alarms=0.25).results
    with monkeypatch.context() as patch:
        patch.setattr(warm_up, "compile_train_step", None)
        assert train(config, workdir) == limited
    config.evaluation.max_false_alarms = 0.0
    train(config, workdir)
    assert "no longer limited" not in capsys.readouterr().err
    note = (
        "Note: false alarms are no longer limited; the run was tested with at most 0 "
        "(config.evaluation.max_false_alarms=0 keeps that limit)."
    )
    for told in ([note], []):
        train(tiny_config(data_dir), workdir)
        assert [line for line in capsys.readouterr().err.splitlines() if "limited" in line] == told
    # Also where it is evaluation's, and the run goes on.
    evaluate_run(workdir, max_false_alarms=0.25)
    monkeypatch.setattr(loop, "warm_up", None)
    config = tiny_config(data_dir)
    config.steps += 1
    with pytest.raises(TypeError):
        train(config, workdir)
    assert "no longer limited; the run was tested with at most 0.25 (" in capsys.readouterr().err
    assert setup.finished_results(tiny_config(data_dir), workdir) is None


def test_what_was_tested_with_another_limit_does_not_pass_for_a_longer_run_that_failed(
    whole: Path, tmp_path: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: Any, **__: Any) -> None:
        raise UserError("far enough")

    workdir, config = tmp_path / "copy", tiny_config(data_dir)
    shutil.copytree(whole, workdir)
    monkeypatch.setattr(loop, "warm_up", stop)
    config.steps += 1
    with pytest.raises(UserError, match="far enough"):
        train(config, workdir)
    config.steps -= 1
    assert setup.finished_results(config, workdir) is not None
    config.steps, config.evaluation.max_false_alarms = STEPS + 1, 0.0
    with pytest.raises(UserError, match="far enough"):
        train(config, workdir)
    config.steps -= 1
    assert setup.finished_results(config, workdir) is None


def test_the_users_files_may_lie_elsewhere_for_other_processes(whole: Path, tmp_path: Path, data_dir: Path) -> None:
    workdir, config = tmp_path / "copy", tiny_config(data_dir)
    shutil.copytree(whole, workdir)
    config.data.dataset = "folder"
    config.data.manual_dir = "here"
    saved.save(config, workdir)
    config.data.manual_dir = "there"
    assert setup.finished_results(config, workdir, first=False) is not None
    with pytest.raises(UserError, match=r"config\.data\.manual_dir \(was 'here', is 'there'\)"):
        setup.finished_results(config, workdir)


def test_what_cannot_be_scored_is_refused(whole: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds no run \(config.json is missing\)"):
        evaluate_run(tmp_path)
    shutil.copy(whole / "config.json", tmp_path)
    with pytest.raises(UserError, match="has no best checkpoint yet"):
        evaluate_run(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


def test_an_interrupted_run_goes_on_as_if_nothing_had_happened(
    whole: Path, tmp_path: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    real = loop.shard_batch

    def dies(batch: Any, mesh: Any) -> Any:
        calls.append(batch)
        if len(calls) == 4:
            raise RuntimeError("power cut in step 4")
        return real(batch, mesh)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "shard_batch", dies)
        with pytest.raises(RuntimeError, match="power cut"):
            train(tiny_config(data_dir), tmp_path)
    # Step 3 was done and evaluated, but the last checkpoint is that of step 2.
    assert losses(tmp_path)[-1]["step"] == 3
    results = train(tiny_config(data_dir), tmp_path)
    assert losses(tmp_path) == losses(whole)
    assert results == json.loads((whole / "eval" / "test.json").read_text())
    jax.tree.map(np.testing.assert_array_equal, variables_at(tmp_path, STEPS), variables_at(whole, STEPS))


@pytest.mark.parametrize("network", ["bdms", "unet"])
def test_a_device_that_is_too_small_is_told_with_what_takes_less(
    network: str, tmp_path: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 99 bytes.\nMore")

    monkeypatch.setattr(loop, "warm_up", full)
    config = tiny_config(data_dir)
    config.model.network = network
    sentence = (
        "the device has too little memory (RESOURCE_EXHAUSTED: Out of memory while trying to allocate 99 bytes. More): "
    )
    with pytest.raises(UserError) as caught:
        train(config, tmp_path)
    # The network is small already.
    slower = "config.model.remat=True (slower) or " if network == "bdms" else ""
    assert str(caught.value).startswith(sentence)
    assert str(caught.value).endswith(
        f" or choose a smaller config.batch_size than 4{', ' if slower else ' or '}{slower}a smaller "
        "config.data.image_size."
    )
    if network == "bdms":
        config.model.size = "lite"
        with pytest.raises(UserError, match=r"a smaller network than size=lite, such as config\.model\.size=small, "):
            train(config, tmp_path / "lite")


def test_a_signal_saves_the_step_and_the_run_goes_on_from_there(
    whole: Path, tmp_path: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where it comes while a step is evaluated that no checkpoint was due at."""
    real = Validation.measure

    def interrupts(self: Validation, variables: Any) -> Any:
        signal.raise_signal(signal.SIGTERM)
        return real(self, variables)

    with monkeypatch.context() as patch:
        patch.setattr(Validation, "measure", interrupts)
        with pytest.raises(UserError, match=r"interrupted after step 3, which is saved: .*same command"):
            train(tiny_config(data_dir), tmp_path)
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.latest_step == 3
    train(tiny_config(data_dir), tmp_path)
    assert losses(tmp_path) == losses(whole)


def test_a_run_that_is_interrupted_while_compiling_saves_one_step(
    whole: Path, data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    starting_state = warm_up.starting_state
    begun = []

    def interrupted(*arguments: Any) -> Any:
        if not begun:
            signal.raise_signal(signal.SIGINT)
        begun.append(starting_state(*arguments))
        return begun[-1]

    monkeypatch.setattr(warm_up, "starting_state", interrupted)
    with pytest.raises(UserError, match=r"interrupted after step 1, which is saved"):
        train(tiny_config(data_dir), tmp_path)
    train(tiny_config(data_dir), tmp_path)
    assert losses(tmp_path) == losses(whole)
    # They do not stay beside those that the run is at.
    for state, _ in begun:
        assert all(leaf.is_deleted() for leaf in jax.tree.leaves(state))


def test_a_finished_run_only_shows_its_results(
    whole: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(warm_up, "compile_train_step", None)
    before = (whole / "metrics.jsonl").read_bytes()
    results = train(tiny_config(data_dir), whole)
    assert results == json.loads((whole / "eval" / "test.json").read_text())
    assert "1 (final)" in capsys.readouterr().out
    assert (whole / "metrics.jsonl").read_bytes() == before


def test_another_configuration_is_another_run(whole: Path, data_dir: Path) -> None:
    config = tiny_config(data_dir)
    config.optimizer.momentum = 0.5
    config.seed = 1
    with pytest.raises(UserError, match=r"optimizer\.momentum.*seed.*another --workdir"):
        train(config, whole)


@pytest.mark.parametrize("checkpoint_every", [1, 2])
def test_a_state_that_is_not_finite_ends_the_run_and_is_not_saved(
    tmp_path: Path, data_dir: Path, checkpoint_every: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_aside: list[int] = []

    @contextmanager
    def noted() -> Iterator[None]:
        with gc_frozen():
            set_aside.append(gc.get_freeze_count())
            yield

    monkeypatch.setattr(loop, "gc_frozen", noted)
    config = tiny_config(data_dir)
    config.checkpoint_every = checkpoint_every
    config.optimizer.learning_rate = 1e30
    config.optimizer.warmup_steps = 0
    what = "update" if checkpoint_every == 1 else "loss or the update"
    sentence = rf"the {what} of the parameters is not finite at step 1, of the images (\S+, ){{3}}\S+: lower .*rate"
    with pytest.raises(UserError, match=sentence):
        train(config, tmp_path)
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.latest_step is None
    # What tracing has left is not looked through between steps, until the end of the run.
    assert set_aside
    assert gc.get_freeze_count() == 0


@pytest.mark.parametrize(
    ("network", "dtype", "deterministic"),
    [
        ("bdms", "float32", False),
        ("bdms", "bfloat16", False),
        ("sdms", "bfloat16", True),
        # The engines were measured on the others' convolutions.
        ("unet", "bfloat16", False),
    ],
)
def test_a_run_says_what_it_computes_in_before_anything_is_compiled(
    network: str, dtype: str, deterministic: bool, tmp_path: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(config: ConfigDict) -> None:
        raise UserError("far enough")

    asked: list[tuple[Any, ...]] = []
    monkeypatch.setattr(
        setup,
        "exclude_slow_cudnn_engines",
        lambda device, dtype, *, deterministic: asked.append((device, dtype, deterministic)),
    )
    monkeypatch.setattr(setup, "open_dataset", stop)
    config = tiny_config(data_dir)
    config.model.network, config.dtype, config.deterministic = network, dtype, deterministic
    with pytest.raises(UserError, match="far enough"):
        train(config, tmp_path)
    assert asked == ([] if network == "unet" else [(jax.devices()[0], np.dtype(dtype), deterministic)])


@pytest.mark.slow
def test_overfitting_tests_on_the_images_it_learns_from(tmp_path: Path, data_dir: Path) -> None:
    config = tiny_config(data_dir)
    config.steps = 1
    config.data.overfit = 4
    results = train(config, tmp_path)
    assert (results["images"], results["split"], results["selected_on"]) == (4, "train", "train")


@pytest.mark.slow
def test_without_selection_the_last_step_is_kept_also_of_a_run_that_is_made_longer(
    tmp_path: Path, data_dir: Path
) -> None:
    config = tiny_config(data_dir)
    config.data.select_on = "none"
    for steps in (1, 2):
        config.steps = steps
        results = train(config, tmp_path)
        assert (results["steps"], results["best_step"], results["selected_on"]) == (steps, steps, "none")
    assert not any("max_f" in key for line in losses(tmp_path) for key in line)
    config.steps = 1
    with pytest.raises(UserError, match=r"config\.steps=1, but .* is at step 2: ask for 2 or more, or choose "):
        train(config, tmp_path)


def test_what_is_wrong_with_the_images_is_said_before_the_first_step(
    tmp_path: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(*_: Any, **__: Any) -> None:
        raise UserError("far enough")

    monkeypatch.setattr(loop, "warm_up", stop)
    config = tiny_config(data_dir)
    config.data.synthetic.images = 15
    with pytest.raises(UserError, match="far enough"):
        train(config, tmp_path)
    warnings = [line for line in capsys.readouterr().err.splitlines() if line.startswith("Warning: ")]
    assert any("Classes with fewer than 10 training images" in line for line in warnings)
    assert len(warnings) == len(set(warnings))
    # And is there to be read at the end.
    kept = (tmp_path / "warnings.txt").read_text().splitlines()
    assert [f"Warning: {line}" for line in kept] == warnings
    assert f"Warned of before the first step: {len(kept)} things, in {tmp_path}/warnings.txt" in next_steps(tmp_path)
    monkeypatch.setattr(loop, "data_warnings", lambda *_: ())
    with pytest.raises(UserError, match="far enough"):
        train(config, tmp_path)
    assert "Warned" not in next_steps(tmp_path)


def test_a_second_run_in_a_work_directory_is_refused(
    whole: Path, tmp_path: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved.save(tiny_config(data_dir), tmp_path)
    before = (tmp_path / "config.json").read_text()
    with locked(tmp_path), pytest.raises(UserError, match=r"is in use by another run"):
        train(tiny_config(data_dir), tmp_path)
    assert (tmp_path / "config.json").read_text() == before
    # A finished one has nothing left to do there.
    with locked(whole):
        train(tiny_config(data_dir), whole)


def test_a_folder_named_like_a_later_step_is_gone_round_before_anything_is_done(
    whole: Path, tmp_path: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(*_: Any, **__: Any) -> None:
        raise UserError("far enough")

    monkeypatch.setattr(loop, "warm_up", stop)
    workdir = tmp_path / "copy"
    shutil.copytree(whole, workdir)
    (workdir / "checkpoints" / "9").mkdir()
    config = tiny_config(data_dir)
    config.steps = STEPS + 1
    with pytest.raises(UserError, match="far enough"):
        train(config, workdir)
    said = "checkpoints/9 is damaged (it has no state and no data), and now called 9.damaged: the run resumes from the"
    assert f"Note: {workdir}/{said} checkpoint before it, of step 5.\n" in capsys.readouterr().err
    with Checkpoints(workdir) as checkpoints:
        assert checkpoints.latest_step == STEPS


def test_a_run_without_a_report_resumes_one_with_it(whole: Path, tmp_path: Path, data_dir: Path) -> None:
    workdir = tmp_path / "copy"
    shutil.copytree(whole, workdir)
    # As of a run that was killed before its last step: with another number of steps, another program would be compiled.
    shutil.rmtree(workdir / "checkpoints" / str(STEPS))
    for file in (workdir / "report.html", workdir / "eval" / "test.json"):
        file.unlink()
    config = tiny_config(data_dir)
    config.report, config.tensorboard_images = False, 0
    train(config, workdir)
    assert losses(workdir)[-1] == losses(whole)[-1]
    assert (workdir / "eval" / "test.json").exists()
    assert not (workdir / "report.html").exists()


def test_what_has_become_of_the_dataset_is_said_beside_the_results(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    workdir = tmp_path / "copy"
    shutil.copytree(whole, workdir)
    real = testing.reopen_dataset
    monkeypatch.setattr(testing, "reopen_dataset", lambda *given, **named: (real(*given, **named)[0], ("Changed.",)))
    for arguments in (["--workdir", str(workdir)], ["--compare", str(workdir)]):
        assert cli.main(["evaluate", *arguments]) == 0
        assert "dms-jax: Changed.\n" in capsys.readouterr().err
