import json
import re
import weakref

import numpy as np
import pytest
from PIL import Image

from dms_jax.data.mask_values import MaskValues
from dms_jax.errors import UserError
from dms_jax.evaluation import scoring
from dms_jax.evaluation.report import predictions
from dms_jax.evaluation.report.page import render
from dms_jax.evaluation.report.predictions import report_predictions

SETTINGS = {
    "model": {"run": "tiles", "step": 70},
    "class_names": ["crack", "free"],
    "free_class": "free",
    "framing": {"mode": "squash", "size": 32, "tile": 0, "overlap": 0.25},
    "gates": True,
    "threshold": 100,
    "note": "the largest F1 of validation",
    "value_range": None,
    "overlays": False,
}


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def record(path, name, kind="crack", score=0.9, area=0.25):
    probabilities = {"crack": score, "free": round(1 - score, 6)}
    boxes = [[0, 0, 4, 4, 16]] if area else []
    return {
        "file": str(path),
        "name": name,
        "class": kind,
        "probability": probabilities[kind],
        "probabilities": probabilities,
        "score": score,
        "area": area,
        "boxes": boxes,
    }


@pytest.fixture
def folder(tmp_path):
    """Two images with a defect, of which one is found, a sound one, and a file that could not be read."""
    folder, masks = tmp_path / "out", tmp_path / "masks"
    defect = np.zeros((8, 8), np.uint8)
    defect[:4, :4] = 255
    black = np.zeros((8, 8), np.uint8)
    records = []
    for name, saliency_map, mask, about in (
        ("found", defect, defect, {}),
        ("line 2/missed", black, defect, {"kind": "free", "score": 0.2, "area": 0.0}),
        ("sound", black, black, {"kind": "free", "score": 0.1, "area": 0.0}),
    ):
        path = tmp_path / "images" / f"{name}.png"
        save(path, np.full((8, 8, 3), 90, np.uint8))
        save(folder / "maps" / f"{name}.png", saliency_map)
        save(masks / f"{name}.png", mask)
        records.append(record(path, name, **about))
    records.append({"file": "bad.png", "name": "bad", "error": "bad.png is empty."})
    (folder / "predictions.json").write_text(json.dumps(SETTINGS))
    write_records(folder, records)
    return folder


def write_records(folder, records, shard=""):
    lines = "".join(f"{json.dumps(each)}\n" for each in records)
    (folder / f"predictions{shard}.jsonl").write_text(lines)


def kinds(report):
    return {card.name.rpartition("images/")[2]: card.kinds for card in report.gallery.cards}


def test_without_masks_it_says_what_was_found(folder):
    report = report_predictions(folder)
    assert report.metrics is None
    assert kinds(report) == {
        "found.png": ("found",),
        "line 2/missed.png": ("nothing",),
        "sound.png": ("nothing",),
    }
    assert [card.numbers[0] for card in report.gallery.cards] == [("score", s) for s in ("0.9000", "0.2000", "0.1000")]
    assert [card.predicted for card in report.gallery.cards] == [(0,), (1,), (1,)]
    assert report.summary == [
        "3 images, predicted with run tiles, step 70.",
        "A pixel of a map, times the probability of a defect, is called defective above 100 (the largest F1 of "
        "validation): there is one in 1 of 3 images.",
    ]
    assert report.notes == ["Not predicted: bad.png is empty."]
    assert all(card.pictures.image and not card.pictures.truth for card in report.gallery.cards)
    assert "Metrics" not in re.sub(r"<script.*?</script>", "", render(report), flags=re.DOTALL)


def test_with_masks_it_is_scored(folder, tmp_path):
    report = report_predictions(folder, tmp_path / "masks")
    assert kinds(report) == {"found.png": ("fine",), "line 2/missed.png": ("missed",), "sound.png": ("fine",)}
    assert report.gallery.cards[0].name.endswith("missed.png")
    # One of two defects of as many pixels.
    assert report.metrics["iou"] == 0.5
    assert report.metrics["defective"]["images"] == 2
    # The maps have been gated once.
    level = report.metrics["image_level"]
    assert report.metrics["gated"] is level["gated_maximum"] is level["gated_class_head"] is None
    assert report.metrics["image_level"]["class_head"]["recall"] == 0.5
    assert report.metrics["image_level"]["map_maximum"]["recall"] == 0.5
    assert "pixel AP" in render(report)


