import json
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from dms_jax.cli import main
from dms_jax.comparison.rows import map_names, score_folder
from dms_jax.data.prepare import prepare
from dms_jax.errors import UserError

RELEASED = Path(__file__).parents[3] / "shared" / "released_maps"
MTDD = Path(__file__).parents[3] / "shared" / "datasets" / "mtdd"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A user's images: bright squares on grey, and plain ones; the third of the test images is larger."""
    root = tmp_path_factory.mktemp("mine")
    random = np.random.default_rng(0)
    for split, count in (("train", 12), ("test", 3)):
        for label in ("good", "hole"):
            (root / "images" / split / label).mkdir(parents=True)
        (root / "images" / "masks" / split / "hole").mkdir(parents=True)
        for i in range(count):
            size = (50, 60) if i == 2 else (40, 48)
            for label in ("good", "hole"):
                pixels = random.integers(95, 105, size, np.uint8)
                mask = np.zeros(size, np.uint8)
                if label == "hole":
                    pixels[10:20, 12 + i : 24 + i] = 220
                    mask[10:20, 12 + i : 24 + i] = 255
                    Image.fromarray(mask).save(root / "images" / "masks" / split / label / f"h{i}.png")
                Image.fromarray(pixels).save(root / "images" / split / label / f"{label[0]}{i}.png")
    return root


