import itertools
import json

import pytest
from PIL import Image

from dms_jax.cli import main
from dms_jax.data.datasets.drawing import CLASS_NAMES
from dms_jax.data.prepare import prepare


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """A user's folder: one class with masks and one without, two files that cannot be used."""
    root = tmp_path_factory.mktemp("mine")
    for split, count in (("train", 12), ("test", 4)):
        for label in ("good", "hole"):
            (root / split / label).mkdir(parents=True)
        (root / "masks" / split / "hole").mkdir(parents=True)
        for i in range(count):
            Image.new("L", (20, 30), 40 + i).save(root / split / "good" / f"{i}.png")
            Image.new("L", (20, 30), 140 + i).save(root / split / "hole" / f"{i}.png")
            mask = Image.new("L", (20, 30))
            mask.paste(255, (2, 3, 8, 8))
            mask.save(root / "masks" / split / "hole" / f"{i}.png")
    return root


def test_shows_what_is_in_a_folder(images, tmp_path, capsys):
    arguments = ["prepare", "--dataset", "folder", "--manual-dir", str(images), "--data-dir", str(tmp_path)]
    assert main([*arguments, "--json", str(tmp_path / "facts.json")]) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    rows = [line.split() for line in shown.out.splitlines()]
    counts = {row[0]: [int(number) for number in row[1:]] for row in rows if row and row[0] in ("good", "hole")}
    assert {name: (train + validation, test, whole) for name, (train, validation, test, whole) in counts.items()} == {
        "good": (12, 4, 16),
        "hole": (12, 4, 16),
    }
    dataset = prepare("folder", manual_dir=str(images), data_dir=str(tmp_path))
    sheet = dataset.directory / "contact_sheet.png"
    assert f"Contact sheet: {sheet}" in shown.out
    with Image.open(sheet) as image:
        assert image.format == "PNG"
    facts = json.loads((tmp_path / "facts.json").read_text())
    assert facts["whole"]["classes"] == {"good": 16, "hole": 16}
    assert facts["skipped"] == []
    assert facts["whole"]["pictures"] == 32
    assert facts["understood"] == (
        f"Images from {images}, masks from {images}/masks, 16 of 32 images paired with a mask, "
        "class without defects: good."
    )
    assert shown.out.splitlines()[-1] == f"Understood: {facts['understood']}"


def test_a_contact_sheet_that_cannot_be_written_is_a_note(images, tmp_path, capsys):
    arguments = ["prepare", "--dataset", "folder", "--manual-dir", str(images), "--data-dir", str(tmp_path)]
    assert main(arguments) == 0
    (sheet,) = tmp_path.rglob("contact_sheet.png")
    sheet.unlink()
    (sheet / "in the way").mkdir(parents=True)
    capsys.readouterr()
    assert main(arguments) == 0
    shown = capsys.readouterr()
    assert f"Note: {sheet} cannot be written (Is a directory): name a file by --contact-sheet." in shown.out
    assert shown.err == ""
    # One that is asked for is another matter.
    assert main([*arguments, "--contact-sheet", str(sheet)]) == 1
    assert f"{sheet} cannot be written" in capsys.readouterr().err


def test_a_damaged_dataset_is_named_and_prepared_anew(images, tmp_path, capsys):
    arguments = ["prepare", "--dataset", "folder", "--manual-dir", str(images), "--data-dir", str(tmp_path)]
    assert main(arguments) == 0
    shard = next(tmp_path.rglob("*train.array_record*"))
    whole = shard.read_bytes()
    capsys.readouterr()
    for text in (whole[:-500], whole[:500] + bytes(500) + whole[1000:]):
        shard.write_bytes(text)
        assert main(arguments) == 1
        assert capsys.readouterr().err == (
            f"dms-jax: {shard.parent} is damaged: remove that folder, and it will be prepared anew, or run "
            "dms-jax prepare --overwrite.\n"
        )
        assert main([*arguments, "--overwrite"]) == 0
        assert shard.read_bytes() == whole
        capsys.readouterr()