def test_an_image_without_a_mask_is_unknown(folder, tmp_path):
    (tmp_path / "masks" / "sound.png").unlink()
    report = report_predictions(folder, tmp_path / "masks")
    assert kinds(report)["sound.png"] == ("unknown",)
    assert report.metrics["mae"] == pytest.approx(0.125)
    assert report.summary[-1] == "The truth of 2 images is known, by their masks."
    assert "truth unknown <b>1</b>" in render(report)
    told = f"2 of 3 predictions have a mask of their name in {tmp_path / 'masks'}: the truth of 1 is unknown."
    assert report.notes == ["Not predicted: bad.png is empty.", told]


def test_an_image_of_a_folder_of_sound_ones_needs_no_mask(folder, tmp_path):
    save(folder / "maps" / "good" / "more.png", np.full((8, 8), 255, np.uint8))
    write_records(folder, [record(tmp_path / "good" / "more.png", "good/more")], "-2")
    report = report_predictions(folder, tmp_path / "masks")
    assert kinds(report)[str(tmp_path / "good" / "more.png")] == ("alarm",)
    assert report.summary[-1].startswith("The truth of 4 images is known, by their masks, or 1 of them by a folder's ")


def test_masks_of_several_folders_are_found_by_the_images_paths(folder, tmp_path):
    """The folders that were named are not in the names of predictions."""
    raw, masks = tmp_path / "raw", tmp_path / "raw" / "masks"
    image, mask = np.zeros((8, 8), np.uint8), np.full((8, 8), 255, np.uint8)
    for name, path in (("1", "hole/1"), ("2", "crack/2"), ("3", "ok/3"), ("4", "other/4"), ("5", "a/hole/5")):
        save(folder / "maps" / f"{name}.png", image)
        write_records(folder, [record(raw / f"{path}.png", name)], f"-{name}")
    save(folder / "maps" / "again.png", image)
    write_records(folder, [record(raw / "b" / "hole" / "5.png", "again")], "-6")
    # Of other images of the same name, or of one of two.
    for name in ("hole/1", "crack/2", "hole/4", "hole/5"):
        save(masks / f"{name}.png", mask)
    assert {
        name: shown for name, shown in kinds(report_predictions(folder, masks)).items() if name.startswith(str(raw))
    } == {
        str(raw / "hole" / "1.png"): ("missed",),
        str(raw / "crack" / "2.png"): ("missed",),
        str(raw / "ok" / "3.png"): ("fine",),
        str(raw / "other" / "4.png"): ("unknown",),
        str(raw / "a" / "hole" / "5.png"): ("unknown",),
        str(raw / "b" / "hole" / "5.png"): ("unknown",),
    }


def test_images_that_are_gone_are_left_out(folder, tmp_path):
    (tmp_path / "images" / "sound.png").unlink()
    save(tmp_path / "images" / "found.png", np.zeros((5, 5, 3), np.uint8))
    pictures = {card.name.rpartition("/")[2]: card.pictures for card in report_predictions(folder).gallery.cards}
    assert [name for name, own in pictures.items() if own.image is None] == ["found.png", "sound.png"]


def test_shards_are_put_together(folder, tmp_path):
    save(folder / "maps" / "more.png", np.full((8, 8), 255, np.uint8))
    write_records(folder, [record(tmp_path / "more.png", "more")], "-2-of-2")
    assert len(report_predictions(folder).gallery.cards) == 4


def test_shards_that_are_not_there_are_told(folder, tmp_path):
    (folder / "predictions.jsonl").rename(folder / "predictions-2-of-3.jsonl")
    write_records(folder, [record(tmp_path / "more.png", "more")], "-1-of-2")
    Image.new("L", (10, 6)).save(folder / "maps" / "more.png")
    assert [note for note in report_predictions(folder).notes if "shard" in note] == [
        f"The images of shard 2/2 are not in {folder}: predict them too.",
        f"The images of shard 1/3, 3/3 are not in {folder}: predict them too.",
    ]
    write_records(folder, [], "-2-of-2")
    assert len([note for note in report_predictions(folder).notes if "shard" in note]) == 1


def test_without_a_threshold_that_is_said(folder):
    (folder / "predictions.json").write_text(json.dumps({**SETTINGS, "threshold": None, "note": "untested"}))
    records = [json.loads(line) for line in (folder / "predictions.jsonl").read_text().splitlines()[:3]]
    write_records(folder, [{**each, "area": None, "boxes": None} for each in records])
    report = report_predictions(folder)
    assert "There is no threshold to call a pixel defective by: untested." in report.summary
    assert kinds(report)["found.png"] == ("found",)