@pytest.fixture
def compare(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def call(*flags):
        places = ["--manual-dir", folder / "images", "--data-dir", folder / "data"]
        code = main([str(flag) for flag in ("compare", "--dataset", "folder", *places, *flags)])
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return call


def cells(text, first):
    (line,) = (line for line in text.splitlines() if line.split()[:1] == [first])
    return line.split()


def test_methods_write_maps_and_are_scored(compare, tmp_path):
    code, out, err = compare("--methods", "lc,FT", "--output", tmp_path / "out", "--json", tmp_path / "table.json")
    assert code == 0
    assert [line.split(":")[1].strip() for line in err.splitlines()] == ["LC", "FT"]
    row = cells(out, "LC")
    assert row[1] == "6"
    assert float(row[5]) > 0.9
    # The paper's numbers are of other images: the seconds follow, and nothing is not available.
    assert "paper" not in out
    assert float(row[6]) >= 0
    assert len(row) == 7
    assert cells(out, "all")[-1] == "n/a"
    assert cells(out, "all")[2:3] == ["6"]
    assert f"Maps: {tmp_path / 'out'}" in out
    maps = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.png"))
    assert len(maps) == 18
    (mapped,) = [path for path in maps if path.startswith("LC/") and path.endswith("h1.png")]
    with Image.open(tmp_path / "out" / mapped) as image:
        assert (image.mode, image.size) == ("L", (48, 40))
        pixels = np.asarray(image)
    assert pixels[15, 18] > 120
    assert pixels[30:].max() < 40
    table = json.loads((tmp_path / "table.json").read_text())
    assert (table["dataset"], table["split"], table["images"]) == ("folder", "test", 6)
    assert [each["method"] for each in table["rows"]] == ["LC", "FT"]
    lc = table["rows"][0]
    assert lc["paper"] is lc["difference"] is None
    assert lc["defective"]["images"] == 3
    assert f"{lc['defective']['max_f']:.4f}" == row[5]
    assert lc["seconds"] > 0
    # What was measured on MTDD is not said of other images.
    assert lc["note"] == "differences are squared, and the contrast of all 256 levels is stretched"
    assert f"LC: {lc['note']}." in out.splitlines()


def test_what_was_written_scores_the_same_as_maps_of_any_method(compare, tmp_path, capsys):
    code, out, _ = compare("--methods", "SR", "--output", tmp_path / "out")
    assert code == 0
    code, again, err = compare("--maps", f"mine={tmp_path / 'out' / 'SR'}")
    assert (code, err) == (0, "")
    assert cells(again, "mine")[1:6] == cells(out, "SR")[1:6]
    assert main(["evaluate", "--maps", str(tmp_path / "out" / "SR"), "--masks", str(tmp_path / "out" / "masks")]) == 0


def test_images_whose_mask_is_unknown_get_no_map(compare, folder, tmp_path, capsys):
    """A map without a mask would be refused where the maps are evaluated."""
    images, out = shutil.copytree(folder / "images", tmp_path / "images"), tmp_path / "out"
    (images / "masks" / "test" / "hole" / "h1.png").unlink()
    code, shown, err = compare("--methods", "SR", "--manual-dir", images, "--output", out)
    told = "dms-jax: 1 of the 6 test images has no mask, and is left out of the comparison.\n"
    assert (code, err.startswith(told)) == (0, True)
    for inner in ("SR", "masks"):
        assert {path.stem for path in (out / inner).rglob("*.png")} == {"g0", "g1", "g2", "h0", "h2"}
    assert main(["evaluate", "--maps", str(out / "SR"), "--masks", str(out / "masks")]) == 0
    capsys.readouterr()
    code, again, err = compare("--maps", f"mine={out / 'SR'}", "--manual-dir", images)
    assert (code, err) == (0, told)
    assert cells(again, "mine")[1:6] == cells(shown, "SR")[1:6]


def test_maps_of_an_earlier_comparison_are_told(compare, folder, tmp_path):
    """Written to one folder, they would be counted with the others."""
    out = tmp_path / "out"
    assert compare("--methods", "SR", "--output", out)[2].count("\n") == 1
    assert compare("--methods", "SR", "--output", out)[2].count("\n") == 1
    few = shutil.copytree(folder / "images", tmp_path / "few")
    for path in (few / "test" / "good" / "g1.png", few / "test" / "hole" / "h1.png", few / "masks/test/hole/h1.png"):
        path.unlink()
    code, _, err = compare("--methods", "SR", "--manual-dir", few, "--output", out)
    assert code == 0
    assert err.splitlines()[1:] == [
        f"dms-jax: {out / 'masks'} has images of an earlier comparison too (test/good/g1.png, test/hole/h1.png), which "
        "dms-jax evaluate --maps would count: name another --output, or remove them."
    ]


def test_maps_by_the_images_names_alone_or_by_a_csv(compare, tmp_path):
    compare("--methods", "SR", "--output", tmp_path / "out")
    flat, renamed = tmp_path / "flat", tmp_path / "renamed"
    lines = ["map,image"]
    for number, path in enumerate(sorted((tmp_path / "out" / "SR").rglob("*.png"))):
        for place in (flat / path.name, renamed / f"Map ({number}).png"):
            place.parent.mkdir(exist_ok=True)
            place.write_bytes(path.read_bytes())
        lines.append(f"Map ({number}).png,{path.relative_to(tmp_path / 'out' / 'SR').as_posix()}")
    names = tmp_path / "names.csv"
    names.write_text("\n".join(lines))
    code, out, err = compare("--maps", f"A={flat}")
    assert (code, err) == (0, "")
    code, renamed_out, err = compare("--maps", f"A={renamed}", "--map-names", names)
    assert (code, err) == (0, "")
    assert renamed_out == out
    # As a spreadsheet may write it.
    names.write_text("\r\n".join(lines).replace(",", ";"))
    assert compare("--maps", f"A={renamed}", "--map-names", names) == (0, out, "")
    # Lines that a spreadsheet leaves empty, and spaces around names.
    spaced = [line.replace(",", " , ") for line in lines[1:]]
    names.write_text("\n".join([lines[0], *spaced, ",", " ,", ""]))
    assert compare("--maps", f"A={renamed}", "--map-names", names) == (0, out, "")
    # Of two columns, the images' may have any name.
    names.write_text("\n".join(["map,their_image", *lines[1:]]))
    assert compare("--maps", f"A={renamed}", "--map-names", names) == (0, out, "")


def test_maps_of_another_size_are_resized_and_it_is_said(compare, tmp_path):
    compare("--methods", "SR", "--output", tmp_path / "out")
    path = next((tmp_path / "out" / "SR").rglob("h0.png"))
    with Image.open(path) as image:
        smaller = image.resize((20, 20))
    smaller.save(path)
    code, out, _ = compare("--maps", f"A={tmp_path / 'out' / 'SR'}")
    assert code == 0
    assert "A: 1 of 6 maps were resized to their image's size, bilinearly." in out


def test_an_image_without_a_map_is_named(compare, tmp_path):
    compare("--methods", "SR", "--output", tmp_path / "out")
    next((tmp_path / "out" / "SR").rglob("h0.png")).unlink()
    code, out, err = compare("--maps", f"A={tmp_path / 'out' / 'SR'}")
    assert (code, out) == (1, "")
    assert len(err.splitlines()) == 1
    assert "h0 has no map in" in err


@pytest.mark.parametrize(("lines", "file"), [((), "--map-names"), (("map,image", "a,b"), "another --map-names")])
def test_maps_in_another_layout_than_the_images(compare, tmp_path, lines, file):
    compare("--methods", "SR", "--output", tmp_path / "out")
    for path in (tmp_path / "out" / "SR").rglob("*.png"):
        path.rename(path.with_stem(f"{path.stem}_sal"))
    (tmp_path / "names.csv").write_text("\n".join(lines))
    names = ("--map-names", tmp_path / "names.csv") if lines else ()
    code, out, err = compare("--maps", f"A={tmp_path / 'out' / 'SR'}", *names)
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert re.search(
        r"SR has another layout: of image (\S+) a map \1\.png is expected there, not \S+/\1_sal\.png: ", err
    )
    assert err.endswith(f"or say by {file} which is of which.\n")


def test_a_map_is_of_no_image_of_several_with_its_name(tmp_path):
    Image.new("L", (4, 4)).save(tmp_path / "x.png")
    source = SimpleNamespace(names=lambda: ["crack/x.png", "good/x.png"])
    with pytest.raises(UserError, match=r"of image crack/x a map crack/x\.png is expected there, not \S+/x\.png: "):
        score_folder("A", tmp_path, None, source)


@pytest.mark.parametrize(
    ("names", "maps"),
    [(["a/x.png", "b/x.jpg"], ["a/x", "b/x"]), (["x.png", "x.jpg", "y.png"], ["x.png", "x.jpg", "y.png"])],
)
def test_maps_have_names_of_their_own(names, maps):
    assert map_names(SimpleNamespace(names=lambda: names)) == maps


def test_a_run_is_a_row(compare, tmp_path, monkeypatch, folder):
    compare("--methods", "SR", "--output", tmp_path / "out")
    dataset = prepare("folder", manual_dir=str(folder / "images"), data_dir=str(folder / "data"))
    row = score_folder("x", tmp_path / "out" / "SR", dataset, dataset.source("test"))
    asked = []

    def evaluate_run(workdir, **options):
        asked.append((workdir, options))
        return SimpleNamespace(results=row.metrics, notes=("The images have moved.",))

    monkeypatch.setattr("dms_jax.runs.testing.evaluate_run", evaluate_run)
    maps = ("--maps", f"maps={tmp_path / 'out' / 'SR'}")
    code, out, err = compare(*maps, "--workdir", "net=runs/mine")
    assert (code, err) == (0, "dms-jax: net: The images have moved.\n")
    assert cells(out, "net")[1:] == cells(out, "maps")[1:]
    places = {"data_dir": str(folder / "data"), "manual_dir": str(folder / "images")}
    assert asked == [(Path("runs/mine"), places)]

    row.metrics["all_black"]["mae"] += 0.01
    code, _, err = compare(*maps, "--workdir", "net=runs/mine")
    assert code == 0
    assert "net was not measured on these test images: do not compare it." in err


def test_a_folder_that_is_no_run_is_refused(compare, tmp_path):
    code, _, err = compare("--workdir", f"net={tmp_path}")
    assert code == 1
    assert str(tmp_path) in err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ((), "nothing to compare"),
        (("--methods", "LC,XY"), "XY is unknown"),
        (("--methods", "LC,lc"), "names lc twice"),
        (("--methods", ","), "names no method"),
        (("--methods", "LC", "--maps", "lc=x"), "Two rows are called lc"),
        (("--methods", "LC", "--map-names", "x.csv"), "give --maps too"),
        (("--methods", "LC", "--json", "no/where.json"), "is not a folder"),
        (("--methods", "LC", "--json", "."), "is a folder"),
        (("--maps", "x"), "is not NAME=DIR"),
        (("--maps", "=x"), "is not NAME=DIR"),
    ],
)
def test_wrong_usage(compare, flags, message):
    code, out, err = compare(*flags)
    assert (code, out) == (2, "")
    assert message in err


