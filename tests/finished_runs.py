"""What is left of runs that are brought home, to keep their results."""

import json
from pathlib import Path
from typing import Any

from dms_jax.data.examples import ExampleSource
from dms_jax.data.framing import Framing
from dms_jax.runs.config import saved
from dms_jax.runs.config.defaults import default_config
from dms_jax.runs.dataset import digests, open_dataset
from dms_jax.runs.description import RunDescription


def measures(value: float) -> dict[str, Any]:
    own = {"mae": value / 100, "max_f": value, "iou": value, "f1": value, "pixel_ap": value, "accuracy": value}
    return {**own, "defective": {"mae": value / 50, "max_f": value - 0.1}}


def save_run(folder: Path, seed: int, *, name: str = "", value: float = 0.8, failure: str | None = None) -> Path:
    """What `recipes.py` leaves of a run that is brought home: NAME.json and five files of NAME/."""
    workdir = folder / (name or f"mtdd-tiles-bdms-seed{seed}")
    (workdir / "eval").mkdir(parents=True)
    rates = {key: {"false_alarm_rate": value - 0.5} for key in ("map_maximum", "class_head")}
    results = {
        **{"network": "bdms", "size": "full", "ablation": "", "dataset": "mtdd", "dataset_config": "tiles"},
        **measures(value),
        "per_class": {"free": {"images": 226, "mae": value / 1000, "max_f": None, "fired": 0.25, "accuracy": 1.0}},
        "image_level": {**rates, "gated_maximum": None},
        "gated": None,
        "all_black": {"mae": 0.0237, "max_f": 0.916, "defective": {"mae": 0.1, "max_f": 0.0}},
        "outputs": [measures(value - 0.2), measures(value)],
        "note": "maps of /scratch/maps/all.png, half / half",
    }
    (workdir / "eval" / "test.json").write_text(json.dumps(results))
    config = {"seed": seed, "steps": 1000, "batch_size": 16}
    config |= {"data": {"image_size": 320}, "optimizer": {"learning_rate": 0.002}}
    (workdir / "config.json").write_text(json.dumps(config))
    (workdir / "run.json").write_text(json.dumps({"version": "0.0.9"}))
    lines = [
        {"step": step, "train/loss": 100 / step, "train/images_per_second": None if step == 4 else 450.0 + step % 8}
        for step in range(4, 1001, 4)
    ]
    lines += [{"step": step, "validation/mae": 0.1, "validation/defective/max_f": step / 2000} for step in (500, 1000)]
    (workdir / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    record = {
        "arguments": [
            *("--config=/home/me/configs/bdms.py:recipe=scratch,split=tiles", "--config.augment.scale=(0.5, 1.5)"),
            *(
                "--config.data.manual_dir=../data",
                "--config.init.checkpoint=/home/me/runs/neu",
                f"--config.seed={seed}",
            ),
        ],
        "seconds": 390.0 + 12 * seed,
        "commit": "c0ffee",
        "card": {"kind": "NVIDIA H100 80GB HBM3", "count": 1},
        "runs_on_card": 1,
        "versions": {"dms_jax": "0.1.0", "jax": "0.11.2"},
        "results": None if failure else results,
        "failure": failure,
    }
    file = folder / f"{workdir.name}.json"
    file.write_text(json.dumps(record))
    return file


def save_drawn_run(workdir: Path, data_dir: Path) -> ExampleSource:
    """What a run on drawn images leaves before its test; gives the test images."""
    config = default_config()
    config.data.dataset, config.data.data_dir = "synthetic", str(data_dir)
    config.data.synthetic.images, config.data.synthetic.size = 30, 48
    (workdir / "eval").mkdir(parents=True)
    saved.save(config, workdir)
    dataset = open_dataset(config)
    RunDescription.of(dataset, Framing("squash", size=32), digests(dataset)).save(workdir)
    return dataset.source("test")


def rows(text: str) -> list[list[str]]:
    """The cells of a table in Markdown, row by row."""
    return [[cell.strip() for cell in line[1:-1].split("|")] for line in text.splitlines() if "|" in line]
