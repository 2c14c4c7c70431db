"""A run's configuration and work directory from the flags of a command line."""

import ast
import difflib
import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import NoneType
from typing import Any

from absl import flags
from ml_collections import ConfigDict, config_flags

import dms_jax
from dms_jax.errors import UsageError, UserError, some_names
from dms_jax.runs.config.fields import OPTIONS, flatten, is_option, with_tuples

_KINDS = {int: "a whole number", float: "a number", bool: "true or false"}


def parse(argv: Sequence[str], default_config: str) -> tuple[ConfigDict, Path]:
    """Read the configuration and the work directory from a command line.

    Raises:
      UsageError: a flag or a field is unknown, a value is of the wrong type, or the configuration cannot be read.
    """
    overrides = [argument for argument in argv[1:] if argument.lstrip("-").startswith("config.")]
    others = [argument for argument in argv[1:] if argument not in overrides]
    for override in overrides:
        if "=" not in override:
            raise UsageError(f"{override} has no value: write {override}=VALUE.")
    default_config = find_config(default_config) if default_config else ""
    others = [_with_file(argument) for argument in others]
    if any(argument in ("--config", "-config") for argument in others):
        raise UsageError("--config takes its value after an equals sign: write --config=FILE.")
    # Without the overrides first: to know which fields there are.
    config, file, _ = _read_flags([argv[0], *others], default_config)
    known = flatten(config)
    _check_fields(known, file)
    options: dict[str, Any] = {}
    for override in list(overrides):
        name, value = _field_and_value(override)
        # The flags of a configuration set no field that its file does not have, nor one in which that has such.
        if name in known and not (is_option(name) and isinstance(known[name], (list, NoneType))):
            continue
        if not is_option(name):
            raise UsageError(_is_unknown(name, known))
        option = name.removeprefix(OPTIONS)
        options[option] = _literal(value)
        if not _can_be_kept(options[option]):
            raise UsageError(
                f"config.{name}={value} cannot be kept with a run: give a finite number, a text, True, False or None, "
                "or a tuple of such."
            )
        overrides.remove(override)
    try:
        config, file, workdir = _read_flags([argv[0], *others, *overrides], default_config)
    except UsageError as error:
        raise _naming_the_kind(error, overrides, known) from error
    with config.unlocked():
        config.model.options = {**config.model.options.to_dict(), **options}
    if workdir == "":
        raise UsageError("--workdir is empty: name a folder, or leave the flag out.")
    return config, Path(workdir).expanduser() if workdir else default_workdir(file)


def _check_fields(fields: Iterable[str], file: str) -> None:
    """Refuse a configuration file that sets a field which nothing would read, or lacks one that is needed.

    Raises:
      UsageError: it does; the message names the file and the field.
    """
    # Late: it takes seconds, but for a configuration file that has imported it.
    from dms_jax.runs.config.defaults import default_config

    known = flatten(default_config())
    for name in fields:
        if name not in known and not name.startswith(OPTIONS):
            raise UsageError(f"--config={file}: {_is_unknown(name, known)}")
    missing = sorted(known.keys() - set(fields))
    if missing:
        raise UsageError(
            f"--config={file} lacks {some_names([f'config.{name}' for name in missing], 3)}: begin with "
            "dms_jax.runs.config.defaults.default_config()."
        )


def _is_unknown(name: str, known: Iterable[str]) -> str:
    """A sentence on a field that is not among the known ones."""
    meant = _probably_meant(name, known)
    question = f" (did you mean config.{meant}?)" if meant else ""
    beside = _known_beside(name, [*known, f"{OPTIONS}NAME"])
    return f"config.{name} is unknown{question}; known are config.{', config.'.join(beside)}."


def _field_and_value(override: str) -> tuple[str, str]:
    name, _, value = override.lstrip("-").removeprefix("config.").partition("=")
    return name, value


def _literal(text: str) -> Any:
    """A value as Python writes it, but for lists, which become tuples; true and false in lower case too.

    Any other text is itself.
    """
    truth = {"true": True, "false": False}.get(text.lower())
    if truth is not None:
        return truth
    try:
        with warnings.catch_warnings():
            # Of '\d' and the like, which have a value all the same.
            warnings.simplefilter("ignore")
            return with_tuples(ast.literal_eval(text))
    except (ValueError, SyntaxError, TypeError):
        return text