def test_what_cannot_be_used_is_named(folder, tmp_path):
    with pytest.raises(UserError, match=r"masks has no predictions.json: name a folder that `dms-jax predict` wrote"):
        report_predictions(tmp_path / "masks")
    with pytest.raises(UserError, match=r"no image in .*images/line 2 is named like a prediction in .*, such as found"):
        report_predictions(folder, tmp_path / "images" / "line 2")
    save(tmp_path / "masks" / "found.png", np.zeros((4, 9), np.uint8))
    with pytest.raises(UserError, match=r"masks/found.png is 9 x 4 pixels, and the map of .*found.png 8 x 8: replace"):
        report_predictions(folder, tmp_path / "masks")
    (folder / "maps" / "sound.png").unlink()
    with pytest.raises(UserError, match=r"maps/sound.png does not exist"):
        report_predictions(folder)
    (folder / "predictions.json").write_text("{}")
    with pytest.raises(UserError, match=r"predictions.json is damaged: predict the images again"):
        report_predictions(folder)
    write_records(folder, [])
    (folder / "predictions.json").write_text(json.dumps(SETTINGS))
    with pytest.raises(UserError, match="has no predicted image"):
        report_predictions(folder)


def test_masks_of_class_numbers_are_read_as_declared(folder, tmp_path):
    numbers = np.zeros((8, 8), np.uint8)
    numbers[:4, :4], numbers[:2, :2] = 3, 9
    save(tmp_path / "masks" / "found.png", numbers)
    with pytest.raises(UserError, match="say which values are defective with --mask-values"):
        report_predictions(folder, tmp_path / "masks")
    report = report_predictions(folder, tmp_path / "masks", MaskValues.parse("3,255,ignore:9"))
    # Of the one defect 12 pixels count, of the other 16.
    assert report.metrics["iou"] == 12 / 28


def test_a_mask_that_looks_like_a_photograph_is_told(folder, tmp_path):
    save(tmp_path / "masks" / "found.png", np.arange(64, dtype=np.uint8).reshape(8, 8) * 3 + 20)
    (note,) = [note for note in report_predictions(folder, tmp_path / "masks").notes if "Not predicted" not in note]
    assert note == (
        f"{tmp_path / 'masks' / 'found.png'} looks like a photograph, not a mask: 100% of its pixels are neither black "
        "nor white."
    )


def test_an_image_of_several_shards_counts_once(folder, tmp_path):
    lines = [json.loads(line) for line in (folder / "predictions.jsonl").read_text().splitlines()]
    failed = lines[3]["file"]
    save(folder / "maps" / "late.png", np.zeros((8, 8), np.uint8))
    write_records(folder, [*lines[:2], record(failed, "late")], "-1-of-2")
    report = report_predictions(folder, tmp_path / "masks")
    assert report.summary[0].startswith("4 images, ")
    assert sorted(card.name for card in report.gallery.cards) == sorted([*(each["file"] for each in lines)])
    assert report.notes == [
        f"3 of 4 predictions have a mask of their name in {tmp_path / 'masks'}: the truth of 1 is unknown."
    ]


def test_a_record_that_is_not_whole_is_damaged(folder):
    write_records(folder, [{"file": "x.png", "name": "found"}])
    with pytest.raises(UserError, match=r"predictions.jsonl is damaged \(what it has of x.png is not whole\): predict"):
        report_predictions(folder)


@pytest.mark.parametrize("place", ["maps", "maps/line 2", "overlays", "../link"])
def test_what_was_predicted_is_no_mask(folder, place):
    """The maps would be perfect."""
    (folder / "overlays").mkdir()
    (folder.parent / "link").symlink_to(folder / "maps")
    with pytest.raises(UserError, match="holds what was predicted, and no masks: name the folder of the masks"):
        report_predictions(folder, folder / place)


def test_of_many_images_no_scores_are_kept(tmp_path, monkeypatch):
    """They are added up: the counts at 256 thresholds are kilobytes for each image."""
    save(tmp_path / "masks" / "0.png", np.full((4, 4), 255, np.uint8))
    records = []
    for number in range(300):
        save(tmp_path / "out" / "maps" / f"{number}.png", np.zeros((4, 4), np.uint8))
        records.append(record(f"{number}.png", str(number)))
    (tmp_path / "out" / "predictions.json").write_text(json.dumps(SETTINGS))
    write_records(tmp_path / "out", records)
    alive, most = weakref.WeakSet(), 0

    def score_and_count(*arguments, **options):
        nonlocal most
        scored = scoring.score_image(*arguments, **options)
        alive.add(scored)
        most = max(most, len(alive))
        return scored

    monkeypatch.setattr(predictions, "score_image", score_and_count)
    assert report_predictions(tmp_path / "out", tmp_path / "masks").metrics["images"] == 1
    assert most < 2 * 64
