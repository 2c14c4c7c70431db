"""One run at a time in a work directory."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dms_jax.errors import UserError
from dms_jax.runs import lock
from dms_jax.runs.lock import locked

HOLDER = """
import sys
from pathlib import Path
from dms_jax.runs.lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_run_is_refused_until_the_first_ends(tmp_path: Path) -> None:
    refused = pytest.raises(UserError, match=r"in use by another run.*choose another --workdir")
    with locked(tmp_path), refused, locked(tmp_path):
        pass
    with locked(tmp_path):
        pass


def test_a_run_that_was_killed_holds_nothing(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(UserError, match="in use by another run"), locked(tmp_path):
            pass
        holder.kill()
    with locked(tmp_path):
        pass


@pytest.mark.parametrize("error", [OSError(95, "not supported"), ImportError("no fcntl")])
def test_where_there_are_no_locks_the_run_goes_on(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if isinstance(error, ImportError):
        monkeypatch.setitem(sys.modules, "fcntl", None)
    else:
        import fcntl

        def fails(*_: int) -> None:
            raise error

        monkeypatch.setattr(fcntl, "flock", fails)
    with locked(tmp_path), locked(tmp_path):
        assert (tmp_path / lock.LOCK_NAME).is_file()
