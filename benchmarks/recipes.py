"""Trains variants of a configuration, and prints one table of what each came to.

    python benchmarks/recipes.py --output runs/search --config bdms:recipe=scratch,split=tiles --gpus 0,1 --seeds 0,1 \
        --set data.manual_dir=DIR --variant base --variant rate2 optimizer.learning_rate=2e-3 --reach 0.784

A variant is a name and fields of the configuration; `config=FILE[:ARGUMENT]` among them is another configuration than
--config. --variants names a JSON file of many: {"rate2": {"optimizer.learning_rate": 0.002}}. Each is a run of
`train.py`, on the next free one of the --gpus (without: one at a time, on all devices there are). A GPU that is named
twice trains two at a time: while one compiles or is tested, the other has all of it. The same command again
resumes what was interrupted, trains what failed once more, and shows what is done. In the output folder, NAME.json has
the run's `eval/test.json`, what it took and what it was made with, NAME.log what it printed, and NAME/ is its work
directory. `keep_results.py` makes a file of docs/results of them.
"""

import argparse
import json
import os
import queue
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from provenance import card_in, commit_of, versions
from recipe_table import table_of

from dms_jax.whole_files import write_whole

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Variant:
    """A run of `train.py`.

    Attributes:
      name: of its files; letters, digits and what a file's name may have.
      arguments: of its command line, without --workdir.
    """

    name: str
    arguments: tuple[str, ...]


def variants_of(
    config: str, fields: Mapping[str, Mapping[str, Any]], common: Mapping[str, Any], seeds: Sequence[int]
) -> list[Variant]:
    """The runs of named sets of fields, each with every seed.

    Args:
      config: FILE[:ARGUMENT] for those that name none.
      fields: of each variant.
      common: fields of all, which a variant's own go before.
      seeds: empty for the configuration's own; where there are several, names end in -seed<n>.
    """
    variants = []
    for name, own in fields.items():
        for seed in seeds or (None,):
            chosen = {**common, **own} if seed is None else {**common, "seed": seed, **own}
            arguments = [f"--config={chosen.pop('config', config)}"]
            arguments += [f"--config.{field}={_flag(value)}" for field, value in chosen.items()]
            suffix = f"-seed{seed}" if len(seeds) > 1 else ""
            variants.append(Variant(name + suffix, tuple(arguments)))
    return variants


def _flag(value: Any) -> str:
    # Lists of JSON are tuples of a configuration.
    return str(tuple(value)) if isinstance(value, list) else str(value)


def run_variant(
    variant: Variant, output: Path, gpu: str | None = None, commit: str | None = None, runs_on_card: int = 1
) -> dict[str, Any]:
    """Train a variant, or resume it, unless it is done.

    Args:
      variant: what to train.
      output: the folder of all.
      gpu: the number of the GPU to train on; None for all devices there are.
      commit: of the code; None where it is not known.
      runs_on_card: how many share the GPU at most, and its memory.

    Returns:
      `arguments`; `seconds` of all its starts together; `commit`, `card`, `runs_on_card` and `versions` of the last
      one, see `provenance`; `results`, as in `eval/test.json`, or None; and `failure`, None or its last line, after the
      signal that ended it, if one did.
    """
    file, workdir, arguments = output / f"{variant.name}.json", output / variant.name, list(variant.arguments)
    log_file = output / f"{variant.name}.log"
    seconds = 0.0
    if file.exists():
        earlier = json.loads(file.read_text())
        if earlier["arguments"] == arguments:
            seconds = earlier["seconds"]
        if earlier["results"] is not None:
            if earlier["arguments"] == arguments:
                return earlier
            # Not written: the file keeps what it has.
            return _failed(variant, f"{file} is of {' '.join(earlier['arguments'])}: choose another name")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    if gpu is not None:
        environment["CUDA_VISIBLE_DEVICES"] = gpu
    if runs_on_card > 1:
        # Each process takes three quarters of a GPU's memory otherwise.
        environment.setdefault("XLA_PYTHON_CLIENT_MEM_FRACTION", f"{0.9 / runs_on_card:.2f}")
    command = [sys.executable, str(ROOT / "train.py"), *variant.arguments, f"--workdir={workdir}"]
    started = time.monotonic()
    with log_file.open("ab") as log:
        begins = log.tell()
        done = subprocess.run(command, check=False, stdout=log, stderr=subprocess.STDOUT, env=environment)
    printed = log_file.read_bytes()
    results, failure = workdir / "eval" / "test.json", None
    if done.returncode:
        # Not of an earlier start, of which the log tells too.
        said = printed[begins:].decode(errors="replace")
        # Where a crash was, which follows, is for the log.
        lines = [line for line in said.partition("Fatal Python error: ")[0].splitlines() if line.strip()]
        failure = lines[-1] if lines else ""
        # A process that another one, or a library, has ended says nothing of it in its last line.
        if done.returncode < 0 or not failure:
            failure = f"{_ended(done.returncode)}{f', after: {failure}' if failure else ''}"
    record = {
        "arguments": arguments,
        "seconds": seconds + time.monotonic() - started,
        "commit": commit,
        "card": card_in(printed.decode(errors="replace")),
        "runs_on_card": runs_on_card,
        "versions": versions(),
        "results": json.loads(results.read_text()) if failure is None else None,
        "failure": failure,
    }
    write_whole(file, lambda stream: stream.write(json.dumps(record, indent=2).encode()))
    return record


