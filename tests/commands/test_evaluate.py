import csv
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from image_pairs import save_images
from PIL import Image

from dms_jax.cli import main

RELEASED_MAPS = Path(__file__).parents[3] / "shared" / "released_maps"

BLACK = np.zeros((4, 6), np.uint8)
DEFECT = BLACK.copy()
DEFECT[1:3, 2:4] = 255
HALF = (DEFECT // 255 * 140).astype(np.uint8)

LABELS = "name,label,predicted\na,crack,crack\nb,break,crack\nc,free,free\n"
METRICS = {
    "all_images",
    *("mae", "max_f", "max_f_threshold", "images", "threshold", "iou", "f1", "pixel_ap", "accuracy", "defective"),
    *(
        "per_class",
        "operating_threshold",
        "image_level",
        "sod",
        "all_black",
        "curve",
        "outputs",
        "extra",
        "gated",
        "painted",
    ),
}


@pytest.fixture
def folders(tmp_path):
    """Two defects, one of them found faintly, and a sound image with a false alarm of one pixel."""
    alarm = BLACK.copy()
    alarm[0, 0] = 120
    save_images(tmp_path / "maps", {"a": DEFECT, "b": HALF, "c": alarm})
    save_images(tmp_path / "masks", {"a": DEFECT, "b": DEFECT, "c": BLACK})
    return tmp_path


@pytest.fixture
def evaluate(folders, capsys):
    """Call `dms-jax evaluate --maps DIR --masks DIR` and more; returns the exit code, tables and sentences."""

    def call(*flags, maps=folders / "maps", masks=folders / "masks"):
        return run(capsys, "--maps", maps, "--masks", masks, *flags)

    return call


@pytest.fixture
def released():
    if not RELEASED_MAPS.is_dir():
        pytest.skip("needs ../shared/released_maps: the maps that SDMS's authors published")
    return RELEASED_MAPS


def run(capsys, *flags):
    code = main(["evaluate", *map(str, flags)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def refused(result):
    """The sentences of a command that failed for something the user can fix, and printed no table."""
    code, out, err = result
    assert (code, out) == (1, "")
    return said(err)


def misused(result):
    """The one sentence of a command whose flags were wrong."""
    code, out, err = result
    assert (code, out) == (2, "")
    (sentence,) = said(err)
    return sentence


def said(err):
    lines = err.splitlines()
    assert all(line.startswith("dms-jax: ") for line in lines)
    return [line.removeprefix("dms-jax: ") for line in lines]


def cells(text, first):
    """The cells of the (first) line that begins so, which are two spaces or more apart."""
    line = next(line for line in text.splitlines() if line.startswith(first))
    return [cell.strip() for cell in line[len(first) :].split("  ") if cell.strip()]


@pytest.mark.parametrize(
    ("method", "metrics"),
    [("SDMS", ["0.00970", "0.92949", "0.02959", "0.74724"]), ("DSS", ["0.00762", "0.96197", "0.02317", "0.87276"])],
)
def test_released_maps(released, tmp_path, capsys, method, metrics):
    started = time.process_time()  # which other work on the machine does not lengthen
    code, out, err = run(capsys, "--maps", released / method, "--masks", released / "GT", "--csv", tmp_path / "p.csv")
    assert time.process_time() - started < 10
    assert (code, err) == (0, "")
    assert cells(out, "maps")[:4] == metrics
    assert cells(out, "all black")[1:4:2] == ["0.89900", "0.00000"]
    assert "226 maps, 74 of defective images" in out
    with (tmp_path / "p.csv").open() as file:
        lines = list(csv.DictReader(file))
    errors = [float(line["mae"]) for line in lines]
    assert len(errors) == 226
    # Missed defects, false alarms and the others, and the largest error first among each.
    wrong = [line["iou"] == "0.0" or (line["iou"], line["maximum"]) == ("", "0") for line in lines]
    kinds = [
        0 if line["defective"] == "1" and none else 1 if line["iou"] == "0.0" else 2
        for line, none in zip(lines, wrong, strict=True)
    ]
    assert (len(set(kinds)) > 1) == (method == "SDMS")
    order = list(zip(kinds, (-error for error in errors), strict=True))
    assert order == sorted(order)
    assert f"{np.mean(errors):.5f}" == metrics[0]


def test_released_maps_compared_in_one_table(released, capsys):
    code, out, err = run(capsys, "--compare", released / "SDMS", released / "DSS", "--masks", released / "GT")
    assert (code, err) == (0, "")
    assert cells(out, str(released / "SDMS"))[:5] == ["226", "0.00970", "0.92949", "0.02959", "0.74724"]
    assert cells(out, str(released / "DSS"))[:5] == ["226", "0.00762", "0.96197", "0.02317", "0.87276"]
    assert cells(out, "all black")[2:5:2] == ["0.89900", "0.00000"]
    assert len(out.splitlines()) == 5


def test_json_has_the_metrics_under_stable_keys(evaluate, tmp_path):
    code, out, err = evaluate("--threshold", 100, "--json", tmp_path / "results.json")
    assert (code, err) == (0, "")
    results = json.loads((tmp_path / "results.json").read_text())
    assert results.keys() == METRICS | {"maps", "notes"}
    assert results["maps"] == str(tmp_path / "maps")
    assert results["notes"] == []
    assert results["images"] == 3
    # Eight hits and one false alarm.
    assert results["iou"] == pytest.approx(8 / 9)
    assert results["operating_threshold"] == {"value": 100, "chosen_on": "given", "note": "given by the user"}
    assert results["image_level"]["map_maximum"] == {
        "precision": pytest.approx(2 / 3),
        "recall": 1.0,
        "false_alarm_rate": 1.0,
        "auroc": 1.0,
        "ap": 1.0,
    }
    assert f"{8 / 9:.5f}" in cells(out, "maps")


def test_csv_has_every_image_worst_first(evaluate, tmp_path):
    (tmp_path / "labels.csv").write_text(LABELS)
    code, *_ = evaluate("--labels", tmp_path / "labels.csv", "--threshold", 130, "--csv", tmp_path / "images.csv")
    assert code == 0
    with (tmp_path / "images.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    short = [[line[key] for key in ("name", "label", "predicted", "defective", "maximum", "iou")] for line in lines]
    assert short == [
        ["b", "break", "crack", "1", "140", "1.0"],
        ["c", "free", "free", "0", "120", ""],
        ["a", "crack", "crack", "1", "255", "1.0"],
    ]


def test_an_image_of_a_defect_whose_mask_is_empty_is_no_false_alarm_in_the_csv(evaluate, tmp_path):
    sound = BLACK.copy()
    sound[0, 0] = 110
    save_images(tmp_path / "maps", {"d": sound})
    save_images(tmp_path / "masks", {"d": BLACK})
    (tmp_path / "labels.csv").write_text("name,label\na,crack\nb,crack\nc,crack\nd,free\n")
    code, *_ = evaluate("--labels", tmp_path / "labels.csv", "--threshold", 100, "--csv", tmp_path / "images.csv")
    assert code == 0
    with (tmp_path / "images.csv").open(newline="") as file:
        assert [line["name"] for line in csv.DictReader(file)] == ["d", "b", "c", "a"]


def test_labels_give_classes_accuracy_and_confusion(evaluate, tmp_path):
    (tmp_path / "labels.csv").write_text(LABELS, encoding="utf-8-sig")
    code, out, err = evaluate("--labels", tmp_path / "labels.csv", "--json", tmp_path / "results.json")
    assert (code, err) == (0, "")
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["accuracy"] == pytest.approx(2 / 3)
    assert {name: own["accuracy"] for name, own in results["per_class"].items()} == {"free": 1, "break": 0, "crack": 1}
    assert results["image_level"]["confusion"] == {
        "classes": ["free", "break", "crack"],
        "matrix": [[1, 0, 0], [0, 0, 1], [0, 0, 1]],
    }
    assert "(2 defective and 1 defect-free images, by their labels)" in out
    assert cells(out.split("true \\ predicted")[1], "break") == ["0", "0", "1"]


def test_without_a_free_class_defective_or_not_is_null(evaluate, tmp_path):
    (tmp_path / "labels.csv").write_text(LABELS.replace("free", "dust"))
    code, out, err = evaluate(
        "--labels", tmp_path / "labels.csv", "--threshold", 9, "--json", tmp_path / "results.json"
    )
    assert code == 0
    assert "every label counts as a defect: name the one of sound images with --free-class" in err
    level = json.loads((tmp_path / "results.json").read_text())["image_level"]
    assert (level["map_maximum"], level["class_head"]) == (None, None)
    assert cells(out, "map's maximum") == ["n/a"] * 5
    code, out, err = evaluate("--labels", tmp_path / "labels.csv", "--free-class", "dust", "--threshold", 9)
    assert err == ""
    assert cells(out, "map's maximum") == ["0.66667", "1.00000", "1.00000", "1.00000", "1.00000"]


def test_a_single_class(evaluate, tmp_path):
    (tmp_path / "labels.csv").write_text("name,label,predicted\na,x,x\nb,x,x\nc,x,x\n")
    code, _, err = evaluate("--labels", tmp_path / "labels.csv")
    assert (code, err) == (0, "")


def test_labels_are_refused_by_name(evaluate, tmp_path):
    labels = tmp_path / "labels.csv"
    labels.write_text("name,class\na,b\n")
    assert refused(evaluate("--labels", labels)) == [
        f"{labels} has the columns name, class: it needs name and label, in its first line."
    ]
    labels.write_text("name,label\na,crack\n")
    assert refused(evaluate("--labels", labels)) == [
        f"b is not in {labels}: add a line for it.",
        f"c is not in {labels}: add a line for it.",
    ]
    assert misused(evaluate("--labels", labels, "--free-class", "good")) == (
        f"--free-class=good is no label in {labels}: they are crack."
    )


def test_threshold_is_chosen_on_validation_maps(evaluate, tmp_path):
    save_images(tmp_path / "val", {"v": (DEFECT // 255 * 90) + 20})
    save_images(tmp_path / "val masks", {"v": Image.fromarray(DEFECT > 0)})
    validation = ["--validation-maps", tmp_path / "val", "--validation-masks", tmp_path / "val masks"]
    code, out, err = evaluate(*validation, "--json", tmp_path / "results.json")
    assert code == 0
    assert json.loads((tmp_path / "results.json").read_text())["operating_threshold"] == {
        "value": 20,
        "chosen_on": str(tmp_path / "val"),
        "note": f"the largest F1 over all pixels of the only image of {tmp_path}/val",
    }
    assert "Operating threshold: map > 20 (the largest F1" in out
    (note,) = said(err)
    assert note.startswith(f"{tmp_path}/val masks/v.png is read as an 8-bit grey mask")


def test_validation_without_a_defective_pixel_says_so(evaluate, tmp_path):
    save_images(tmp_path / "val", {"v": DEFECT})
    save_images(tmp_path / "val masks", {"v": BLACK})
    code, out, _ = evaluate("--validation-maps", tmp_path / "val", "--validation-masks", tmp_path / "val masks")
    assert code == 0
    assert f"no image of {tmp_path}/val has a defective pixel to choose a threshold by." in out
    assert cells(out, "maps")[4:6] == ["n/a", "n/a"]


def test_threshold_is_never_chosen_on_tested_images(evaluate, tmp_path):
    maps, masks, others = tmp_path / "maps", tmp_path / "masks", save_images(tmp_path / "val", {"v": DEFECT})
    (tmp_path / "link").symlink_to(maps)
    for path in (maps, tmp_path / "link"):
        sentence = misused(evaluate("--validation-maps", path, "--validation-masks", others))
        assert sentence == f"--validation-maps={path} are the maps to be tested: choose the threshold on others."
    sentence = misused(evaluate("--validation-maps", others, "--validation-masks", masks))
    assert sentence == f"--validation-masks={masks} belong to the test: choose the threshold on other images."


@pytest.mark.parametrize(
    ("text", "said"), [('{"threshold": 207}', True), ('{"threshold": null}', False), ("{}", False), ("[", False)]
)
def test_the_threshold_of_a_prediction_is_proposed(tmp_path, capsys, text, said):
    save_images(tmp_path / "predicted" / "maps", {"a": DEFECT})
    masks = save_images(tmp_path / "masks", {"a": DEFECT})
    file = tmp_path / "predicted" / "predictions.json"
    file.write_text(text)
    command = ["evaluate", "--maps", str(file.parent / "maps"), "--masks", str(masks)]
    assert main(command) == 0
    sentence = f"dms-jax: {file} says what these maps were judged by when they were predicted: --threshold 207.\n"
    assert capsys.readouterr().err == sentence * said
    assert main([*command, "--threshold", "9"]) == 0
    assert capsys.readouterr().err == ""


def test_several_problems_have_a_line_each(evaluate, tmp_path):
    (tmp_path / "maps" / "c.png").unlink()
    save_images(tmp_path / "maps", {"d": DEFECT})
    assert refused(evaluate()) == [
        f"{tmp_path}/masks/c.png has no map in {tmp_path}/maps: add c.png there, or remove the mask.",
        f"{tmp_path}/maps/d.png has no mask in {tmp_path}/masks: add d.png there, or remove the map.",
    ]
    (tmp_path / "maps" / "d.png").unlink()
    save_images(tmp_path / "maps", {"a": DEFECT[1:], "c": Image.fromarray(BLACK.astype(np.uint16))})
    (tmp_path / "maps" / "b.png").write_bytes((tmp_path / "maps" / "b.png").read_bytes()[:50])
    problems = refused(evaluate())
    assert [problem.split()[0] for problem in problems] == [f"{tmp_path}/maps/{name}.png" for name in "abc"]
    assert all(problem.endswith(".") and ": " in problem for problem in problems)


def test_maps_in_another_layout_than_the_masks(evaluate, tmp_path):
    (tmp_path / "maps").rename(tmp_path / "flat")
    (tmp_path / "maps").mkdir()
    (tmp_path / "flat").rename(tmp_path / "maps" / "test")
    (sentence,) = refused(evaluate())
    assert sentence == (
        f"{tmp_path}/maps has another layout: of {tmp_path}/masks/a.png a map a.png is expected there, not "
        f"{tmp_path}/maps/test/a.png: give the maps the folders and names of their masks."
    )


def test_maps_of_another_size_are_resized_when_allowed(evaluate, tmp_path):
    save_images(tmp_path / "maps", {"a": np.repeat(np.repeat(DEFECT, 2, 0), 2, 1)})
    assert refused(evaluate()) == [
        f"{tmp_path}/maps/a.png has 12 x 8 pixels but its mask {tmp_path}/masks/a.png has 6 x 4: "
        "resize the map, or allow it with --resize."
    ]
    code, out, err = evaluate("--resize")
    assert code == 0
    assert cells(out, "maps")
    assert said(err) == [
        f"{tmp_path}/maps/a.png has 12 x 8 pixels but its mask {tmp_path}/masks/a.png has 6 x 4, and was resized."
    ]


def test_notes_are_kept_from_the_tables_and_in_the_json(evaluate, tmp_path):
    (tmp_path / "maps" / "a.png").rename(tmp_path / "maps" / "a.PNG")
    (tmp_path / "masks" / "read me.txt").write_text("")
    code, out, err = evaluate("--json", tmp_path / "results.json")
    assert code == 0
    assert said(err) == json.loads((tmp_path / "results.json").read_text())["notes"]
    assert said(err) == [
        f"{tmp_path}/masks/read me.txt is no image, and left out.",
        f"{tmp_path}/maps/a.PNG is taken for the map of {tmp_path}/masks/a.png, although the names differ.",
    ]
    assert "read me" not in out


def test_folders_that_are_not_there_or_empty(evaluate, tmp_path):
    (tmp_path / "empty").mkdir()
    assert refused(evaluate(maps=tmp_path / "empty")) == [f"{tmp_path}/empty holds no images: name a folder that does."]
    assert refused(evaluate(masks=tmp_path / "nowhere")) == [
        f"{tmp_path}/nowhere is not a folder: name one that holds images."
    ]
    assert refused(evaluate(maps=tmp_path / "masks")) == [
        f"{tmp_path}/masks is the folder of maps and of masks: name two folders."
    ]
    (sentence,) = refused(evaluate(maps=tmp_path / ("x" * 300)))
    assert "File name too long" in sentence


def test_masks_of_class_numbers(evaluate, folders, capsys):
    expected = evaluate("--threshold", 100, "--csv", folders / "expected.csv")
    for file in (folders / "masks").iterdir():
        with Image.open(file) as mask:
            numbers = np.asarray(mask) // 255 * 3
        Image.fromarray(numbers).save(file)
    assert "say which values are defective with --mask-values" in refused(evaluate())[0]
    assert evaluate("--threshold", 100, "--csv", folders / "a.csv", "--mask-values", "1-3") == expected
    assert (folders / "a.csv").read_bytes() == (folders / "expected.csv").read_bytes()
    # The masks of validation, too.
    options = ["--validation-maps", folders / "more maps", "--validation-masks", folders / "more masks"]
    for kind in ("maps", "masks"):
        shutil.copytree(folders / kind, folders / f"more {kind}")
    code, out, _ = evaluate(*options, "--mask-values", "3")
    assert (code, "Operating threshold: map > " in out) == (0, True)
    assert misused(evaluate("--mask-values", "3-1")).startswith("mask_values '3-1' is not understood at '3-1'")
    assert misused(run(capsys, "--workdir", folders, "--mask-values", "3")) == (
        "--mask-values has no meaning beside --workdir: leave it out."
    )


def test_flags_that_do_not_belong_together(evaluate, tmp_path, capsys):
    maps, masks = tmp_path / "maps", tmp_path / "masks"
    assert misused(run(capsys, "--maps", maps)) == f"--masks is missing: name the folder of masks for {maps}."
    assert misused(evaluate("--threshold", 256)) == "--threshold=256 must be in 0..255."
    assert misused(evaluate("--split", "test")) == "--split has no meaning beside --maps: leave it out."
    assert misused(evaluate("--validation-maps", maps)) == (
        "--validation-maps and --validation-masks belong together: give both."
    )
    assert misused(evaluate("--flips")) == "--flips has no meaning beside --maps: leave it out."
    assert misused(run(capsys, "--workdir", maps, "--onnx", maps, "--flips")) == (
        "--flips has no meaning beside --onnx: leave it out."
    )
    assert misused(evaluate("--free-class", "x")) == "--free-class names one of the labels: give --labels too."
    both = ["--threshold", 1, "--validation-maps", maps, "--validation-masks", masks]
    assert misused(evaluate(*both)) == "--threshold and --validation-maps exclude each other: give one."
    assert misused(run(capsys, "--workdir", maps, "--masks", masks)) == (
        "--masks has no meaning beside --workdir: leave it out."
    )
    # 0 is a value like any other.
    assert misused(run(capsys, "--workdir", maps, "--threshold", 0)) == (
        "--threshold has no meaning beside --workdir: leave it out."
    )
    assert misused(evaluate("--max-false-alarms", 0)) == (
        "--max-false-alarms has no meaning beside --maps: leave it out."
    )
    compare = ["--compare", maps, tmp_path / "other", "--masks", masks]
    assert misused(run(capsys, *compare, "--csv", tmp_path / "a.csv")) == (
        "--csv has no meaning beside --compare: leave it out."
    )
    assert misused(run(capsys, *compare, "--split", "train")) == (
        "--split has no meaning beside folders of maps alone: leave it out."
    )
    assert misused(run(capsys, "--compare", maps, maps, "--masks", masks)) == (
        "--compare names a folder twice: name each once."
    )
    for flags in ([], ["--maps", maps, "--workdir", maps], ["--maps", maps, "--threshold", "high"]):
        code, out, err = run(capsys, *flags)
        assert (code, out) == (2, "")
        assert "usage: dms-jax evaluate" in err


def test_files_that_cannot_be_written_are_refused_before_the_work(evaluate, tmp_path):
    for flag in ("--json", "--csv"):
        assert misused(evaluate(flag, tmp_path / "maps")) == f"{tmp_path}/maps is a folder: name a file to write to."
        path = tmp_path / "nowhere" / "file"
        assert misused(evaluate(flag, path)) == f"{path} cannot be written: {path.parent} is not a folder."
    one = tmp_path / "file"
    assert misused(evaluate("--json", one, "--csv", one)) == f"--json and --csv both name {one}: name two files."


def test_comparison_in_json(folders, tmp_path, capsys):
    maps, masks = tmp_path / "maps", tmp_path / "masks"
    other = save_images(tmp_path / "other", dict.fromkeys("abc", HALF))
    code, out, err = run(capsys, "--compare", maps, other, "--masks", masks, "--json", tmp_path / "results.json")
    assert (code, err) == (0, "")
    results = json.loads((tmp_path / "results.json").read_text())
    assert list(results) == [str(maps), str(other)]
    assert all(metrics.keys() == METRICS for metrics in results.values())
    assert cells(out, str(other))[0] == "3"


def test_names_in_other_alphabets_and_long_ones(tmp_path, capsys):
    names = {"Riß/überall (1)": DEFECT, "裂缝": DEFECT, "x" * 240: DEFECT}
    maps, masks = save_images(tmp_path / "mäps", names), save_images(tmp_path / "mäsks", names)
    code, _, err = run(capsys, "--maps", maps, "--masks", masks, "--csv", tmp_path / "images.csv")
    assert (code, err) == (0, "")
    with (tmp_path / "images.csv").open(newline="", encoding="utf-8") as file:
        assert {line["name"] for line in csv.DictReader(file)} == names.keys()


def test_a_process_of_its_own_says_nothing_but_tables(folders):
    """Warnings of libraries, errors in the other tests, would be noise there; a name it cannot print is spelt."""
    maps = folders / os.fsdecode(b"caf\xe9")
    (folders / "maps").rename(maps)
    command = [sys.executable, "-m", "dms_jax.cli", "evaluate", "--maps", maps, "--masks", folders / "masks"]
    done = subprocess.run(
        [*command, "--threshold", "100"],
        capture_output=True,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"\\udce9: 3 maps, 2 of defective images" in done.stdout


@pytest.mark.parametrize("buffered", [True, False])
def test_output_that_cannot_be_written_is_a_sentence(folders, buffered):
    command = [sys.executable, "-m", "dms_jax.cli", "evaluate"]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    environment |= {} if buffered else {"PYTHONUNBUFFERED": "1"}
    reading, writing = os.pipe()
    os.close(reading)
    for output, sentence in (
        (writing, "what reads the output stopped before its end: let it read all, or use a file."),
        (os.open("/dev/full", os.O_WRONLY), "[Errno 28] No space left on device: make room, or name another file or"),
    ):
        done = subprocess.run(
            [*command, "--maps", folders / "maps", "--masks", folders / "masks"],
            stdout=output,
            stderr=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
            env=environment,
            text=True,
            check=False,
        )
        os.close(output)
        assert done.returncode == 1
        (said_,) = said(done.stderr)
        assert said_.startswith(sentence)


def test_large_images_are_scored_without_a_warning(evaluate, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", BLACK.size - 1)
    code, _, err = evaluate()
    assert (code, err) == (0, "")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", BLACK.size // 2 - 1)
    assert "million pixels" in refused(evaluate())[0]


def test_help_and_no_command(capsys):
    assert main(["--help"]) == 0
    assert "evaluate" in capsys.readouterr().out
    assert main([]) == 2
    assert main(["no-such-command"]) == 2
