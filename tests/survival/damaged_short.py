"""All kinds of files in two processes, whose libraries take longer to import than the files to read."""

from pathlib import Path

from survival.damaged_samples import Maker, Sample


def _light(folder: Path) -> list[Sample]:
    from survival import damaged_annotations, damaged_images

    return _together(folder, {**damaged_images.KINDS, **damaged_annotations.KINDS})


def _heavy(folder: Path) -> list[Sample]:
    from survival import damaged_models, damaged_runs

    kinds = {"run": damaged_runs.KINDS["run"]}
    return _together(folder, {**kinds, **{kind: damaged_models.KINDS[kind] for kind in ("weights", "onnx")}})


def _together(folder: Path, makers: dict[str, Maker]) -> list[Sample]:
    samples = []
    for kind, make in makers.items():
        (folder / kind).mkdir()
        samples += make(folder / kind)
    return samples


KINDS: dict[str, Maker] = {"light": _light, "heavy": _heavy}