def _ended(returncode: int) -> str:
    if returncode >= 0:
        return f"it ended with {returncode}"
    try:
        return f"it was ended by {signal.Signals(-returncode).name}"
    except ValueError:  # signals above SIGRTMIN have no name
        return f"it was ended by signal {-returncode}"


def _failed(variant: Variant, reason: str) -> dict[str, Any]:
    return {"arguments": list(variant.arguments), "seconds": 0.0, "results": None, "failure": reason}


def run_all(
    variants: Sequence[Variant], output: Path, gpus: Sequence[str], commit: str | None = None
) -> dict[str, dict[str, Any]]:
    """Run all variants, as many at a time as there are GPUs; see `run_variant`."""
    free: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    places: list[str | None] = [*gpus] or [None]
    for place in places:
        free.put(place)

    def run(variant: Variant) -> dict[str, Any]:
        gpu = free.get()
        try:
            print(f"{variant.name} begins{'' if gpu is None else f' on GPU {gpu}'}", file=sys.stderr, flush=True)
            try:
                # At most: the last ones may have the GPU for themselves.
                shared = min(places.count(gpu), len(variants))
                record = run_variant(variant, output, gpu, commit, shared)
            except (OSError, ValueError, KeyError) as error:
                # The others, and their table, are not its fault.
                record = _failed(variant, f"{type(error).__name__}: {error}")
            print(f"{variant.name}: {record['failure'] or 'done'}", file=sys.stderr, flush=True)
            return record
        finally:
            free.put(gpu)

    with ThreadPoolExecutor(len(places)) as threads:
        records = threads.map(run, variants)
        return {variant.name: record for variant, record in zip(variants, records, strict=True)}


def _named_variants(
    file: Path | None, given: Sequence[Sequence[str]], common: Mapping[str, Any], seeds: Sequence[int]
) -> dict[str, Any]:
    """The fields of each variant, of --variants and of --variant; what would pass for another run is refused."""
    variants: dict[str, Any] = _read_variants(file) if file else {}
    for name, *parts in given:
        if "=" in name:
            raise SystemExit(f"recipes.py: --variant {name} has no name: write --variant NAME {name}.")
        if name in variants:
            raise SystemExit(f"recipes.py: two variants are called {name}: give each a name of its own.")
        variants[name] = _fields(parts)
    if len(set(seeds)) < len(seeds):
        raise SystemExit("recipes.py: --seeds has one of them twice: leave it out.")
    if seeds and "seed" in common:
        raise SystemExit("recipes.py: --set has a seed beside --seeds: leave one of them out.")
    for name, own in variants.items():
        if not name.strip(". ") or name.endswith(".json") or any(c in "/\\|" or not c.isprintable() for c in name):
            raise SystemExit(
                f"recipes.py: {name!r} cannot be the name of a variant, which is that of its files and of a row: leave "
                "out /, \\, | and .json."
            )
        if seeds and "seed" in own:
            raise SystemExit(f"recipes.py: variant {name} has a seed of its own beside --seeds: leave one of them out.")
    return variants


