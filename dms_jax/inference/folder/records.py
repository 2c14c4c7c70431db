"""What is kept of predicted files: JSON lines while it goes on, a table at the end."""

import csv
import io
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from dms_jax.errors import UserError
from dms_jax.file_lock import hold
from dms_jax.tables import harmless
from dms_jax.whole_files import write_whole

# Each time takes as long as a record.
_FLUSH_SECONDS = 1.0

COLUMNS = ("file", "defective", "class", "probability", "score", "area", "regions", "boxes", "error")

Record = Mapping[str, Any]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= 1e15


def _is_text(value: Any) -> bool:
    return value is None or isinstance(value, str)


def _are_boxes(value: Any) -> bool:
    return value is None or (
        isinstance(value, list)
        and all(isinstance(box, list) and len(box) == 5 and all(map(_is_number, box)) for box in value)
    )


# What the fields of a record may be, where it has them.
_SOUND: Mapping[str, Callable[[Any], bool]] = {
    "name": lambda value: isinstance(value, str),
    "defective": lambda value: value is None or isinstance(value, bool),
    "class": _is_text,
    "probability": lambda value: value is None or _is_number(value),
    "probabilities": lambda value: isinstance(value, dict) and all(map(_is_number, value.values())),
    "score": _is_number,
    "area": lambda value: value is None or _is_number(value),
    "boxes": _are_boxes,
    "error": _is_text,
}


class RecordFile:
    """The records of predicted files, one JSON object a line; those of an earlier, interrupted call are kept.

    Args:
      path: the file; made if absent. A last line that was not written to its end is cut off.

    Raises:
      UserError: a line of it is damaged, or another process is writing it.
      OSError: it cannot be read or written.

    Attributes:
      done: the files that have been predicted, with the names of their predictions.
    """

    def __init__(self, path: Path) -> None:
        self.done: dict[str, str] = {}
        self._flushed = time.monotonic()
        self._file = path.open("ab")
        try:
            hold(
                self._file,
                f"{path} is being written by another process: wait for it, or choose another --output or --shard.",
            )
            self._file.truncate(self._read(path))
        except BaseException:
            self._file.close()
            raise

    def _read(self, path: Path) -> int:
        """Take note of what is done; returns the end of the last whole line."""
        end = 0
        with path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                if not line.endswith(b"\n"):
                    break
                record = _parse(line, path, number)
                if record.get("error") is None:
                    self.done[record["file"]] = str(record.get("name"))
                end += len(line)
        return end

    def append(self, line: bytes) -> None:
        """Add what `encode_record` made of a record.

        It is in the file within a second, if there are further ones, or when this is closed.
        """
        self._file.write(line)
        if time.monotonic() - self._flushed > _FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Have all that was added in the file."""
        self._file.flush()
        self._flushed = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


def encode_record(record: Record) -> bytes:
    """A record as a line of the file."""
    return json.dumps(record, allow_nan=False).encode() + b"\n"


def read_records(path: Path) -> Iterator[dict[str, Any]]:
    """The records in a file; of a file that was predicted more than once, such as after an error, the last.

    Raises:
      UserError: a line is damaged.
    """
    last: dict[str, int] = {}
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            last[_parse(line, path, number)["file"]] = number
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            record = _parse(line, path, number)
            if last[record["file"]] == number:
                yield record


def write_table(records: Path, table: Path) -> None:
    """Write the records of a file as CSV; what a spreadsheet would run as a formula begins with an apostrophe.

    Raises:
      UserError: a line of the records is damaged.
    """

    def write(file: Any) -> None:
        text = io.TextIOWrapper(file, encoding="utf-8", errors="surrogateescape", newline="", write_through=True)
        writer = csv.DictWriter(text, COLUMNS, extrasaction="ignore")
        writer.writeheader()
        for record in read_records(records):
            boxes = record.get("boxes")
            row = {
                **record,
                "defective": None if (defective := record.get("defective")) is None else int(defective),
                "regions": None if boxes is None else len(boxes),
                "boxes": None if boxes is None else json.dumps(boxes),
            }
            writer.writerow({key: harmless(row.get(key)) for key in COLUMNS})
        text.detach()

    write_whole(table, write)


def _parse(line: bytes, path: Path, number: int) -> dict[str, Any]:
    try:
        record = json.loads(line)
        record["file"].encode("utf-8", "surrogateescape")
        os.fsencode(record["file"])
        if not all(is_sound(record[key]) for key, is_sound in _SOUND.items() if key in record):
            raise ValueError("a field is of another kind")
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(
            f"line {number} of {path} is damaged: remove the line, and its file is predicted anew."
        ) from error
    return dict(record)