def test_an_output_that_is_a_file_is_refused(compare, tmp_path):
    (tmp_path / "out").write_text("")
    code, _, err = compare("--methods", "LC", "--output", tmp_path / "out")
    assert code == 2
    assert "name a folder" in err


@pytest.mark.parametrize(
    ("text", "message"),
    [("a,b\n", "no column map"), ("map,x,y\n", "no column image"), ("map,image\na,b\na,c\n", "names the map a twice")],
)
def test_names_that_cannot_be_used(compare, tmp_path, text, message):
    (tmp_path / "names.csv").write_text(text)
    code, _, err = compare("--maps", f"A={tmp_path}", "--map-names", tmp_path / "names.csv")
    assert code == 1
    assert message in err


def test_names_that_are_not_there(compare, tmp_path):
    code, _, err = compare("--maps", f"A={tmp_path}", "--map-names", tmp_path / "names.csv")
    assert code == 1
    assert "cannot be read as CSV" in err


def test_without_scikit_image_the_extra_is_named(compare, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "skimage", None)
    code, _, err = compare("--methods", "RC", "--output", tmp_path / "out")
    assert code == 1
    assert err == "dms-jax: RC needs scikit-image, which is missing: pip install 'dms-jax[compare]'.\n"
    # Before any other method is computed.
    code, _, err = compare("--methods", "LC,SF", "--output", tmp_path / "out")
    assert (code, len(err.splitlines())) == (1, 1)
    assert not (tmp_path / "out").exists()