def _read_variants(file: Path) -> dict[str, Any]:
    try:
        variants = json.loads(file.read_text(encoding="utf-8"), object_pairs_hook=_without_repetition)
    except (OSError, ValueError) as error:
        raise SystemExit(f"recipes.py: --variants={file} cannot be read ({error}): name a JSON file.") from error
    if not (isinstance(variants, dict) and all(isinstance(fields, dict) for fields in variants.values())):
        raise SystemExit(
            f'recipes.py: --variants={file} must be like {{"rate2": {{"optimizer.learning_rate": 0.002}}}}.'
        )
    return variants


def _without_repetition(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    twice = _repeated([name for name, _ in pairs])
    if twice is not None:
        raise SystemExit(f"recipes.py: --variants has {twice} twice: leave one of them out, or name it anew.")
    return dict(pairs)


def _repeated(names: Sequence[str]) -> str | None:
    return next((name for name in names if names.count(name) > 1), None)


def _fields(parts: Sequence[str]) -> dict[str, str]:
    wrong = [part for part in parts if "=" not in part]
    if wrong:
        raise SystemExit(f"recipes.py: {wrong[0]!r} has no value: write FIELD=VALUE.")
    twice = _repeated([part.partition("=")[0] for part in parts])
    if twice is not None:
        raise SystemExit(f"recipes.py: {twice} is given two values: leave one of them out.")
    return {field: value for field, _, value in (part.partition("=") for part in parts)}


def _seeds(text: str) -> list[int]:
    try:
        return [int(seed) for seed in text.split(",") if seed]
    except ValueError as error:
        raise SystemExit(f"recipes.py: --seeds={text} is not whole numbers: write them as 0,1,2.") from error


def _read_records(output: Path) -> dict[str, dict[str, Any]]:
    """What `run_variant` has written into a folder, by name."""
    records = {}
    for file in sorted(file for file in output.glob("*.json") if file.is_file()):
        try:
            found = json.loads(file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise SystemExit(f"recipes.py: {file} cannot be read ({error}): remove it.") from error
        # Other benchmarks' --json may lie beside them.
        if isinstance(found, dict) and "arguments" in found:
            records[file.stem] = found
    return records


def main(argv: Sequence[str] | None = None) -> int:
    """Read the flags, train, and print the table; 1 if a variant failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="where all of it is kept")
    parser.add_argument("--config", default="bdms:recipe=scratch", metavar="FILE[:ARGUMENT]")
    parser.add_argument("--variant", nargs="+", action="append", default=[], metavar=("NAME", "FIELD=VALUE"))
    parser.add_argument("--variants", type=Path, metavar="FILE", help="JSON: names to fields and their values")
    parser.add_argument("--set", nargs="+", action="extend", default=[], metavar="FIELD=VALUE", help="of all variants")
    parser.add_argument("--seeds", default="", metavar="N,N", help="each variant with each (default: its own)")
    parser.add_argument("--gpus", default="", metavar="N,N", help="on each of these at a time; 0,0: two on one")
    parser.add_argument(
        "--reach", type=float, metavar="MAXF", help="also: when validation first had this maxF, defective"
    )
    parser.add_argument("--commit", help="of this code, where it is no checkout (default: what git says)")
    parser.add_argument("--table", action="store_true", help="train nothing: the table of what is there")
    arguments = parser.parse_args(argv)
    seeds = _seeds(arguments.seeds)
    common = _fields(arguments.set)
    fields = _named_variants(arguments.variants, arguments.variant, common, seeds)
    gpus = [gpu for gpu in arguments.gpus.split(",") if gpu]
    if not arguments.output.is_dir() and (arguments.table or arguments.output.exists()):
        raise SystemExit(f"recipes.py: --output={arguments.output} is no folder: name another.")
    if arguments.table:
        records = _read_records(arguments.output)
    else:
        arguments.output.mkdir(parents=True, exist_ok=True)
        records = run_all(
            variants_of(arguments.config, fields or {"base": {}}, common, seeds),
            *(arguments.output, gpus, arguments.commit or commit_of(ROOT)),
        )
    print(table_of(records, arguments.output, arguments.reach))
    return int(any(record["failure"] for record in records.values()))


if __name__ == "__main__":
    sys.exit(main())
