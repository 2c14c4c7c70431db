import csv
import dataclasses
import json
import os
import threading
from pathlib import Path

import pytest

from dms_jax.evaluation.report.kinds import ALARM, errors_of
from dms_jax.evaluation.result_files import write_image_table, write_results
from dms_jax.evaluation.scoring import ImageRow

COLUMNS = "name,label,predicted,defective,maximum,defect_probability,mae,iou,f1,s_measure,weighted_f,gated_maximum"
COLUMNS += ",gated_predicted,gated_defect_probability"


def row(name, mae, **others):
    empty = dict.fromkeys(field.name for field in dataclasses.fields(ImageRow) if field.name != "extra")
    return ImageRow(**(empty | {"name": name, "mae": mae, "defective": False, "maximum": 0} | others))


def test_results_are_json_that_replaces_the_file(tmp_path):
    path = tmp_path / "results.json"
    path.write_text("old")
    results = {"mae": 0.1, "max_f": None, "name": "é"}
    write_results(results, path)
    assert json.loads(path.read_text("utf-8")) == results
    assert list(tmp_path.iterdir()) == [path]


def test_metrics_that_are_not_finite_are_refused_and_leave_the_file(tmp_path):
    path = tmp_path / "results.json"
    path.write_text("old")
    with pytest.raises(ValueError):
        write_results({"mae": float("nan")}, path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_table_has_every_image_worst_first(tmp_path):
    path = tmp_path / "images.csv"
    rows = [
        row("b", 0.25),
        row('c, "d"', 0.5, label=1, predicted=0, defective=True, maximum=255, iou=0.125, f1=0.25, s_measure=1.0),
        row("a", 0.25),
        row("fe\u0301", 0.0, defect_probability=0.75, weighted_f=0.0),
    ]
    write_image_table(rows, ["free", "crack"], path)
    assert path.read_text("utf-8").splitlines()[0] == COLUMNS
    with path.open(newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    assert [line["name"] for line in lines] == ['c, "d"', "a", "b", "fe\u0301"]
    assert lines[0] == {
        "name": 'c, "d"',
        "label": "crack",
        "predicted": "free",
        "defective": "1",
        "maximum": "255",
        "defect_probability": "",
        "mae": "0.5",
        "iou": "0.125",
        "f1": "0.25",
        "s_measure": "1.0",
        "weighted_f": "",
        "gated_maximum": "",
        "gated_predicted": "",
        "gated_defect_probability": "",
    }
    assert (lines[3]["label"], lines[3]["defect_probability"], lines[3]["weighted_f"]) == ("", "0.75", "0.0")


def test_missed_defects_and_false_alarms_come_before_outlines(tmp_path):
    rows = [
        row("outline", 0.4, defective=True, iou=0.2, maximum=200),
        row("alarm", 0.01, iou=0.0, maximum=200),
        row("sound", 0.02, maximum=3),
        row("without a threshold", 0.03, defective=True, maximum=3),
        row("beside", 0.003, defective=True, iou=0.0, maximum=200),
        row("unknown", None, defective=None),
        row("missed", 0.002, defective=True, iou=0.0, maximum=3),
        row("black", 0.001, defective=True, maximum=0),
    ]
    write_image_table(rows, [], tmp_path / "images.csv")
    with (tmp_path / "images.csv").open(newline="") as file:
        names = [line["name"] for line in csv.DictReader(file)]
    assert names == ["beside", "missed", "black", "alarm", "outline", "without a threshold", "sound", "unknown"]


@pytest.mark.parametrize("free_class", [0, None])
def test_the_table_and_the_report_call_the_same_images_false_alarms(free_class, tmp_path):
    """An image of a defect with an empty mask is none where its label tells."""
    fires = {"iou": 0.0, "maximum": 200}
    rows = [
        row("sound", 0.1, label=0, **fires),
        row("empty", 0.2, label=1, **fires),
        row("unlabelled", 0.3, **fires),
        row("silent", 0.9, label=1, maximum=3),
    ]
    write_image_table(rows, ["free", "crack"], tmp_path / "images.csv", free_class)
    with (tmp_path / "images.csv").open(newline="") as file:
        names = [line["name"] for line in csv.DictReader(file)]
    alarms = [each.name for each in rows if ALARM in errors_of(each, 100, free_class)]
    assert ("empty" in alarms) == (free_class is None)
    # The larger error first, among the alarms and after them.
    others = ["silent"] if free_class is None else ["silent", "empty"]
    assert names == [*sorted(alarms, key=["unlabelled", "empty", "sound"].index), *others]


def test_further_metrics_are_the_last_columns(tmp_path):
    path = tmp_path / "images.csv"
    write_image_table([row("a", 0.0, extra={"width": None}), row("b", 0.5, extra={"width": 2.5})], [], path)
    with path.open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert list(lines[0]) == [*COLUMNS.split(","), "width"]
    assert [(line["name"], line["width"]) for line in lines] == [("b", "2.5"), ("a", "")]


def test_a_name_that_is_not_utf_8_keeps_its_bytes(tmp_path):
    write_image_table([row(os.fsdecode(b"caf\xe9"), 0.0)], [], tmp_path / "images.csv")
    assert b"\ncaf\xe9,,,0,0" in (tmp_path / "images.csv").read_bytes().replace(b"\r", b"")


def test_a_pipe_is_written_to_and_stays(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    read = []
    reader = threading.Thread(target=lambda: read.append(path.read_text()))
    reader.start()
    write_results({"mae": 0.5}, path)
    reader.join(timeout=10)
    assert json.loads(read[0]) == {"mae": 0.5}
    assert path.is_fifo()


def test_nothing_is_left_of_a_file_that_cannot_be_written(tmp_path):
    with pytest.raises(OSError):
        write_results({}, tmp_path / "nowhere" / "results.json")
    with pytest.raises(IndexError):
        write_image_table([row("a", 0.0, label=3)], ["free"], tmp_path / "images.csv")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_named_with_the_file(tmp_path):
    with pytest.raises(OSError, match=r"No space left on device: '/dev/full'"):
        write_results({"mae": 0.5}, Path("/dev/full"))
