"""The command line of training: flags in, exit code out."""

import sys
import time
from collections.abc import Sequence
from pathlib import Path

from absl import flags
from ml_collections import ConfigDict, config_flags

from dms_jax.errors import UsageError, UserError
from dms_jax.training.configuration import flatten

USAGE = """usage: train.py [--config=FILE[:ARGUMENT]] [--workdir=DIR] [--config.FIELD=VALUE ...]

  --config    configuration file; an argument after the colon is comma-separated key=value, such as
              configs/bdms.py:size=lite,split=tiles (each file says which it takes); default {default}
  --workdir   where the run is kept, and resumed from if it is there already;
              default runs/<configuration>[-<argument>]
  --config.FIELD=VALUE   any field of the configuration, such as --config.batch_size=8
"""


def launch(default_config: str, argv: Sequence[str] | None = None, started: float | None = None) -> int:
    """Train as the command line says.

    Args:
      default_config: path of the configuration for a command that names none.
      argv: the command line with the program's name first; by default this process's.
      started: `time.monotonic()` at the program's start; None for that of this call.

    Returns:
      The exit code: 0 done; 1 a failure that the user can mend; 2 wrong usage. Either is explained in one sentence on
      standard error.
    """
    started = time.monotonic() if started is None else started
    argv = list(sys.argv if argv is None else argv)
    if any(argument in ("-h", "-help", "--help") for argument in argv[1:]):
        print(USAGE.format(default=default_config))
        return 0
    # Libraries ask whether the process's own flags are parsed; ours are kept apart from theirs.
    flags.FLAGS(argv[:1])
    try:
        config, workdir = parse(argv, default_config)
        # Imported late: a mistyped flag is answered at once.
        from dms_jax.training.loop import train

        train(config, workdir, started)
    except UserError as error:
        print(f"train.py: {error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        print(f"train.py: {error}: make room, or choose another --workdir or data_dir.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("train.py: interrupted: run the same command to go on from the last checkpoint.", file=sys.stderr)
        return 1
    return 0


def parse(argv: Sequence[str], default_config: str) -> tuple[ConfigDict, Path]:
    """Read the configuration and the work directory from a command line.

    Raises:
      UsageError: a flag or a field is unknown, a value is of the wrong type, or the configuration cannot be read.
    """
    overrides = [argument for argument in argv[1:] if argument.lstrip("-").startswith("config.")]
    others = [argument for argument in argv[1:] if argument not in overrides]
    if any(argument in ("--config", "-config") for argument in others):
        raise UsageError("--config takes its value after an equals sign: write --config=FILE.")
    # Without the overrides first: to know which fields there are.
    config, _, _ = _read_flags([argv[0], *others], default_config)
    known = flatten(config)
    for override in overrides:
        name = override.lstrip("-").removeprefix("config.").partition("=")[0]
        if name not in known:
            section = name.rpartition(".")[0]
            nearby = [field for field in known if field.rpartition(".")[0] == section] or list(known)
            raise UsageError(f"config.{name} is unknown; known are config.{', config.'.join(nearby)}.")
        if "=" not in override:
            raise UsageError(f"{override} has no value: write {override}=VALUE.")
    config, file, workdir = _read_flags([argv[0], *others, *overrides], default_config)
    if workdir == "":
        raise UsageError("--workdir is empty: name a folder, or leave the flag out.")
    return config, Path(workdir).expanduser() if workdir else default_workdir(file)


def default_workdir(config_file: str) -> Path:
    """`runs/<name of the file>[-<argument>]`: another argument is another run."""
    path, _, argument = config_file.partition(":")
    name = Path(path).stem
    if argument:
        name += "-" + "".join(c if c.isalnum() or c in "=,._" else "_" for c in argument)
    return Path("runs") / name


def _read_flags(argv: list[str], default_config: str) -> tuple[ConfigDict, str, str | None]:
    """The configuration, its file with the argument, and the work directory."""
    values = flags.FlagValues()
    given = [argument for argument in argv if argument.lstrip("-").startswith("config=")]
    file = given[-1].partition("=")[2] if given else default_config
    try:
        config_flags.DEFINE_config_file("config", default_config, "", flag_values=values, sys_argv=argv)
        flags.DEFINE_string("workdir", None, "", flag_values=values)
        positional = values(argv)[1:]
        config = values["config"].value
        # A file that could not be loaded fails at the first access.
        config.to_dict()
    except UserError:
        raise
    except OSError as error:
        raise UsageError(f"--config={file} cannot be read: name a file such as configs/bdms.py.") from error
    except Exception as error:  # The file is code, which can fail in any way.
        reason = str(error).strip()
        if not isinstance(error, flags.Error):
            reason = f"--config={file} fails with {type(error).__name__}: {reason}"
        elif "Traceback" in reason:
            reason = f"--config={file} fails with {reason.splitlines()[-1]}"
        raise UsageError(" ".join(reason.split())) from error
    if positional:
        raise UsageError(f"argument {positional[0]!r} is not understood: flags begin with --.")
    return config, config_flags.get_config_filename(values["config"]), values.workdir
