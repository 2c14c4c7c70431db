"""One process's part of a trial: reads damaged files one after another, and says of each what came of it.

Run as `python damaged_batch.py MODULE KIND FIRST COUNT MEGABYTES FOLDER`. Each file has a line when it begins and one
when it ends, on standard output, so that whoever started this knows which file it was that ended the process.
"""

import importlib
import json
import os
import resource
import sys
import time
import traceback
import warnings
from pathlib import Path

import numpy as np

from dms_jax.errors import UserError


def main(module: str, kind: str, first: int, count: int, megabytes: int, folder: Path) -> None:
    """Read `count` damaged files of a kind, from number `first` on."""
    warnings.simplefilter("ignore")
    # What libraries print goes elsewhere.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    samples = importlib.import_module(module).KINDS[kind](folder)
    wholes = [sample.path.read_bytes() for sample in samples]
    for sample in samples:
        _answer(answers, -1, "whole", *_read(sample))
    _limit_memory(megabytes)
    for number in range(first, first + count):
        sample, whole = samples[number % len(samples)], wholes[number % len(samples)]
        damaged, how = sample.damage(whole, np.random.default_rng([len(kind), sum(kind.encode()), number]))
        sample.path.write_bytes(damaged)
        _answer(answers, number, "begin", how)
        start = time.perf_counter()
        outcome, detail = _read(sample)
        seconds = time.perf_counter() - start
        _answer(answers, number, outcome, f"{sample.path.name}: {detail}", f"{seconds:.3f}")
        sample.path.write_bytes(whole)


def _read(sample: object) -> tuple[str, str]:
    try:
        noticed = sample.read()
    except UserError as error:
        return ("refused" if sample.named in str(error) else "refused without a name"), str(error)
    except BaseException as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        return "traceback", f"{type(error).__name__}: {error!s:.200} ({where.filename}:{where.lineno})"
    return noticed or "decoded", ""


def _limit_memory(megabytes: int) -> None:
    """Give the process so much more address space than it has taken for its libraries."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + megabytes * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _answer(answers: object, number: int, *texts: str) -> None:
    print(json.dumps([number, *texts]), file=answers, flush=True)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:6]), Path(sys.argv[6]))
