"""Keeps a run's results, its curves and what it was made with in one file of docs/results.

    python benchmarks/keep_results.py runs/search/mtdd-tiles-bdms-adamw-seed0.json [MORE ...]
    python benchmarks/keep_results.py runs/mine --as mtdd-tiles-bdms-mine --command 'python train.py --config=...'

Reads what `recipes.py` leaves: NAME.json and, of the work directory NAME/, config.json, run.json, metrics.jsonl and
eval/test.json; nothing else of it need be there. Without a NAME.json, a work directory does, and --command. What is
known better than it was recorded is told by --commit, --card, --cards, --runs-on-card and --seconds. A file of another
command is replaced with --replace alone. Paths of the machine are written as DIR. `docs/results_tables.py` prints
tables of them, without minutes where runs shared a card.
"""

import argparse
import json
import re
import shlex
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from recipe_table import validations

from dms_jax.errors import UserError, first_words
from dms_jax.runs.config.saved import CONFIG_NAME
from dms_jax.runs.description import DESCRIPTION_NAME
from dms_jax.runs.monitoring.metrics_file import METRICS_NAME, read_metrics
from dms_jax.whole_files import write_whole

RESULTS = Path(__file__).resolve().parent.parent / "docs" / "results"

# Of the training loss, more points than a chart shows only make the file larger.
_MOST_POINTS = 100

# Fields that say where something lies on the machine, even if they do so relative to a folder.
_PLACES = ("data.manual_dir", "data.data_dir", "workdir")
# Where a path, or a name of a class, begins and ends in a text.
_BEGINS, _ENDS = r"(?:^|(?<=[\s='\"(,\[]))", r"(?=\.?(?:[\s'\",;:)\]]|$))"
_ABSOLUTE = rf"{_BEGINS}(?:file:/|~\w*)?/[^\s'\",;:)\]]+"
# All of a word that begins so is a path, blanks and all.
_IS_PATH = re.compile(r"(?:file:/|~\w*)?/")


# What recipes.py runs, before its arguments.
_TRAIN = ["python", "train.py"]


def kept(path: Path, told: Mapping[str, Any]) -> dict[str, Any]:
    """What is kept of a run.

    Args:
      path: NAME.json, or the work directory NAME; the other one is beside it.
      told: `command`, `commit`, `card`, `count`, `runs_on_card` and `seconds`, each None where what was recorded
        counts.

    Returns:
      `command`, `commit`, `seed`, `steps`, `batch_size`, `image_size`, `learning_rate`, `seconds` of all its starts,
      `card` (`kind` and `count`), `runs_on_card` (at most so many trained on it at the same time), `versions`,
      `images_per_second` (the median while training), `results` as in `eval/test.json`, `validation` (a dictionary for
      each: `step` and metrics) and `training` (at most 100 of `step` and `loss`). What nobody knows is None.

    Raises:
      ValueError: the run failed, or has no results of test images, or nothing says what its command was, or a file is
        damaged.
      UserError: its metrics cannot be read.
    """
    workdir = path.with_name(name_of(path))
    file = path.with_name(f"{workdir.name}.json")
    record = _read(file) if file.exists() else {}
    if record.get("failure"):
        raise ValueError(f"{file} is of a run that failed: {record['failure']}")
    if not record and told["command"] is None:
        raise ValueError(f"{file} is not there: say what the run's command was with --command")
    config = _read(workdir / CONFIG_NAME, ("seed", "steps", "batch_size"))
    results_file = workdir / "eval" / "test.json"
    results = _read(results_file, ("dataset", "dataset_config", "network", "size", "ablation"))
    classes = list(results.get("per_class") or ())
    # A run with `data.overfit` is tested on what it learnt from.
    if (split := results.get("split", "test")) != "test":
        raise ValueError(f"{results_file} is of images of {split}: evaluate the run on test, with dms-jax evaluate")
    if told["command"] is None and not isinstance(record.get("arguments"), list):
        raise ValueError(f"{file} has no arguments: say what the run's command was with --command")
    card = record.get("card") or {}
    if not isinstance(card, dict):
        raise ValueError(f"{file} has a card that is not kind and count: tell it with --card after taking it out")
    card = {"kind": told["card"] or card.get("kind"), "count": told["count"] or card.get("count")}
    lines = read_metrics(workdir / METRICS_NAME)
    speeds = [line["train/images_per_second"] for line in lines if line.get("train/images_per_second")]
    losses = [{"step": line["step"], "loss": line["train/loss"]} for line in lines if "train/loss" in line]
    return portable(
        {
            "command": command_of(
                shlex.split(told["command"]) if told["command"] else _TRAIN + record["arguments"], classes
            ),
            "commit": told["commit"] or record.get("commit"),
            "seed": config["seed"],
            "steps": config["steps"],
            "batch_size": config["batch_size"],
            # A command's recipe may have others one day.
            "image_size": config.get("data", {}).get("image_size"),
            "learning_rate": config.get("optimizer", {}).get("learning_rate"),
            "seconds": record.get("seconds") if told["seconds"] is None else told["seconds"],
            "card": card if card["kind"] else None,
            "runs_on_card": told["runs_on_card"] or record.get("runs_on_card"),
            "versions": record.get("versions")
            or {"dms_jax": _read(workdir / DESCRIPTION_NAME, ("version",))["version"], "jax": None},
            "images_per_second": statistics.median(speeds) if speeds else None,
            "results": results,
            "validation": validations(workdir),
            "training": thinned(losses),
        },
        classes,
    )


