"""A run's network from its work directory, on four devices, beside what testing it says."""

import csv
import json
import pickle
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from tiny_run import SIZE, STEP, save_tiny_run

import dms_jax
from dms_jax import Predictor
from dms_jax.errors import UserError
from dms_jax.evaluation import evaluator
from dms_jax.inference.description import OperatingPoint, gate
from dms_jax.runs.description import RunDescription
from dms_jax.runs.open_run import open_run
from dms_jax.runs.predictor import batch_predictor
from dms_jax.runs.testing import evaluate_run, open_splits


@pytest.fixture(scope="module")
def untested(tmp_path_factory: pytest.TempPathFactory) -> Path:
    workdir = tmp_path_factory.mktemp("untested")
    save_tiny_run(workdir, tmp_path_factory.mktemp("data"))
    return workdir


@pytest.fixture(scope="module")
def scored(untested: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, np.ndarray]]:
    """The same after it was tested, and the test images' final maps that were scored."""
    workdir = tmp_path_factory.mktemp("tested") / "run"
    shutil.copytree(untested, workdir)
    maps: dict[str, np.ndarray] = {}
    score_image = evaluator.score_image

    def noted(saliency_maps: Any, *arguments: Any, name: str, **options: Any) -> Any:
        maps[name] = saliency_maps[-1]
        return score_image(saliency_maps, *arguments, name=name, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluator, "score_image", noted)
        evaluate_run(str(workdir))
    return workdir, maps


@pytest.fixture(scope="module")
def workdir(scored: tuple[Path, Any]) -> Path:
    return scored[0]


@pytest.fixture(scope="module")
def predictor(workdir: Path) -> Predictor:
    return Predictor.load(workdir)


def test_its_maps_are_those_that_were_scored(scored: Any, predictor: Predictor) -> None:
    workdir, maps = scored
    source = open_splits(open_run(str(workdir)), "test")[1].test
    with (workdir / "eval" / "test.csv").open() as file:
        rows = {row["name"]: row for row in csv.DictReader(file)}
    examples = [source[index] for index in range(len(source))]
    images = [example["image"] for example in examples]
    plain = Predictor.load(workdir, gates=False)
    for example, ungated, gated in zip(examples, plain(images), predictor(images), strict=True):
        row = rows[example["name"]]
        np.testing.assert_array_equal(ungated.map, maps[example["name"]])
        assert row["predicted"] == ungated.class_name == gated.class_name
        probability = float(row["defect_probability"])
        assert ungated.score == gated.score == pytest.approx(probability, abs=1e-6)
        np.testing.assert_array_equal(gated.map, gate(ungated.map, gated.score))
        assert gated.map.max() == int(row["gated_maximum"])
    assert any(prediction.map.any() for prediction in plain(images))


def test_it_knows_the_run(workdir: Path, predictor: Predictor) -> None:
    description = RunDescription.load(workdir)
    assert description is not None
    assert description.gated is not None
    assert (predictor.workdir, predictor.step) == (workdir, STEP)
    assert predictor.reading.gates
    assert predictor.reading.threshold == description.gated.threshold
    assert Predictor.load(workdir, gates=False).reading.threshold == description.plain.threshold
    assert dms_jax.Predictor is Predictor


def test_it_is_loaded_from_any_folder(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workdir.parent)
    assert Predictor.load("run").workdir == workdir


def test_options_are_those_of_the_reading(workdir: Path) -> None:
    predictor = Predictor.load(workdir, threshold=3)
    assert (predictor.reading.threshold, predictor.reading.note) == (3, "given by the user")
    description = RunDescription.load(workdir)
    assert description is not None
    assert description.gated is not None
    limited = Predictor.load(workdir, max_false_alarms=0.0).reading.threshold
    assert limited == max(*description.gated.normal_maxima, description.gated.threshold or 0)
    for options in ({"threshold": 300}, {"max_false_alarms": 2}):
        with pytest.raises(ValueError, match=r"0\.\.255|below 1"):
            Predictor.load(workdir, **options)
    options = {"gate": True}
    with pytest.raises(TypeError, match=r"^Predictor\.load\(\) got an unexpected keyword argument 'gate'"):
        Predictor.load(workdir, **options)


def test_a_run_that_was_not_tested_has_maps_without_masks(untested: Path, predictor: Predictor) -> None:
    early = Predictor.load(untested)
    image = np.random.default_rng(1).integers(0, 256, (50, 60), np.uint8)
    prediction = early(image)
    assert (prediction.threshold, prediction.mask, prediction.regions) == (None, None, ())
    assert prediction.class_name == predictor(image).class_name
    with pytest.raises(ValueError, match="cannot be gated yet: the run has not been tested"):
        Predictor.load(untested, gates=True)
    assert Predictor.load(untested, threshold=10)(image).mask is not None
    assert early.digest == predictor.digest


