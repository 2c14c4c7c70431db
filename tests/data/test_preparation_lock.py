import fcntl
import subprocess
import sys
from pathlib import Path

import pytest

from dms_jax.data.preparation_lock import preparation_lock

# The file that says that it is about to let go.
DONE = "done"
HOLD = f"""
import sys, time
from pathlib import Path
from dms_jax.data.preparation_lock import preparation_lock
with preparation_lock(Path(sys.argv[1]), "folder", "mine"):
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
    (Path(sys.argv[1]) / {DONE!r}).touch()
"""


@pytest.fixture
def hold(tmp_path):
    """Another process that holds the lock for so many seconds."""
    started = []

    def start(seconds):
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(tmp_path), str(seconds)],
            cwd=Path(__file__).parents[2],
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stdout.readline() == "held\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_waits_for_another_process(tmp_path, hold):
    hold(0.5)
    with preparation_lock(tmp_path, "folder", "mine"):
        assert (tmp_path / DONE).exists()
    assert [path.name for path in tmp_path.iterdir()] == [DONE]


def test_a_lock_is_let_go_of_where_its_file_cannot_be_removed(tmp_path, monkeypatch):
    def refuse(path, **_):
        raise PermissionError(1, "Operation not permitted", str(path))

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", refuse)
        with preparation_lock(tmp_path, "folder", "mine"):
            pass
    with (tmp_path / ".folder-mine.lock").open() as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_other_configurations_do_not_wait(tmp_path, hold):
    process = hold(60)
    with preparation_lock(tmp_path, "folder", "other"):
        assert process.poll() is None


def test_a_killed_process_holds_no_lock_and_what_it_left_is_removed(tmp_path, hold):
    mine, other = (tmp_path / "folder" / config / "incomplete.ABC_1.0.0" for config in ("mine", "other"))
    whole = tmp_path / "folder" / "other" / "1.0.0"
    process = hold(60)
    for folder in (mine, other, whole):
        folder.mkdir(parents=True)
        (folder / "train").write_text("x")
    # Those of a process that is at work stay.
    with preparation_lock(tmp_path, "folder", "third"):
        assert (mine / "train").exists()
        assert not other.exists()
    assert (whole / "train").exists()
    process.kill()
    process.wait()
    with preparation_lock(tmp_path, "folder", "mine"):
        assert not mine.parent.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