def name_of(run: Path) -> str:
    """The name of NAME.json or of a work directory."""
    return run.name.removesuffix(".json")


def command_of(words: Sequence[str], classes: Sequence[str] = ()) -> str:
    """A command that holds on any machine: DIR for its folders, and configurations without theirs; see `portable`."""
    words_of_all = []
    for before, word in zip(["", *words], words, strict=False):
        flag, equals, value = word.partition("=")
        if before == "--config":
            word = _config_of(word)
        elif flag == "--config" and equals:
            word = f"{flag}={_config_of(value)}"
        elif _is_place(before) or _IS_PATH.match(word):
            word = "DIR"
        elif value and (_is_place(flag) or (flag.startswith("-") and _IS_PATH.match(value))):
            word = f"{flag}=DIR"
        words_of_all.append(shlex.quote(portable(word, classes)))
    return " ".join(words_of_all)


def _config_of(value: str) -> str:
    """A configuration and its argument, without the folders of an absolute path."""
    file, colon, argument = value.partition(":")
    return f"{Path(file).stem if _IS_PATH.match(file) else file}{colon}{argument}"


def _is_place(flag: str) -> bool:
    """Whether a flag says where something lies."""
    return flag.startswith("--") and flag.removeprefix("--").removeprefix("config.") in _PLACES