def test_what_the_user_has_is_not_overwritten(compare, folder, tmp_path):
    images = folder / "images"
    before = {path: path.read_bytes() for path in images.rglob("*.png")}
    # Its masks are in the folder masks, as those that are written.
    for output in (images, images / "comparison", images / ".." / "images"):
        code, out, err = compare("--methods", "LC", "--output", output)
        assert (code, out) == (2, "")
        assert err == (
            f"dms-jax: --output={output} is among the images of --manual-dir={images}: name a folder outside of it.\n"
        )
    assert {path: path.read_bytes() for path in images.rglob("*.png")} == before


@pytest.mark.parametrize("place", ["out/LC", "out/masks", "out/LC/test", "out"])
def test_maps_that_are_read_are_not_written(compare, tmp_path, place):
    compare("--methods", "SR", "--output", tmp_path / "made")
    shutil.copytree(tmp_path / "made" / "SR", tmp_path / place)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.png")}
    code, out, err = compare("--methods", "LC", "--maps", f"A={tmp_path / place}", "--output", tmp_path / "out")
    assert (code, out) == (2, "")
    assert f"--maps A={tmp_path / place} is where --output" in err
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.png")} == before


@pytest.mark.parametrize(("flag", "message"), [("--maps", "is not a folder"), ("--workdir", "holds no run")])
def test_maps_and_runs_are_looked_at_before_methods_are_computed(compare, tmp_path, flag, message):
    code, _, err = compare("--methods", "LC", flag, f"A={tmp_path / 'none'}", "--output", tmp_path / "out")
    assert code == 1
    assert message in err
    assert not (tmp_path / "out").exists()


def test_images_without_masks_are_no_reason_to_warn(tmp_path, capsys):
    for split, count in (("train", 8), ("test", 2)):
        for label in ("good", "hole"):
            (tmp_path / "images" / split / label).mkdir(parents=True)
            for i in range(count):
                image = Image.fromarray(np.full((20, 20), 100 + i, np.uint8))
                image.save(tmp_path / "images" / split / label / f"{label}{i}.png")
    places = ["--manual-dir", str(tmp_path / "images"), "--data-dir", str(tmp_path / "data")]
    assert main(["compare", "--dataset", "folder", *places, "--methods", "LC", "--output", str(tmp_path / "out")]) == 0
    shown = capsys.readouterr()
    assert "do not compare" not in shown.err
    assert cells(shown.out, "LC")[1] == "2"