def _can_be_kept(value: Any) -> bool:
    """Whether the JSON file of a run's configuration gives the same value back."""
    if isinstance(value, dict):
        return all(isinstance(name, str) and "." not in name and _can_be_kept(each) for name, each in value.items())
    if isinstance(value, tuple):
        return all(map(_can_be_kept, value))
    return value is None or isinstance(value, (bool, int, str)) or (isinstance(value, float) and math.isfinite(value))


def _known_beside(name: str, known: Iterable[str]) -> list[str]:
    """The fields of the group that a name is in, and the groups in it as `GROUP.*`; of no group, those at the top."""
    groups = {field.rpartition(".")[0] for field in known}
    group = name if name in groups else name.rpartition(".")[0]
    start = f"{group}." if group in groups and group else ""
    inside = [field.removeprefix(start) for field in known if field.startswith(start)]
    return [start + field for field in sorted({f"{f.partition('.')[0]}.*" if "." in f else f for f in inside})]


def _probably_meant(name: str, known: Iterable[str]) -> str | None:
    """The field that a misspelt name is closest to, or the one field of that name in another group."""
    ends: dict[str, list[str]] = {}
    for field in known:
        ends.setdefault(field.rpartition(".")[2], []).append(field)
    elsewhere = ends.get(name.rpartition(".")[2], [])
    if len(elsewhere) == 1:
        return elsewhere[0]
    return next(iter(difflib.get_close_matches(name, list(known), n=1, cutoff=0.75)), None)


def _naming_the_kind(error: UsageError, overrides: Sequence[str], known: Mapping[str, Any]) -> UsageError:
    """The error itself, or where a number was expected one that says so, instead of Python's words about literals."""
    for override in overrides:
        name, value = _field_and_value(override)
        kind = _KINDS.get(type(known[name]))
        if kind and str(error).startswith(f"flag --config.{name}={value}:"):
            return UsageError(f"config.{name}={value} is not {kind}.")
    return error


def known_configs() -> list[str]:
    """The names of the configurations that come with the project."""
    return sorted(path.stem for path in _configs_folder().glob("[!_]*.py"))


def find_config(text: str) -> str:
    """The file that `FILE[:ARGUMENT]` or `NAME[:ARGUMENT]` means, with its argument.

    Raises:
      UsageError: a name is none of those that come with the project.
    """
    source, colon, argument = text.partition(":")
    if source.endswith(".py") or "/" in source or Path(source).is_file():
        return text
    if source not in known_configs():
        raise UsageError(f"--config={text} cannot be read: name a file, or one of {', '.join(known_configs())}.")
    return f"{_configs_folder() / source}.py{colon}{argument}"


def _configs_folder() -> Path:
    """`configs/` of the installed package, or of the checkout that the package lies in."""
    package = Path(dms_jax.__file__).parent
    installed = package / "configs"
    return installed if installed.is_dir() else package.parent / "configs"


def default_workdir(config_file: str) -> Path:
    """`runs/<name of the file>[-<argument>]`: another argument is another run."""
    path, _, argument = config_file.partition(":")
    name = Path(path).stem
    if argument:
        name += "-" + "".join(c if c.isalnum() or c in "=,._" else "_" for c in argument)
    return Path("runs") / name


def _with_file(argument: str) -> str:
    flag, equals, value = argument.partition("=")
    return f"--config={find_config(value)}" if flag.lstrip("-") == "config" and equals else argument


def _read_flags(argv: list[str], default_config: str) -> tuple[ConfigDict, str, str | None]:
    """The configuration, its file with the argument, and the work directory."""
    values = flags.FlagValues()
    given = [argument for argument in argv if argument.lstrip("-").startswith("config=")]
    file = given[-1].partition("=")[2] if given else default_config
    try:
        config_flags.DEFINE_config_file("config", default_config, "", flag_values=values, sys_argv=argv)
        flags.DEFINE_string("workdir", None, "", flag_values=values)
        positional = values(argv)[1:]
        config: ConfigDict = values["config"].value
        # A file that could not be loaded fails at the first access.
        config.to_dict()
    except UserError:
        raise
    except OSError as error:
        raise UsageError(
            f"--config={file} cannot be read: name a file, or one of {', '.join(known_configs())}."
        ) from error
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