def thinned(points: Sequence[Any], most: int = _MOST_POINTS) -> list[Any]:
    """Evenly chosen points, at most so many, the last one among them."""
    every = -(-len(points) // most)
    return list(points[::-1][:: max(every, 1)][::-1])


def portable(value: Any, classes: Sequence[str] = ()) -> Any:
    """The same without absolute paths, in all strings of it.

    Args:
      value: of JSON.
      classes: names that may hold what looks like a path, such as `crack /open`; they stay.
    """
    if isinstance(value, str):
        # Longer ones first: one may begin with another.
        named = [re.escape(name) for name in sorted(classes, key=len, reverse=True) if not _IS_PATH.match(name)]
        name = rf"{_BEGINS}(?:{'|'.join(named)}){_ENDS}"
        pattern = rf"(?P<name>{name})|{_ABSOLUTE}" if named else _ABSOLUTE
        return re.sub(pattern, lambda found: found.groupdict().get("name") or "DIR", value)
    if isinstance(value, list):
        return [portable(item, classes) for item in value]
    return {key: portable(item, classes) for key, item in value.items()} if isinstance(value, dict) else value


def _read(path: Path, keys: Sequence[str] = ()) -> dict[str, Any]:
    """Read a JSON object that must have these keys.

    Raises:
      ValueError: it cannot be read, is something else, or lacks one of them.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ValueError(f"{path} is not there: name a run that is finished and tested") from error
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error.strerror}): change its permissions") from error
    except ValueError as error:
        raise ValueError(f"{path} is no JSON ({first_words(error)}): bring it from the run again") from error
    lacking = [key for key in keys if key not in value] if isinstance(value, dict) else ["keys"]
    if lacking:
        raise ValueError(f"{path} has no {', '.join(lacking)}: bring it from the run again")
    return value


def text_of(record: Mapping[str, Any]) -> str:
    """JSON with a line for each entry and each of `results`, so that two versions can be compared."""

    def entry(key: str, value: Any) -> str:
        if key != "results":
            return f"{json.dumps(key)}: {json.dumps(value)}"
        inner = ",\n".join(f"    {json.dumps(name)}: {json.dumps(item)}" for name, item in value.items())
        return f'"results": {{\n{inner}\n  }}'

    return "{\n" + ",\n".join(f"  {entry(key, value)}" for key, value in record.items()) + "\n}\n"


def keep(record: Mapping[str, Any], file: Path, *, replace: bool = False) -> None:
    """Write what `kept` returned.

    Raises:
      ValueError: the file is of another command, and `replace` is not given.
    """
    if file.exists() and not replace and (earlier := _read(file, ("command",))["command"]) != record["command"]:
        raise ValueError(f"{file} is of another command ({earlier}): choose another name by --as, or add --replace")
    file.parent.mkdir(parents=True, exist_ok=True)
    write_whole(file, lambda stream: stream.write(text_of(record).encode()))


def main(argv: Sequence[str] | None = None) -> int:
    """Read the flags and write the files; 1 if there is one that could not be made."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="NAME.json or a work directory")
    parser.add_argument("--as", dest="name", help="the file's name, without .json (default: the run's)")
    parser.add_argument("--output", type=Path, default=RESULTS, metavar="DIR", help="(default: docs/results)")
    parser.add_argument("--replace", action="store_true", help="files of other commands too")
    parser.add_argument("--command", help="of the run, where recipes.py did not record it")
    parser.add_argument("--commit", help="of the code that the run was made by")
    parser.add_argument("--card", metavar="KIND", help="such as 'NVIDIA H100 80GB HBM3'")
    parser.add_argument("--cards", dest="count", type=int, metavar="N", help="how many of them a run used")
    parser.add_argument("--runs-on-card", type=int, metavar="N", help="how many trained on a card at the same time")
    parser.add_argument("--seconds", type=float, help="that the whole run took")
    options = parser.parse_args(argv)
    if options.name and len(options.runs) > 1:
        parser.error("--as names the file of one run")
    try:
        shlex.split(options.command or "")
    except ValueError as error:
        parser.error(f"--command={options.command}: {first_words(error)}")
    # `.` has no name.
    named = [run if run.name not in ("", "..") else run.resolve() for run in options.runs]
    # NAME.json and NAME are one run.
    runs = list({run.with_name(name_of(run)): run for run in named}.values())
    names = [name_of(run) for run in runs]
    doubled = [str(run) for run in runs if names.count(name_of(run)) > 1]
    if doubled:
        parser.error(f"{' and '.join(doubled)} would be one file: keep them one by one, with --as")
    failed = False
    for run in runs:
        file = options.output / f"{options.name or name_of(run)}.json"
        try:
            keep(kept(run, vars(options)), file, replace=options.replace)
            print(file)
        except (OSError, ValueError, UserError) as error:
            print(f"keep_results.py: {str(error).rstrip('.')}.", file=sys.stderr)
            failed = True
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
