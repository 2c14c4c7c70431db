"""Scripts answer --help, and flags that they refuse, before JAX is started: that takes most of a busy GPU's memory."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = [
    file
    for folder in ("benchmarks", "docs")
    for file in sorted((ROOT / folder).glob("*.py"))
    if "ArgumentParser(" in (text := file.read_text()) and "__main__" in text
]
# Of a script's folder and of the configurations' one; what an extra would bring may be absent.
PROGRAM = """
import contextlib, io, json, os, runpy, sys

folders = sys.path[:]
for command in json.load(sys.stdin):
    sys.argv, sys.path[:] = command, [os.path.dirname(command[0]), *folders]
    said, code = io.StringIO(), "it goes on"
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            runpy.run_path(command[0], run_name="__main__")
        except SystemExit as error:
            code = error.code
        except ModuleNotFoundError as error:
            code = "absent"
        except Exception as error:
            code = repr(error)
    print(json.dumps([code, said.getvalue()]))
"""


def answers(commands: Sequence[Sequence[str]]) -> list[tuple[object, str]]:
    """The exit codes and texts of commands, in a process in which JAX cannot be started."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        input=json.dumps([[str(ROOT / file), *flags] for file, *flags in commands]),
        env={**os.environ, "JAX_PLATFORMS": "none", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=600,
        check=True,
    )
    return [tuple(json.loads(line)) for line in done.stdout.splitlines()]


def test_help_starts_nothing() -> None:
    assert len(SCRIPTS) > 20
    told = answers([[str(file), "--help"] for file in SCRIPTS])
    for file, (code, text) in zip(SCRIPTS, told, strict=True):
        assert code in (0, "absent"), f"{file.name}: {code}"
        assert code == "absent" or text.startswith("usage: "), f"{file.name}: {text}"
    assert sum(code == 0 for code, _ in told) > 15


def test_what_is_refused_starts_nothing() -> None:
    refused = {
        "update.py --only nothing": "argument --only: invalid choice: 'nothing'",
        "update.py --chained 0": "--chained 0 is too small: it must be at least 1.",
        "leads.py --only plain,nothing": "--only: there is no lead 'nothing': choose among ",
        "onnx_cpu.py --only nothing": "--only: there is no network 'nothing': choose among small, full",
        "profile_step.py --network unet --size lite": "unet has no size lite: choose among full, small",
        "compare_speed.py --networks unet,bdms": "--networks: there is no 'bdms': choose among unet, fcn8s",
        "sizes.py --variant thin side_channels=-3": "--variant thin cannot be built: ",
        "speed.py --network unet --sizes lite": "unet has no size lite: choose among full, small",
    }
    told = answers([f"benchmarks/{command}".split() for command in refused])
    for (command, sentence), (code, text) in zip(refused.items(), told, strict=True):
        assert sentence in f"{code} {text}", f"{command}: {code} {text}"


def test_muon_with_rounded_factors_is_for_gpus(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import update

    monkeypatch.setattr("sys.argv", ["update.py", "--only", "muon, bfloat16"])
    with pytest.raises(SystemExit, match="2"):
        update.main()
    assert "--only 'muon, bfloat16' is for a GPU: XLA's CPU has no such products." in capsys.readouterr().err
    assert [name for name in update.NAMES if name != "muon, bfloat16"] == list(update.optimizers())