def test_bad_files_are_refused_or_skipped_and_listed(images, tmp_path, capsys):
    bad = images / "train" / "hole" / "bad.jpg"
    bad.write_bytes(b"no image")
    try:
        arguments = ["prepare", "--dataset", "folder", "--manual-dir", str(images), "--data-dir", str(tmp_path)]
        assert main(arguments) == 1
        refused = capsys.readouterr()
        assert refused.out == ""
        assert "bad.jpg" in refused.err
        assert len(refused.err.splitlines()) == 1
        sheet = tmp_path / "sheets" / "mine.png"
        assert main([*arguments, "--skip-bad", "--contact-sheet", str(sheet)]) == 0
        shown = capsys.readouterr().out.splitlines()
        skipped = [line for line in shown if line.startswith("Skipped: ")]
        assert len(skipped) == 1
        assert "bad.jpg" in skipped[0]
        counts = "16 of 32 images paired with a mask, class without defects: good, 1 file(s) left out."
        assert shown[-1].endswith(counts)
        assert main(arguments) == 1
        assert "which left out 1 file(s) (the first: " in capsys.readouterr().err
        assert sheet.is_file()
    finally:
        bad.unlink()


def test_a_dataset_that_draws_itself(tmp_path, capsys):
    assert main(["prepare", "--dataset", "synthetic", "--data-dir", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in CLASS_NAMES)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "--dataset"),
        (["--dataset", "mvtec"], 2, "dataset 'mvtec' is unknown"),
        (["--dataset", "mtdd", "--split", "random"], 2, "split 'random'"),
        (["--dataset", "mtdd", "--manual-dir", "absent"], 1, "absent"),
        (["--dataset", "synthetic", "--contact-sheet", "sheet.jpg"], 2, "sheet.jpg does not end in .png"),
        (["--dataset", "synthetic", "--json", "absent/facts.json"], 2, "absent is not a folder"),
    ],
)
def test_exit_codes(arguments, code, message, tmp_path, capsys):
    assert main(["prepare", *arguments, "--data-dir", str(tmp_path)]) == code
    shown = capsys.readouterr()
    assert message in shown.err
    assert shown.out == ""
    assert not (tmp_path / "synthetic").exists()


@pytest.mark.parametrize("published", [True, False])
def test_mvtec_ad_as_published_cannot_be_trained_on_and_without_its_splits_can(published, tmp_path, capsys):
    root, mask = tmp_path / "hazelnut", Image.new("L", (40, 40))
    mask.paste(255, (10, 10, 30, 30))
    drawn = {"train/good": 10, "test/good": 3, "test/crack": 10}
    if not published:
        drawn = {"good": 13, "crack": 10}
    grey = itertools.count(40, 5)
    for folder, count in drawn.items():
        (root / folder).mkdir(parents=True)
        (root / "ground_truth" / "crack").mkdir(parents=True, exist_ok=True)
        for i in range(count):
            Image.new("L", mask.size, next(grey)).save(root / folder / f"{i:03}.png")
            if folder.endswith("crack"):
                mask.save(root / "ground_truth" / "crack" / f"{i:03}_mask.png")
    arguments = ["prepare", "--dataset", "folder", "--manual-dir", str(root), "--data-dir", str(tmp_path / "data")]
    assert main(arguments) == 0
    shown = capsys.readouterr().out
    said = "Warning: No mask of train shows a defect, while masks of test do, as in MVTec AD as published, "
    assert (said in shown) == published
    assert ("(in a folder without train/ and test/, every class is shared out among the splits)." in shown) == published


@pytest.mark.parametrize(("box", "lost"), [((100, 100, 102, 102), True), ((100, 100, 220, 112), False)])
def test_defects_that_vanish_at_the_default_size_are_named(tmp_path, capsys, box, lost):
    """At 300 x 300, ten pixels of a row of 3000 become one: two of them are no defect any more."""
    root = tmp_path / "large"
    mask = Image.new("L", (3000, 300))
    mask.paste(255, box)
    for i in range(10):
        for folder, image in (("good", None), ("dot", None), ("masks/dot", mask)):
            (root / folder).mkdir(parents=True, exist_ok=True)
            (image or Image.new("L", mask.size, 40 + 2 * i + (folder == "dot"))).save(root / folder / f"{i}.png")
    arguments = ["prepare", "--dataset", "folder", "--manual-dir", str(root), "--data-dir", str(tmp_path / "data")]
    assert main([*arguments, "--json", str(tmp_path / "facts.json")]) == 0
    lines = capsys.readouterr().out.splitlines()
    warned = [line for line in lines if "nothing is left of the defect in 10 of 10" in line]
    assert len(warned) == lost
    assert all(line.startswith("Warning: ") and "config.data.resize=tiles" in line for line in warned)
    facts = json.loads((tmp_path / "facts.json").read_text())
    assert any("nothing is left" in sentence for sentence in facts["warnings"]) == lost
