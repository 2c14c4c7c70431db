"""The runs kept in docs/results: which there are, which are the seeds of one, and what their commands say.

`benchmarks/keep_results.py` makes the files; docs/results_tables.py and docs/results_charts.py show them.
"""

import difflib
import json
import re
import shlex
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from dms_jax.runs.config.defaults import RECIPES, default_config
from dms_jax.runs.config.fields import flatten

RESULTS = Path(__file__).parent / "results"

_SEED = re.compile(r"-seed\d+$")

# What a kept run has of its configuration beside its command, whose recipe may have become another one since.
_SETTINGS = ("steps", "batch_size", "image_size", "learning_rate")

# Fields in which the commands of one run's seeds may differ: beside the seed, how often something is written down,
# which no figure depends on.
OF_SEEDS = ("seed", "log_every", "checkpoint_every")

# How many names a refusal of one offers.
_MOST_NAMES = 5

# What every kept run has, whatever was measured.
_KEYS = ("command", "seed", "seconds", "card", "results", "validation")
_RESULT_KEYS = ("dataset", "dataset_config", "network", "size", "ablation")

Run = Mapping[str, Any]


def runs_in(folder: Path) -> dict[str, Run]:
    """The runs of a folder by the names of their files, in alphabetical order.

    Raises:
      ValueError: it is no folder, or a file is not what `benchmarks/keep_results.py` makes.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder: name one that keep_results.py has filled")
    runs = {}
    for file in sorted(folder.glob("*.json")):
        try:
            run = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ValueError(f"{file} cannot be read ({error}): make it again with keep_results.py") from error
        whole = isinstance(run, dict) and run.keys() >= set(_KEYS)
        if not (whole and isinstance(run["results"], dict) and run["results"].keys() >= set(_RESULT_KEYS)):
            raise ValueError(f"{file} is no kept run: make it again with keep_results.py, or remove it")
        runs[file.stem] = run
    return runs


def by_seeds(runs: Mapping[str, Run], names: Sequence[str] = ()) -> dict[str, list[Run]]:
    """Runs that differ in their seed alone, or in how often they wrote something, by the name that they share.

    Args:
      runs: by name.
      names: of runs, or of all seeds of one, a run of that very name among them; empty for all.

    Raises:
      ValueError: a name is of no run, or runs of one name have different commands or settings or the same seed.
    """
    if not names:
        names = list(dict.fromkeys(_SEED.sub("", name) for name in runs))
    groups = {}
    for name in names:
        # A run of one seed alone lacks it in its name, and may have got others since.
        is_of_one_seed = name in runs and _SEED.search(name)
        group = [run for own, run in runs.items() if own == name or (_SEED.sub("", own) == name and not is_of_one_seed)]
        if not group:
            # All names would be a page long.
            nearest = ", ".join(difflib.get_close_matches(name, runs, n=_MOST_NAMES, cutoff=0.0))
            raise ValueError(f"there is no {name}: of {len(runs)} runs, the most alike are {nearest or 'none'}")
        commands = {without_fields(run["command"], *OF_SEEDS) for run in group}
        # The order in which a command sets its fields is of no account.
        if len({frozenset(shlex.split(command)) for command in commands}) > 1:
            raise ValueError(f"the runs of {name} differ in more than their seed: {'; '.join(sorted(commands))}")
        for setting in _SETTINGS:
            # Nobody knows those of earlier versions.
            values = sorted({run[setting] for run in group if run.get(setting) is not None})
            if len(values) > 1:
                raise ValueError(
                    f"the runs of {name} differ in {setting} ({', '.join(map(str, values))}), though their commands do "
                    "not: give them names of their own"
                )
        if len({run["seed"] for run in group}) < len(group):
            raise ValueError(f"two runs of {name} have the same seed: remove one")
        groups[name] = group
    return groups


def without_fields(command: str, *fields: str) -> str:
    """A command without what sets fields of its configuration, such as `seed`."""
    flags = tuple(f"--config.{field}=" for field in fields)
    return shlex.join(word for word in _words(command) if not word.startswith(flags))


def _words(command: str) -> list[str]:
    """Those of a command; a field and its value are one, be they given as `--config.seed=1` or `--config.seed 1`."""
    words: list[str] = []
    for word in shlex.split(command):
        if words and words[-1].startswith("--config.") and "=" not in words[-1] and not word.startswith("--"):
            words[-1] += f"={word}"
        else:
            words.append(word)
    return words


def recipe_of(command: str) -> str:
    """The recipe that a command's configuration is asked for; the configuration's name where it is asked for none."""
    words = shlex.split(command)
    given = [word.partition("=")[2] for word in words if word.startswith("--config=")]
    given += [value for flag, value in pairwise(words) if flag == "--config"]
    config = next(iter(given), "")
    name, _, argument = config.partition(":")
    chosen = dict(part.partition("=")[::2] for part in argument.split(","))
    stem = Path(name).stem
    return chosen.get("recipe") or ("paper" if stem in ("bdms", "sdms", "compare") else stem)


def field_of(command: str, field: str) -> Any:
    """What a command gives a field, such as `data.image_size`, or today's recipe does; None where neither is known."""
    given = [word.partition("=")[2] for word in _words(command) if word.startswith(f"--config.{field}=")]
    if given:
        return given[-1]
    recipe = recipe_of(command)
    if recipe not in RECIPES:
        return None
    config = default_config()
    RECIPES[recipe](config)
    return flatten(config)[field]


def image_size_of(run: Run) -> int | None:
    """The side of the images that a run's network saw; None where nothing says it."""
    side = run.get("image_size") or field_of(run["command"], "data.image_size")
    return None if side is None else int(side)


def learning_rate_of(run: Run) -> float | None:
    """The rate that a run's optimizer was given; None where nothing says it."""
    rate = run.get("learning_rate") or field_of(run["command"], "optimizer.learning_rate")
    return None if rate is None else float(rate)
