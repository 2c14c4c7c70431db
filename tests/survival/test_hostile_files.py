"""Files that claim too much, and names and contents that want to be more than text."""

import csv
import json
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dms_jax import cli
from dms_jax.data.datasets import archives
from dms_jax.data.datasets.folder.annotations import list_annotations
from dms_jax.data.datasets.neu_det import read_boxes
from dms_jax.data.image_files import MOST_PIXELS, load_image
from dms_jax.data.mask_files import read_mask
from dms_jax.data.png import encode_png
from dms_jax.errors import UserError
from dms_jax.evaluation.result_files import write_image_table
from dms_jax.evaluation.scoring import score_image
from dms_jax.inference.folder.records import encode_record, write_table
from dms_jax.tables import format_table, harmless, printable

FORMULAS = ("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1")


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_of(width: int, height: int) -> bytes:
    """A PNG of a few bytes that says it is as large as that."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")


@pytest.mark.parametrize("size", [(MOST_PIXELS // 1000 + 1, 1000), (2**31 - 1, 2**31 - 1), (1, MOST_PIXELS + 1)])
def test_an_image_of_more_pixels_than_the_limit_is_refused(size: tuple[int, int], tmp_path: Path) -> None:
    (tmp_path / "large.png").write_bytes(png_of(*size))
    with pytest.raises(UserError, match=r"large\.png has more than the 178 million pixels"):
        load_image(tmp_path / "large.png")


def test_an_image_of_the_limit_is_not_refused_for_its_size(tmp_path: Path) -> None:
    (tmp_path / "large.png").write_bytes(png_of(MOST_PIXELS // 2, 2))
    with pytest.raises(UserError, match=r"large\.png cannot be read as an image") as caught:
        load_image(tmp_path / "large.png")
    assert "million pixels" not in str(caught.value)


def test_no_flipped_bit_of_a_png_mask_goes_unnoticed(tmp_path: Path) -> None:
    pixels = np.zeros((9, 12), np.uint8)
    pixels[2:6, 3:8] = 255
    for deep in (False, True):
        path = tmp_path / f"mask{deep}.png"
        if deep:
            Image.fromarray(pixels.astype(np.uint16) * 257).save(path)
        else:
            path.write_bytes(encode_png(Image.fromarray(pixels)))
        whole = path.read_bytes()
        # The mark of the end, 12 bytes, says nothing of the pixels.
        for place in range(len(whole) - 12):
            damaged = bytearray(whole)
            damaged[place] ^= 16
            path.write_bytes(damaged)
            with pytest.raises(UserError, match=path.name):
                read_mask(path)


def test_an_annotation_of_more_pixels_than_the_limit_is_refused(tmp_path: Path) -> None:
    Image.new("RGB", (40, 30)).save(tmp_path / "a.png")
    shapes = [{"label": label, "points": [[1, 1], [20, 2], [9, 25]]} for label in ("crack", "dent")]
    content = {"imagePath": "a.png", "imageWidth": 10**6, "imageHeight": 10**6, "shapes": shapes}
    (tmp_path / "a.json").write_text(json.dumps(content))
    listing = list_annotations(tmp_path / "a.json")
    assert listing is not None
    assert not listing.images
    assert "a.json has the size 1000000 x 1000000" in listing.problems[0]


def test_entities_of_xml_that_grow_are_refused(tmp_path: Path) -> None:
    entities = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 10))
    path = tmp_path / "boxes.xml"
    path.write_text(f'<!DOCTYPE a [<!ENTITY e0 "crack">{entities}]><annotation>&e9;</annotation>')
    with pytest.raises(UserError, match=r"boxes\.xml cannot be read as XML \(limit on input amplification"):
        read_boxes(path)


@pytest.mark.parametrize("limit", ["MOST_BYTES", "MOST_FILES"])
def test_an_archive_past_the_limit_is_refused_before_anything_is_unpacked(
    limit: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, limit, {"MOST_BYTES": 5000, "MOST_FILES": 2}[limit])
    path = tmp_path / "large.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in "abc":
            archive.writestr(name, bytes(2000))
    assert path.stat().st_size < 1000
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError, match=r"large\.zip would unpack to 3 files of .* get it from its source"):
        archives.unpack(path, tmp_path / "folder")
    assert not list((tmp_path / "folder").iterdir())


def test_cells_that_a_spreadsheet_would_run_begin_with_an_apostrophe(tmp_path: Path) -> None:
    records, table = tmp_path / "predictions.jsonl", tmp_path / "predictions.csv"
    names = [f"{formula}.png" for formula in FORMULAS]
    records.write_bytes(b"".join(encode_record({"file": name, "name": name, "class": "=cmd"}) for name in names))
    write_table(records, table)
    images = tmp_path / "test.csv"
    mask = np.zeros((4, 4), np.uint8)
    rows = [score_image([mask], mask, name=name, label=0, predicted=(0,), threshold=1).row for name in names]
    write_image_table(rows, ("=cmd",), images)
    for path, column, classes in ((table, "file", ("class",)), (images, "name", ("label", "predicted"))):
        with path.open(newline="", encoding="utf-8") as file:
            lines = list(csv.DictReader(file))
        assert sorted(line[column] for line in lines) == sorted(f"'{name}" for name in names)
        assert {line[kind] for line in lines for kind in classes} == {"'=cmd"}


def test_numbers_and_other_texts_are_left_as_they_are() -> None:
    assert [harmless(value) for value in (-1.5, 0, None, "a=1", "")] == [-1.5, 0, None, "a=1", ""]


def test_what_is_printed_gives_the_terminal_no_orders(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = "a\x1b[31m\x07\r\x9b2J\u202e"
    assert printable(name) == "a\\x1b[31m\\x07\\x0d\\x9b2J\\u202e"
    assert printable("Löcher\n\tÜ 漢字") == "Löcher\n\tÜ 漢字"
    assert "\x1b" not in format_table([name], [[name]])
    assert cli.main(["report", "--workdir", str(tmp_path / name)]) == 1
    said = capsys.readouterr().err
    assert "a\\x1b[31m\\x07\\x0d\\x9b2J\\u202e" in said
    assert not set(said) & {"\x1b", "\x07", "\r", "\x9b", "\u202e"}


def test_prepare_prints_class_names_as_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    label = "crack\x1b[31m"
    for folder in ("good", label):
        (tmp_path / "images" / folder).mkdir(parents=True)
    (tmp_path / "images" / "masks" / label).mkdir(parents=True)
    random = np.random.default_rng(0)
    mask = np.zeros((16, 16), np.uint8)
    mask[4:9, 4:9] = 255
    for number in range(8):
        for folder in ("good", label):
            pixels = random.integers(0, 256, (16, 16, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "images" / folder / f"{number}.png")
        Image.fromarray(mask).save(tmp_path / "images" / "masks" / label / f"{number}.png")
    options = ["--manual-dir", str(tmp_path / "images"), "--data-dir", str(tmp_path / "prepared")]
    assert cli.main(["prepare", "--dataset", "folder", *options]) == 0
    said = capsys.readouterr()
    assert "crack\\x1b[31m" in said.out
    assert "\x1b" not in said.out + said.err
