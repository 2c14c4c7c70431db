import io
import json
import math
import os
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from dms_jax.errors import UserError
from dms_jax.runs.monitoring.metrics_file import METRICS_NAME, MetricsFile, read_metrics
from dms_jax.runs.monitoring.writers import RunWriter


class Terminal(io.StringIO):
    def isatty(self):
        return True


class Clock:
    """Seconds that pass only when told to."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now

    def wait(self, seconds):
        self.now += seconds


@pytest.fixture
def clock():
    return Clock()


def run_writer(workdir, clock, stream=None, **changes):
    arguments = {
        "num_steps": 7000,
        "images_per_step": 16,
        "stream": stream or io.StringIO(),
        "clock": clock,
    }
    return RunWriter(workdir, **(arguments | changes))


def read_events(workdir):
    """Read every event of a folder, following the record format: length, its CRC, the event, its CRC."""
    from tensorboardX.proto.event_pb2 import Event

    events = []
    for path in sorted(workdir.glob("events.out.tfevents.*")):
        content = path.read_bytes()
        while content:
            (length,) = struct.unpack("<Q", content[:8])
            events.append(Event.FromString(content[12 : 12 + length]))
            content = content[12 + length + 4 :]
    return events


def shown_scalars(events):
    """Return what TensorBoard shows: a session that starts at a step hides all earlier events from it on."""
    shown = []
    for event in events:
        if event.HasField("session_log") and event.session_log.status == event.session_log.START:
            shown = [scalar for scalar in shown if scalar[1] < event.step]
        shown += [(value.tag, event.step, value.simple_value) for value in event.summary.value]
    return shown


def write_steps(file, first, last):
    for step in range(first, last + 1):
        file.write(step, {"train/loss": 1 / (step + 1)})
        if step % 2 == 0:
            file.write(step, {"eval/maxF": step / 10, "café": None})
    file.close()


class TestMetricsFile:
    def test_lines_are_on_disk_at_once_with_step_first(self, tmp_path):
        file = MetricsFile(tmp_path / "metrics.jsonl")
        file.write(3, {"loss": 0.25, "images": 48})
        assert file.path.read_text() == '{"step": 3, "loss": 0.25, "images": 48}\n'
        file.close()

    def test_a_work_directory_that_is_removed_is_noticed(self, tmp_path):
        file = MetricsFile(tmp_path / "metrics.jsonl")
        file.write(1, {})
        file.path.rename(tmp_path / "moved")
        with pytest.raises(UserError, match=r"metrics\.jsonl was removed or replaced while .*: run the same"):
            file.write(2, {})
        file.path.touch()
        with pytest.raises(UserError, match=r"was removed or replaced"):
            file.write(3, {})
        file.close()

    def test_what_has_no_finite_value_is_null(self, tmp_path):
        file = MetricsFile(tmp_path / "metrics.jsonl")
        file.write(1, {"a": math.nan, "b": math.inf, "c": -math.inf, "d": None, "e": np.float32("nan"), "f": 0})
        file.close()

        def refuse(constant):
            raise AssertionError(f"{constant} is not JSON")

        line = json.loads(file.path.read_text(), parse_constant=refuse)
        assert line == {"step": 1, "a": None, "b": None, "c": None, "d": None, "e": None, "f": 0}

    def test_arrays_of_no_dimensions_are_numbers(self, tmp_path):
        import jax.numpy as jnp

        file = MetricsFile(tmp_path / "metrics.jsonl")
        file.write(np.int64(2), {"a": np.float32(0.5), "b": jnp.float32(0.25), "c": np.array(3.0), "d": np.int32(4)})
        file.close()
        assert read_metrics(file.path) == [{"step": 2, "a": 0.5, "b": 0.25, "c": 3.0, "d": 4}]

    def test_scalar_called_step_is_refused(self, tmp_path):
        file = MetricsFile(tmp_path / "metrics.jsonl")
        with pytest.raises(ValueError, match="may not be called 'step'"):
            file.write(1, {"step": 2.0})
        file.close()
        assert file.path.read_text() == ""

    @given(data=st.data(), resume_step=st.one_of(st.none(), st.integers(0, 6)))
    def test_killed_anywhere_and_resumed_is_as_if_never_interrupted(self, tmp_path_factory, data, resume_step):
        folder = tmp_path_factory.mktemp("run")
        write_steps(MetricsFile(folder / "whole.jsonl"), 0, 6)
        whole = (folder / "whole.jsonl").read_bytes()
        lines = whole.splitlines(keepends=True)
        first = 0 if resume_step is None else resume_step + 1
        saved = sum(len(line) for line in lines if json.loads(line)["step"] < first)

        killed_at = data.draw(st.integers(saved, len(whole)), label="killed at byte")
        (folder / "cut.jsonl").write_bytes(whole[:killed_at])
        write_steps(MetricsFile(folder / "cut.jsonl", resume_step), first, 6)

        assert (folder / "cut.jsonl").read_bytes() == whole
        assert sorted(path.name for path in folder.iterdir()) == ["cut.jsonl", "whole.jsonl"]

    def test_resuming_a_folder_without_the_file_starts_one(self, tmp_path):
        write_steps(MetricsFile(tmp_path / "metrics.jsonl", 4), 5, 6)
        assert [line["step"] for line in read_metrics(tmp_path / "metrics.jsonl")] == [5, 6, 6]

    def test_failure_while_dropping_lines_leaves_the_old_file(self, tmp_path, monkeypatch):
        path = tmp_path / "metrics.jsonl"
        write_steps(MetricsFile(path), 0, 6)
        before = path.read_bytes()

        def fail(descriptor):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("os.fsync", fail)
        with pytest.raises(UserError, match=r"metrics\.jsonl cannot be written \(No space left on device\)"):
            MetricsFile(path, 2)
        assert path.read_bytes() == before

    @pytest.mark.parametrize("line", ["{", "[1]", '{"loss": 1}', '{"step": "x"}', "", "\xff"])
    def test_spoilt_line_before_the_last_is_named(self, tmp_path, line):
        path = tmp_path / "metrics.jsonl"
        path.write_bytes(b'{"step": 1}\n' + line.encode("latin-1") + b'\n{"step": 2}\n')
        with pytest.raises(UserError, match=r"metrics\.jsonl, line 2: not a JSON object with a step"):
            MetricsFile(path, 2)
        with pytest.raises(UserError, match="line 2"):
            read_metrics(path)

    def test_reading_a_file_still_being_written_leaves_the_last_line_out(self, tmp_path):
        (tmp_path / "metrics.jsonl").write_text('{"step": 1}\n{"step": 2, "lo')
        assert read_metrics(tmp_path / "metrics.jsonl") == [{"step": 1}]

    def test_reading_no_file_names_it(self, tmp_path):
        with pytest.raises(UserError, match=r"metrics\.jsonl cannot be read \(No such file"):
            read_metrics(tmp_path / "metrics.jsonl")


class TestFiles:
    def test_scalars_go_to_both_files_under_the_same_names(self, tmp_path, clock):
        with run_writer(tmp_path / "new" / "run", clock) as writer:
            writer.write(1, {"train/loss": 0.5, "eval/auroc": None, "train/nan": math.nan})
            writer.write(2, {"train/loss": 0.25})
        assert read_metrics(tmp_path / "new" / "run" / METRICS_NAME) == [
            {"step": 1, "train/loss": 0.5, "eval/auroc": None, "train/nan": None},
            {"step": 2, "train/loss": 0.25},
        ]
        assert shown_scalars(read_events(tmp_path / "new" / "run")) == [
            ("train/loss", 1, 0.5),
            ("train/loss", 2, 0.25),
        ]

    def test_images_are_shown_as_they_are(self, tmp_path, clock):
        """No pixel is multiplied, however small all of them are."""
        images = [np.full((3, 4, 3), value, np.uint8) for value in (1, 200)]
        with run_writer(tmp_path, clock) as writer:
            writer.show(5, {"validation/0": images[0], "validation/1": images[1]})
        shown = [(event.step, value) for event in read_events(tmp_path) for value in event.summary.value]
        assert [(step, value.tag) for step, value in shown] == [(5, "validation/0"), (5, "validation/1")]
        for (_, value), expected in zip(shown, images, strict=True):
            np.testing.assert_array_equal(Image.open(io.BytesIO(value.image.encoded_image_string)), expected)

    def test_resumed_run_hides_what_it_repeats(self, tmp_path, clock):
        with run_writer(tmp_path, clock) as writer:
            for step in (1, 2, 3):
                writer.write(step, {"loss": float(step)})
        with run_writer(tmp_path, clock, resume_step=2) as writer:
            for step in (3, 4):
                writer.write(step, {"loss": 10.0 * step})
        assert shown_scalars(read_events(tmp_path)) == [
            ("loss", 1, 1.0),
            ("loss", 2, 2.0),
            ("loss", 3, 30.0),
            ("loss", 4, 40.0),
        ]
        assert [line["loss"] for line in read_metrics(tmp_path / METRICS_NAME)] == [1.0, 2.0, 30.0, 40.0]

    def test_run_started_anew_in_the_same_folder_hides_all(self, tmp_path, clock):
        for loss in (1.0, 2.0):
            with run_writer(tmp_path, clock) as writer:
                writer.write(0, {"loss": loss})
        assert shown_scalars(read_events(tmp_path)) == [("loss", 0, 2.0)]
        assert read_metrics(tmp_path / METRICS_NAME) == [{"step": 0, "loss": 2.0}]

    def test_inactive_writer_touches_and_prints_nothing(self, tmp_path, clock):
        stream = Terminal()
        with run_writer(tmp_path / "run", clock, stream, active=False) as writer:
            writer.write(1, {"loss": 1.0})
            writer.progress(1, loss=1.0)
            writer.text("hello")
            with writer.pause():
                pass
        assert list(tmp_path.iterdir()) == []
        assert stream.getvalue() == ""

    def test_an_error_inside_closes_the_files_and_comes_through(self, tmp_path, clock):
        writer = run_writer(tmp_path, clock)
        writer.write(1, {"loss": 1.0})
        with pytest.raises(RuntimeError, match="diverged"), writer:
            raise RuntimeError("diverged")
        assert shown_scalars(read_events(tmp_path)) == [("loss", 1, 1.0)]
        with pytest.raises(ValueError, match="closed"):
            writer.write(2, {"loss": 1.0})
        writer.close()

    @pytest.mark.parametrize("make", [Path.touch, lambda path: (path / METRICS_NAME).mkdir(parents=True)])
    def test_work_directory_that_cannot_be_written_is_a_failure_to_fix(self, tmp_path, clock, make):
        make(tmp_path / "run")
        with pytest.raises(UserError, match=r"cannot be written \(.+\): choose another --workdir\.$"):
            run_writer(tmp_path / "run", clock)


class TestLines:
    def test_one_line_for_each_loss(self, tmp_path, clock):
        stream = io.StringIO()
        with run_writer(tmp_path, clock, stream) as writer:
            for step in range(1, 501):
                writer.progress(step)
            clock.wait(25.0)
            writer.progress(500, loss=0.12344, learning_rate=0.019)
            clock.wait(20.0)
            writer.progress(1000, loss=1.2e-6, learning_rate=1.5e-5)
        assert stream.getvalue().splitlines() == [
            "step  500/7000  loss 0.1234  lr 0.0190  320.0 images/s  time left 5:25",
            "step 1000/7000  loss 1.200e-06  lr 1.50e-05  400.0 images/s  time left 4:00",
        ]

    def test_compilation_counts_in_no_later_metric(self, tmp_path, clock):
        stream = io.StringIO()
        with run_writer(tmp_path, clock, stream) as writer:
            clock.wait(1000.0)
            writer.progress(100, loss=1.0)
            clock.wait(10.0)
            writer.progress(200, loss=1.0)
        assert stream.getvalue().splitlines()[1].endswith("160.0 images/s  time left 11:20")

    def test_pause_counts_for_the_time_left_but_not_for_the_speed(self, tmp_path, clock):
        stream = io.StringIO()
        with run_writer(tmp_path, clock, stream) as writer:
            writer.progress(100, loss=1.0)
            clock.wait(10.0)
            with writer.pause():
                clock.wait(10.0)
            writer.progress(200, loss=1.0)
            clock.wait(10.0)
            writer.progress(300, loss=1.0)
        assert stream.getvalue().splitlines()[1].endswith("160.0 images/s  time left 22:40")
        assert "160.0 images/s" in stream.getvalue().splitlines()[2]

    def test_speed_of_a_resumed_run_counts_its_own_steps(self, tmp_path, clock):
        stream = io.StringIO()
        with run_writer(tmp_path, clock, stream, resume_step=6000) as writer:
            clock.wait(10.0)
            writer.progress(6100, loss=1.0)
        assert stream.getvalue() == "step 6100/7000  loss 1.000  160.0 images/s  time left 1:30\n"

    def test_hours_and_the_end(self, tmp_path, clock):
        stream = io.StringIO()
        with run_writer(tmp_path, clock, stream, num_steps=2) as writer:
            clock.wait(3725.0)
            writer.progress(1, loss=1.0)
            clock.wait(1.0)
            writer.progress(2, loss=math.nan)
        first, last = stream.getvalue().splitlines()
        assert first.endswith("time left 1:02:05")
        assert last == "step 2/2  loss nan  16.0 images/s  time left 0:00"

    def test_speed_is_unknown_before_a_step_or_a_moment_has_passed(self, tmp_path, clock):
        stream = io.StringIO()
        with run_writer(tmp_path, clock, stream) as writer:
            writer.progress(0, loss=1.0)
        assert stream.getvalue() == "step    0/7000  loss 1.000  ? images/s  time left ?\n"

    def test_text_is_a_line(self, tmp_path, clock):
        stream = io.StringIO()
        with run_writer(tmp_path, clock, stream) as writer:
            writer.text("resumed at step 10")
        assert stream.getvalue() == "resumed at step 10\n"

    def test_default_stream_is_standard_error(self, tmp_path, clock, capsys):
        with RunWriter(tmp_path, num_steps=2, images_per_step=1, clock=clock) as writer:
            writer.text("hello")
        assert capsys.readouterr() == ("", "hello\n")


class TestBar:
    def everything(self, reader):
        shown = b""
        try:
            while part := os.read(reader, 10_000):
                shown += part
        except OSError:  # how Linux says that the terminal's other side is closed
            pass
        os.close(reader)
        return shown.decode()

    def frames(self, stream):
        return [frame.strip() for frame in stream.getvalue().replace("\n", "\r").split("\r") if frame.strip()]

    def test_bar_shows_steps_speed_time_left_and_loss(self, tmp_path, clock, monkeypatch):
        monkeypatch.setenv("COLUMNS", "80")
        stream = Terminal()
        with run_writer(tmp_path, clock, stream, resume_step=3000) as writer:
            clock.wait(25.0)
            writer.progress(3500, loss=0.12344, learning_rate=0.019)
        frames = self.frames(stream)
        assert frames[0] == "|###4    | 3000/7000"
        assert frames[-1] == "|####    | 3500/7000  loss 0.1234  20.00 steps/s  320.0 images/s  2:55 left"

    @pytest.mark.parametrize(
        ("size", "expected"),
        [
            ((24, 80), "| 3500/7000  loss 0.1234  20.00 steps/s  320.0 images/s  2:55 left"),
            ((0, 0), "step 3500/7000  loss 0.1234  320.0 images/s  time left 2:55"),
        ],
        ids=["bar", "line where a terminal has no size"],
    )
    def test_real_terminal(self, tmp_path, clock, size, expected):
        termios = pytest.importorskip("termios", reason="needs a system with pseudo-terminals")
        reader, terminal = os.openpty()
        termios.tcsetwinsize(terminal, size)
        with (
            os.fdopen(terminal, "w") as stream,
            run_writer(tmp_path, clock, stream, resume_step=3000) as writer,
        ):
            clock.wait(25.0)
            writer.progress(3500, loss=0.12344)
        assert expected in self.everything(reader)

    def test_steps_without_a_loss_move_the_bar(self, tmp_path, clock):
        stream = Terminal()
        with run_writer(tmp_path, clock, stream, num_steps=4) as writer:
            for step in range(1, 5):
                writer.progress(step)
        assert self.frames(stream)[-1] == "|########| 4/4"

    def test_text_stands_on_a_line_of_its_own(self, tmp_path, clock):
        stream = Terminal()
        with run_writer(tmp_path, clock, stream, num_steps=4) as writer:
            writer.progress(1, loss=1.0)
            writer.text("best so far")
            writer.progress(2, loss=1.0)
        assert "\rbest so far\n" in stream.getvalue()
        assert "| 2/4" in self.frames(stream)[-1]


@pytest.mark.parametrize("part", ["metrics.jsonl", "events"])
def test_a_full_disk_is_named_once_and_nothing_waits_for_it(tmp_path, clock, part):
    from tensorboardX.record_writer import RecordWriter

    class Full(io.StringIO):
        def flush(self):
            full()

        def close(self):
            super().close()
            self.flush()

    def full(*_):
        raise OSError(28, "No space left on device")

    sentence = rf"{part}.* cannot be written \(No space left on device\): make room, and run the same command to resume"

    class FullRecords(RecordWriter):
        def write(self, data):
            full()

        def close(self):
            super().close()
            full()

    writer = run_writer(tmp_path, clock)
    writer.write(1, {"loss": 1.0})
    if part == "events":
        writer._events.close()
        writer._events._writer = FullRecords(str(tmp_path / "events"))
    else:
        writer._metrics._file.close()
        writer._metrics._file = Full()
    for step in range(2, 40):
        with pytest.raises(UserError, match=sentence):
            writer.write(step, {"loss": 1.0})
    with pytest.raises(UserError, match=sentence):
        writer.close()
