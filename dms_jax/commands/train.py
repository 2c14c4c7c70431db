"""`dms-jax train`, and `train.py`, which does the same: flags in, exit code out."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import flags

from dms_jax.errors import UserError, tell
from dms_jax.runtime.faults import show_where_it_crashes
from dms_jax.runtime.signals import Interruptions

if TYPE_CHECKING:
    from dms_jax.runtime.processes import Processes

USAGE = """usage: {program} [--config=FILE[:ARGUMENT]] [--workdir=DIR] [--config.FIELD=VALUE ...]

  --config    configuration file, or the name of one that comes with dms_jax ({known}); an argument
              after the colon is comma-separated key=value, such as bdms:size=lite,split=tiles (each file says which
              it takes); default {default}
  --workdir   where the run is kept, and resumed from if it is there already;
              default runs/<configuration>[-<argument>]
  --config.FIELD=VALUE   any field of the configuration, such as --config.batch_size=8
"""


def add_to(commands: Any) -> None:
    """Add the sub-command to argparse's sub-parsers, for the list of commands: its flags are read by `launch`."""
    commands.add_parser("train", help="train a network, or resume a run", add_help=False)


def launch(
    default_config: str = "quickstart",
    argv: Sequence[str] | None = None,
    started: float | None = None,
    *,
    program: str = "train.py",
) -> int:
    """Train as the command line says.

    Args:
      default_config: path or name of the configuration for a command that names none.
      argv: the command line with the program's name first; by default this process's.
      started: `time.monotonic()` at the program's start; None for that of this call.
      program: what the user calls it.

    Returns:
      The exit code: 0 done; 1 a failure that the user can fix; 2 wrong usage; 128 and its number where a signal ended
      it, such as 130 for Ctrl-C. Each but the first is explained in one sentence on standard error.
    """
    show_where_it_crashes()
    # Python's own imports take seconds, too.
    interruptions = Interruptions(program)
    with interruptions:
        try:
            return _launch(default_config, argv, started, program, interruptions)
        except KeyboardInterrupt:
            # Within, so that a second signal does not come between.
            interruptions.wait_until_acknowledged()
            tell(program, "interrupted: run the same command to resume from the last checkpoint.")
            return interruptions.exit_code


def _launch(
    default_config: str,
    argv: Sequence[str] | None,
    started: float | None,
    program: str,
    interruptions: Interruptions,
) -> int:
    started = time.monotonic() if started is None else started
    argv = list(sys.argv if argv is None else argv)
    # Imported late, here and below: a mistyped flag is answered at once.
    from dms_jax.runs.config.flags import known_configs

    if any(argument in ("-h", "-help", "--help") for argument in argv[1:]):
        print(USAGE.format(program=program, default=default_config, known=", ".join(known_configs())))
        return 0
    # Libraries ask whether the process's own flags are parsed; ours are kept apart from theirs.
    flags.FLAGS(argv[:1])
    from dms_jax.checkpoints.background import told_once

    # Around what is printed too: the exception keeps alive what failed in the background, which is told once.
    with told_once():
        return _train(argv, default_config, started, program, interruptions)


def _train(argv: list[str], default_config: str, started: float, program: str, interruptions: Interruptions) -> int:
    from dms_jax.runs.config.flags import parse
    from dms_jax.runtime.cluster import find_cluster, join
    from dms_jax.runtime.processes import Processes, all_processes

    try:
        config, workdir = parse(argv, default_config)
        cluster = find_cluster(os.environ, asks_kubernetes=find_spec("kubernetes") is not None)
        if cluster is not None:
            join(cluster, program=program)
            interruptions.reinstall()
    except UserError as error:
        tell(program, str(error))
        return error.exit_code
    # It ends when the others do: who leaves earlier takes them along.
    with Processes(program=program) if cluster is None else all_processes(program) as processes:
        return _train_in(config, workdir, started, processes)


def _train_in(config: Any, workdir: Path, started: float, processes: Processes) -> int:
    try:
        with processes.telling_failures():
            from dms_jax.runs.loop import train

            train(config, workdir, started, processes)
    except UserError as error:
        processes.say(str(error))
        return error.exit_code
    except OSError as error:
        processes.say(f"{error}: make room, or choose another --workdir or data_dir.")
        return 1
    return 0
