import csv
import json
import os
from pathlib import Path
from typing import Any

import pytest

from dms_jax.errors import UserError
from dms_jax.inference.folder.records import COLUMNS, RecordFile, encode_record, read_records, write_table


def record(file: str, **fields: Any) -> dict[str, Any]:
    return {
        "file": file,
        "name": os.path.splitext(file)[0],
        "class": "crack",
        "probability": 0.5,
        "probabilities": {"crack": 0.5},
        "score": 0.5,
        "area": 0.25,
        "boxes": [[1, 2, 3, 4, 4]],
        **fields,
    }


def save(path: Path, *records: dict[str, Any]) -> None:
    with RecordFile(path) as file:
        for each in records:
            file.append(encode_record(each))


def table(path: Path) -> list[dict[str, str]]:
    write_table(path, path.with_suffix(".csv"))
    with path.with_suffix(".csv").open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "predictions.jsonl"


def test_records_come_back(path: Path) -> None:
    strange = [os.fsdecode(b"\xff.png"), 'a"b,c\n.png', "ä €.png", " .png"]
    save(path, *map(record, strange))
    assert [each["file"] for each in read_records(path)] == strange
    assert all(json.loads(line)["class"] == "crack" for line in path.read_text().splitlines())
    assert [row["file"] for row in table(path)] == strange
    with RecordFile(path) as file:
        assert file.done == {name: os.path.splitext(name)[0] for name in strange}


def test_what_was_added_is_in_the_table_at_once(path: Path) -> None:
    with RecordFile(path) as file:
        for number in range(1000):
            file.append(encode_record(record(f"{number}.png")))
        file.flush()
        assert len(table(path)) == 1000


def test_of_a_file_that_was_predicted_again_the_last_counts(path: Path) -> None:
    failed = {"file": "a.png", "name": "a", "error": "a.png cannot be read."}
    save(path, failed, record("b.png"))
    with RecordFile(path) as file:
        assert file.done == {"b.png": "b"}
    assert [(row["file"], row["error"]) for row in table(path)] == [("a.png", "a.png cannot be read."), ("b.png", "")]
    save(path, record("a.png", score=1.0))
    assert [(row["file"], row["score"], row["error"]) for row in table(path)] == [
        ("b.png", "0.5", ""),
        ("a.png", "1.0", ""),
    ]


@pytest.mark.parametrize("cut", [1, 30, -1])
def test_a_line_that_was_cut_off_is_written_anew(cut: int, path: Path) -> None:
    save(path, record("a.png"), record("b.png"))
    first, second = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first + second[:cut])
    with RecordFile(path) as file:
        assert file.done == {"a.png": "a"}
        file.append(encode_record(record("b.png")))
    assert path.read_bytes() == first + second


@pytest.mark.parametrize("damage", ["{", "", "null", "[1]", "3", "{}", '{"file": 3}', '{"file": "\\ud800"}', "\0\0\0"])
def test_a_damaged_line_is_named_and_nothing_is_lost(damage: str, path: Path) -> None:
    save(path, record("a.png"))
    with path.open("a") as file:
        file.write(f"{damage}\n" + encode_record(record("b.png")).decode())
    before = path.read_bytes()
    for use in (RecordFile, lambda path: list(read_records(path)), table):
        with pytest.raises(UserError, match=rf"^line 2 of {path} is damaged: remove the line, and its file is"):
            use(path)
    assert path.read_bytes() == before


def test_one_process_at_a_time_writes_them(path: Path) -> None:
    with RecordFile(path) as file:
        file.append(encode_record(record("a.png")))
        with pytest.raises(UserError, match="is being written by another process: wait for it"):
            RecordFile(path)
    with RecordFile(path) as file:
        assert file.done


@pytest.mark.parametrize("text", ["=cmd|' /C calc'!A0", "+1", "-1", "@x", "\t=1", "\r=1", "\n=1"])
def test_no_spreadsheet_runs_what_a_name_says(text: str, path: Path) -> None:
    save(path, record(text, **{"class": text}), {"file": "a", "name": "a", "error": text})
    for row in table(path):
        assert set(row) == set(COLUMNS)
        for value in row.values():
            assert not value.startswith(("=", "+", "-", "@", "\t", "\r", "\n"))
    first, second = table(path)
    assert (first["file"], first["class"], second["error"]) == (f"'{text}",) * 3
    assert next(read_records(path))["file"] == text


def test_numbers_and_regions_in_the_table(path: Path) -> None:
    save(
        path,
        record("a.png", defective=True),
        record("b.png", boxes=None, area=None, **{"class": None, "probability": None}),
    )
    first, second = table(path)
    assert first == {
        "file": "a.png",
        "defective": "1",
        "class": "crack",
        "probability": "0.5",
        "score": "0.5",
        "area": "0.25",
        "regions": "1",
        "boxes": "[[1, 2, 3, 4, 4]]",
        "error": "",
    }
    assert [second[key] for key in ("defective", "class", "probability", "area", "regions", "boxes")] == [""] * 6
