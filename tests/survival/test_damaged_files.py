"""Damaged files of every kind that is read: decoded, or refused by name; no crash, no hang, no traceback."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from survival.damaged_trial import SURVIVED, Tally, try_damaged
from survival.mutation import mutate, mutate_json

# The module and the kind, and how many files of it there are.
_SHORT = (("damaged_short", "light", 450), ("damaged_short", "heavy", 90))
_LONG = (
    ("damaged_images", "image", 2500),
    ("damaged_images", "mask", 2000),
    ("damaged_images", "mat", 700),
    ("damaged_annotations", "csv", 700),
    ("damaged_annotations", "annotations", 1500),
    ("damaged_annotations", "zip", 600),
    ("damaged_runs", "run", 600),
    ("damaged_runs", "predictions", 250),
    ("damaged_models", "weights", 500),
    ("damaged_models", "onnx", 500),
    ("damaged_models", "jaxexport", 300),
    ("damaged_models", "prepared", 200),
    ("damaged_models", "checkpoint", 200),
)
# What each kind needs beside this package.
_NEEDS = {
    "weights": ("torch",),
    "onnx": ("onnx", "onnxruntime"),
    "heavy": ("torch", "onnx", "onnxruntime"),
    "jaxexport": ("flatbuffers",),
}


def test_ten_thousand_files_are_tried() -> None:
    assert sum(count for _, _, count in _LONG) >= 10_000


@pytest.mark.parametrize(("module", "kind", "count"), _SHORT)
def test_some_damaged_files(module: str, kind: str, count: int, tmp_path: Path) -> None:
    _try(module, kind, count, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(("module", "kind", "count"), _LONG)
def test_many_damaged_files(module: str, kind: str, count: int, tmp_path: Path) -> None:
    tally = _try(module, kind, count, tmp_path)
    print(f"{kind}: {dict(tally.outcomes)}, the slowest {tally.slowest:.2f} s")


def _try(module: str, kind: str, count: int, folder: Path) -> Tally:
    for needed in _NEEDS.get(kind, ()):
        if find_spec(needed) is None:
            pytest.skip(f"{needed} is not installed")
    tally = try_damaged(f"survival.{module}", kind, count, folder)
    assert tally.outcomes.total() == count
    assert not tally.failures, "\n".join(map(str, tally.failures[:10]))
    assert set(tally.outcomes) <= SURVIVED
    # A trial of files that all survive, or of which none is noticed, tries nothing.
    assert tally.outcomes["refused"] > 0
    return tally


def test_crashes_hangs_and_tracebacks_are_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("survival.damaged_trial.SECONDS", 1.0)
    tally = try_damaged("survival.damaged_decoys", "decoys", 6, tmp_path)
    assert tally.outcomes == {
        **{"decoded": 1, "refused": 1, "refused without a name": 1},
        **{"traceback": 1, "crashed": 1, "hung": 1},
    }


def test_damage_is_drawn_from_the_seed_alone() -> None:
    whole = bytes(range(256)) * 4
    drawn = [mutate(whole, np.random.default_rng(seed)) for seed in range(50)]
    assert drawn == [mutate(whole, np.random.default_rng(seed)) for seed in range(50)]
    assert all(damaged != whole for damaged, _ in drawn)
    assert len({damaged for damaged, _ in drawn}) > 45
    text = b'{"a": [1, {"b": "c"}], "d": null}'
    changed = {mutate_json(text, np.random.default_rng(seed))[0] for seed in range(50)}
    assert len(changed) > 20