def test_masks_and_images_are_read_as_the_flags_say(tmp_path, capsys):
    """As for training; and pixels that do not count there do not count here, in maps, masks and black maps."""
    random, expected, black = np.random.default_rng(0), [], []
    for split, count in (("train", 8), ("test", 3)):
        for folder in ("", "masks/"):
            (tmp_path / "images" / folder / split / "hole").mkdir(parents=True)
        for i in range(count):
            mask = np.zeros((20, 24), np.uint8)
            mask[4:9, 5 + i : 12], mask[12:16] = 1, 255
            image = np.where(mask == 1, 3000, random.integers(900, 1100, mask.shape)).astype(np.uint16)
            image[mask == 255] = 4000
            Image.fromarray(image).save(tmp_path / "images" / split / "hole" / f"{i}.png")
            Image.fromarray(mask).save(tmp_path / "images" / "masks" / split / "hole" / f"{i}.png")
    (tmp_path / "images" / "train" / "hole" / "bad.png").write_bytes(b"no image")
    places = ["--manual-dir", str(tmp_path / "images"), "--data-dir", str(tmp_path / "data")]
    reading = ["--mask-values", "1,ignore:255", "--value-range", "0,4095", "--skip-bad"]
    flags = [*places, *reading, "--output", str(tmp_path / "out"), "--json", str(tmp_path / "table.json")]
    assert main(["compare", "--dataset", "folder", *flags, "--methods", "LC"]) == 0
    skipped, _ = capsys.readouterr().err.splitlines()
    assert skipped.startswith(f"dms-jax: skipped: {tmp_path}/images/train/hole/bad.png cannot be read")
    row = json.loads((tmp_path / "table.json").read_text())["rows"][0]
    for i in range(3):
        mask = np.asarray(Image.open(tmp_path / "images" / "masks" / "test" / "hole" / f"{i}.png"))
        (path,) = (tmp_path / "out" / "LC").rglob(f"{i}.png")
        error = np.abs(np.asarray(Image.open(path)) - 255.0 * (mask == 1))
        expected.append(np.where(mask == 255, 0, error).mean() / 255)
        black.append((mask == 1).mean())
        (path,) = (tmp_path / "out" / "masks").rglob(f"{i}.png")
        np.testing.assert_array_equal(np.asarray(Image.open(path)), 255 * (mask == 1))
    assert row["images"] == 3
    assert row["mae"] == pytest.approx(np.mean(expected), rel=1e-9)
    dataset = prepare(
        "folder",
        manual_dir=places[1],
        data_dir=places[3],
        mask_values=reading[1],
        value_range=reading[3],
        skip_bad=True,
    )
    again = score_folder("x", tmp_path / "out" / "LC", dataset, dataset.source("test")).metrics
    assert (again["mae"], again["max_f"]) == (row["mae"], row["max_f"])
    assert again["all_black"]["mae"] == pytest.approx(np.mean(black), rel=1e-9)


def test_two_maps_of_one_image_are_refused(compare, tmp_path):
    compare("--methods", "SR", "--output", tmp_path / "out")
    path = next((tmp_path / "out" / "SR").rglob("h0.png"))
    (tmp_path / "out" / "SR" / "other.png").write_bytes(path.read_bytes())
    name = path.relative_to(tmp_path / "out" / "SR").as_posix()
    (tmp_path / "names.csv").write_text(f"map,image\nother.png,{name}\n")
    code, out, err = compare("--maps", f"A={tmp_path / 'out' / 'SR'}", "--map-names", tmp_path / "names.csv")
    assert (code, out) == (1, "")
    assert f"are both maps of {name.removesuffix('.png')}: leave one of them out." in err


@pytest.mark.skipif(not (RELEASED.is_dir() and MTDD.is_dir()), reason="neither released maps nor MTDD are here")
@pytest.mark.slow
def test_released_maps_beside_the_papers_numbers(tmp_path, capsys):
    arguments = ["compare", "--dataset", "mtdd", "--manual-dir", str(MTDD), "--data-dir", str(tmp_path)]
    arguments += ["--maps", f"SDMS={RELEASED / 'SDMS'}", "--map-names", str(RELEASED / "index.csv")]
    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert cells(out, "SDMS")[1:] == [
        *("226", "0.0097", "0.9295", "0.0296", "0.7472"),
        *("0.0098", "0.9300", "-0.0001", "-0.0005", "n/a"),
    ]
