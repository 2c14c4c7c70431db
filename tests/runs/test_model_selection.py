"""Which of a run's states is kept as its best."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from ml_collections import ConfigDict

from dms_jax.checkpoints.manager import Checkpoints
from dms_jax.runs.model_selection import ModelSelection

STATE: Any = SimpleNamespace(inference_variables={"params": np.ones(3)})


def selection_of(checkpoints: Checkpoints, workdir: Path, said: list[str], **fields: Any) -> ModelSelection:
    data = SimpleNamespace(splits=SimpleNamespace(selected_on="validation"))
    writer = SimpleNamespace(write=lambda *_: None, show=lambda *_: None, text=said.append)
    return ModelSelection(
        **{
            "config": ConfigDict({"steps": 8}),
            "workdir": workdir,
            "data": data,
            "mesh": None,
            "predict_step": None,
            "validation": None,
            "checkpoints": checkpoints,
            "writer": writer,
            **fields,
        }
    )


def metrics_of(not_finite: int) -> dict[str, Any]:
    unknown = {"mae": None, "max_f": None}
    return {**unknown, "defective": unknown, "not_finite": not_finite}


def test_of_equal_scores_the_later_network_is_kept(tmp_path: Path) -> None:
    metrics = metrics_of(0)
    validation = SimpleNamespace(measure=lambda variables: metrics, overlays=())
    said: list[str] = []
    with Checkpoints(tmp_path) as checkpoints:
        selection = selection_of(checkpoints, tmp_path, said, validation=validation)
        for step, accuracy in ((2, 0.5), (4, 0.75), (6, 0.75), (8, 0.5)):
            metrics["accuracy"] = accuracy
            selection.validate(step, STATE)
        assert checkpoints.best_step == 6
    assert "max_f n/a" in said[0]
    assert len(said) == 4


def test_images_without_numbers_are_told_while_it_trains(tmp_path: Path) -> None:
    validation = SimpleNamespace(measure=lambda variables: {**metrics_of(3), "accuracy": 0.5}, overlays=())
    said: list[str] = []
    with Checkpoints(tmp_path) as checkpoints:
        selection_of(checkpoints, tmp_path, said, validation=validation).validate(2, STATE)
    assert said[1].startswith("validation after step 2: for 3 of its crops the network's map or probabilities are no ")


def test_where_nothing_chooses_the_last_state_is_tested(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved: list[int] = []
    with Checkpoints(tmp_path) as checkpoints:
        monkeypatch.setattr(checkpoints, "save", lambda step, state, batches: saved.append(step))
        selection = selection_of(checkpoints, tmp_path, said := [])
        monkeypatch.setattr(selection, "_test_best", lambda state: {"best_step": checkpoints.best_step})
        for step in (2, 4):
            selection.validate(step, STATE)
        assert (checkpoints.best_step, said) == (None, [])
        assert selection.save_and_test(STATE, None) == {"best_step": 8}  # type: ignore[arg-type]
    assert saved == [8]
