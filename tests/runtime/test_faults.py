import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CRASH = "os.kill(os.getpid(), signal.SIGSEGV)"

pytestmark = pytest.mark.skipif(os.name != "posix", reason="ends processes by a signal")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python, which is not asked for the same by its environment."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONFAULTHANDLER"}
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )


def crashed(*arguments: str) -> str:
    """What a process that crashes says of it."""
    done = run(*arguments)
    assert done.returncode == -signal.SIGSEGV, done.stderr
    return done.stderr


def test_a_run_that_crashes_says_where(tmp_path: Path) -> None:
    config = tmp_path / "own.py"
    config.write_text(f"import os, signal\n\n\ndef get_config():\n    {CRASH}\n")
    said = crashed("train.py", f"--config={config}", f"--workdir={tmp_path / 'run'}")
    assert "Segmentation fault" in said
    assert f'File "{config}", line 5 in get_config' in said


def test_a_command_that_crashes_says_where(tmp_path: Path) -> None:
    script = tmp_path / "own.py"
    script.write_text(f"import os, signal\nfrom dms_jax.cli import main\n\nmain(['--version'])\n{CRASH}\n")
    said = crashed("-c", f"import runpy, sys; sys.path.insert(0, '.'); runpy.run_path({str(script)!r})")
    assert f'File "{script}", line 5 in ' in said


def test_a_standard_error_that_is_no_file_is_no_failure() -> None:
    program = (
        "import faulthandler, io, sys; sys.path.insert(0, '.'); "
        "from dms_jax.runtime.faults import show_where_it_crashes as show; "
        "error = sys.stderr; sys.stderr = io.StringIO(); show(); sys.stderr = None; show(); "
        "assert not faulthandler.is_enabled(); sys.stderr = error; show(); assert faulthandler.is_enabled()"
    )
    done = run("-c", program)
    assert done.returncode == 0, done.stderr