def test_a_run_without_a_defect_free_class_is_not_gated(workdir: Path, tmp_path: Path) -> None:
    shutil.copytree(workdir, tmp_path / "run")
    description = RunDescription.load(workdir)
    assert description is not None
    replace(description, free_class=None, gated=None, plain=OperatingPoint(9, "chosen")).save(tmp_path / "run")
    predictor = Predictor.load(tmp_path / "run")
    prediction = predictor(np.random.default_rng(1).integers(0, 256, (50, 60), np.uint8))
    assert not predictor.reading.gates
    assert prediction.score == pytest.approx(prediction.map.max() / 255)
    with pytest.raises(ValueError, match="gives no probability of a defect"):
        Predictor.load(tmp_path / "run", gates=True)


def test_it_can_be_pickled_with_its_options(workdir: Path) -> None:
    predictor = Predictor.load(workdir, gates=False, threshold=12)
    data = pickle.dumps(predictor)
    assert len(data) < 1000
    other = pickle.loads(data)
    assert type(other) is Predictor
    assert other.reading == predictor.reading
    assert (other.workdir, other.step, other.digest) == (predictor.workdir, predictor.step, predictor.digest)
    image = np.random.default_rng(2).integers(0, 256, (31, 77, 3), np.uint8)
    np.testing.assert_array_equal(other(image).map, predictor(image).map)


def test_other_weights_have_another_digest(workdir: Path, predictor: Predictor, tmp_path: Path) -> None:
    run = open_run(workdir)
    variables = jax.tree.map(np.asarray, run.variables)
    moved = replace(run, variables=jax.tree.map(lambda leaf: leaf * np.float32(1.0001), variables))
    assert Predictor._of(moved, {}).digest != predictor.digest
    assert Predictor._of(replace(run, variables=variables), {}).digest == predictor.digest


def test_what_cannot_be_loaded_is_a_sentence(workdir: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no run"):
        Predictor.load(tmp_path)
    shutil.copy(workdir / "config.json", tmp_path)
    with pytest.raises(UserError, match="has no best checkpoint yet"):
        Predictor.load(tmp_path)
    shutil.copytree(workdir / "best", tmp_path / "best")
    with pytest.raises(UserError, match=r"has no run\.json"):
        Predictor.load(tmp_path)
    for text in ("", "[]", json.dumps({"class_names": ["a"]})):
        (tmp_path / "run.json").write_text(text)
        with pytest.raises(UserError, match=r"run\.json is damaged"):
            Predictor.load(tmp_path)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("max_false_alarms", "x"),
        ("max_false_alarms", 7),
        ("dataset", 5),
        ("images", "x"),
        ("version", None),
        ("value_range", ["a", "b"]),
    ],
)
def test_a_run_with_a_value_that_it_cannot_have_is_refused(
    workdir: Path, tmp_path: Path, field: str, value: object
) -> None:
    run = json.loads((workdir / "run.json").read_text())
    (tmp_path / "run.json").write_text(json.dumps({**run, field: value}))
    with pytest.raises(UserError, match=r"run\.json is damaged"):
        RunDescription.load(tmp_path)


@pytest.mark.parametrize("count", [0, 1, 3, 4, 5, 15, 16, 17, 33])
def test_however_many_there_are_each_is_predicted_as_alone(count: int, predictor: Predictor) -> None:
    """Four devices, four crops on each at a time."""
    images = np.random.default_rng(3).integers(0, 256, (33, SIZE, SIZE, 3), np.uint8)
    assert predictor.batches.rows == 4 * jax.local_device_count()
    maps, probabilities, finite = predictor.batches(images[:count])
    assert finite.tolist() == [True] * count
    assert (maps.shape, maps.dtype) == ((count, 1, SIZE, SIZE), np.uint8)
    assert (probabilities.shape, probabilities.dtype) == ((count, 1, 4), np.float32)
    for number in range(0, count, 8):
        alone, *_ = predictor.batches(images[number : number + 1])
        np.testing.assert_allclose(maps[number].astype(int), alone[0], atol=1)
    np.testing.assert_allclose(probabilities.sum(axis=2), 1, rtol=1e-5)


def test_several_threads_may_predict(predictor: Predictor) -> None:
    images = np.random.default_rng(4).integers(0, 256, (24, 40, 56), np.uint8)
    expected = [prediction.map for prediction in predictor(list(images))]
    with ThreadPoolExecutor(8) as threads:
        for prediction, alone in zip(threads.map(predictor, images), expected, strict=True):
            np.testing.assert_allclose(prediction.map.astype(int), alone, atol=1)


@pytest.mark.slow
def test_a_network_without_class_heads(tmp_path: Path) -> None:
    save_tiny_run(tmp_path / "run", tmp_path / "data", ablation="b")
    run = open_run(tmp_path / "run")
    evaluate_run(tmp_path / "run")
    predictor = Predictor.load(tmp_path / "run")
    assert not predictor.reading.gates
    prediction = predictor(np.random.default_rng(1).integers(0, 256, (50, 60), np.uint8))
    assert (prediction.class_name, prediction.probabilities) == (None, {})
    assert prediction.score == pytest.approx(prediction.map.max() / 255)
    maps, probabilities, finite = batch_predictor(run.model, run.variables)(np.zeros((2, SIZE, SIZE, 3), np.uint8))
    assert (maps.shape, probabilities.shape, finite.tolist()) == ((2, 1, SIZE, SIZE), (2, 0, 4), [True, True])
