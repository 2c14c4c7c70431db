import os
import tracemalloc
import weakref
from pathlib import Path

import numpy as np
import pytest
from image_pairs import save_images
from PIL import Image

from dms_jax.data.mask_values import MaskValues
from dms_jax.errors import UserError
from dms_jax.evaluation import scoring
from dms_jax.evaluation.maps import evaluate as map_evaluation
from dms_jax.evaluation.maps.evaluate import evaluate_maps
from dms_jax.evaluation.maps.labels import Labels
from dms_jax.evaluation.thresholds import given_threshold

BLACK = np.zeros((4, 6), np.uint8)
DEFECT = BLACK.copy()
DEFECT[1:3, 2:4] = 255


def folders(root, maps, masks):
    return save_images(root / "maps", maps), save_images(root / "masks", masks)


def linked_folders(root, count):
    """Folders of links to one map and one mask."""
    sources = save_images(root, {"map": DEFECT, "mask": DEFECT})
    made = []
    for kind in ("map", "mask"):
        folder = root / f"{count}-{kind}s"
        folder.mkdir()
        for number in range(count):
            os.link(sources / f"{kind}.png", folder / f"{number}.png")
        made.append(folder)
    return made


def test_maps_are_scored_against_their_own_masks(tmp_path):
    rng = np.random.default_rng(0)
    pairs = {f"{i}/n": (rng.integers(0, 256, (3, 3 + i), np.uint8), rng.integers(0, 256, (3, 3 + i))) for i in range(9)}
    maps, masks = ({name: pair[index] for name, pair in pairs.items()} for index in (0, 1))
    results = evaluate_maps(*folders(tmp_path, maps, masks))
    assert [row.name for row in results.evaluation.rows] == list(pairs)
    for row, (saliency_map, mask) in zip(results.evaluation.rows, pairs.values(), strict=True):
        assert row.mae == pytest.approx(np.abs(saliency_map / 255 - mask / 255).mean())
    assert results.metrics["mae"] == pytest.approx(np.mean([row.mae for row in results.evaluation.rows]))
    assert results.metrics["operating_threshold"] == {
        "value": None,
        "chosen_on": None,
        "note": "none was given, nor images to choose one on",
    }
    assert results.notes == ()


def test_masks_of_class_numbers_are_read_as_declared(tmp_path):
    rng = np.random.default_rng(0)
    maps = {f"{i}": rng.integers(0, 256, (6, 7), np.uint8) for i in range(4)}
    numbers = {f"{i}": rng.choice([0, 1, 2, 9], (6, 7)).astype(np.uint8) for i in range(4)}
    declared = folders(tmp_path / "numbers", maps, numbers)
    with pytest.raises(UserError, match="say which values are defective with --mask-values"):
        evaluate_maps(*declared)
    found = evaluate_maps(*declared, mask_values=MaskValues.parse("1-2,ignore:9"))
    assert found.notes == ()
    # What is ignored is black in both.
    counts = {name: mask < 9 for name, mask in numbers.items()}
    plain = evaluate_maps(
        *folders(
            tmp_path / "plain",
            {name: saliency_map * counts[name] for name, saliency_map in maps.items()},
            {name: np.where(counts[name] & (mask > 0), 255, 0) for name, mask in numbers.items()},
        )
    )
    assert found.metrics == plain.metrics
    assert found.metrics["mae"] != evaluate_maps(*declared, mask_values=MaskValues.parse("1-2")).metrics["mae"]


def test_labels_and_threshold_reach_the_rows(tmp_path):
    labels = Labels(Path("labels.csv"), ("free", "crack"), 0, {"a": (1, 1), "b": (0, None)})
    folder = folders(tmp_path, {"a": DEFECT, "b": BLACK}, {"a": DEFECT, "b": BLACK})
    results = evaluate_maps(*folder, labels=labels, threshold=given_threshold(100))
    first, second = results.evaluation.rows
    assert (first.label, first.predicted, first.iou) == (1, 1, 1)
    assert (second.label, second.predicted, second.iou) == (0, None, None)
    assert results.class_names == ("free", "crack")
    assert results.metrics["accuracy"] == 1
    assert results.metrics["per_class"]["crack"]["iou"] == 1


def test_defect_free_images_without_a_mask_are_scored_against_black(tmp_path):
    maps = {"crack/a": DEFECT, "good/b": DEFECT, "c": BLACK}
    root = folders(tmp_path, maps, {"crack/a": DEFECT})
    labels = Labels(Path("labels.csv"), ("free", "crack"), 0, {"crack/a": (1, 1), "good/b": (None, 0), "c": (0, 0)})
    results = evaluate_maps(*root, labels=labels, threshold=given_threshold(100))
    rows = {row.name: row for row in results.evaluation.rows}
    assert {name: row.defective for name, row in rows.items()} == {"c": False, "crack/a": True, "good/b": False}
    assert rows["good/b"].mae == pytest.approx(4 / 24)
    assert results.metrics["defective"]["images"] == 1
    # Labels are of names that may differ in spaces, here too.
    classes = {"crack /a": (1, 1), "good/b": (None, 0), " c": (0, 0)}
    again = evaluate_maps(*root, labels=Labels(labels.path, labels.class_names, 0, classes))
    assert [row.label for row in again.evaluation.rows] == [row.label for row in results.evaluation.rows]
    # What a label says goes before the folder's name.
    labels = Labels(labels.path, labels.class_names, 0, {**labels.classes, "good/b": (1, 0)})
    with pytest.raises(UserError, match=r"good/b\.png has no mask in .*: add good/b\.png there, or remove the map"):
        evaluate_maps(*root, labels=labels)


def test_every_problem_has_its_sentence(tmp_path):
    maps, masks = folders(
        tmp_path,
        {"a": Image.fromarray(BLACK.astype(np.uint16)), "b": BLACK[:, :5], "c": BLACK, "d": DEFECT},
        {"a": DEFECT, "b": DEFECT, "c": DEFECT // 255, "d": DEFECT},
    )
    with pytest.raises(UserError) as error:
        evaluate_maps(maps, masks)
    sixteen_bits, size, ones = str(error.value).splitlines()
    assert sixteen_bits == f"{maps}/a.png has pixels of more than 8 bits: save the map with 8 bits, 255 for certain."
    assert size == (
        f"{maps}/b.png has 5 x 4 pixels but its mask {masks}/b.png has 6 x 4: "
        "resize the map, or allow it with --resize."
    )
    assert ones.startswith(f"{masks}/c.png has no pixel above 1")


def test_resized_maps_are_reported(tmp_path):
    maps, masks = folders(tmp_path, {"a": np.full((2, 3), 255)}, {"a": np.full((4, 6), 255)})
    results = evaluate_maps(str(maps), str(masks), resize=True)
    assert results.metrics["mae"] == 0
    assert results.notes == (f"{maps}/a.png has 3 x 2 pixels but its mask {masks}/a.png has 6 x 4, and was resized.",)


def test_maps_of_zeros_and_ones_are_reported(tmp_path):
    maps, masks = folders(tmp_path, {"a": DEFECT // 255, "b": BLACK}, {"a": DEFECT, "b": BLACK})
    sentence = f"No map in {maps} has a pixel above 1, which is all but black: 255 is certain, not 1."
    assert evaluate_maps(maps, masks).notes == (sentence,)
    save_images(maps, {"a": BLACK})
    assert evaluate_maps(maps, masks).notes == ()


def test_notes_are_a_few_of_each_kind(tmp_path):
    names = [f"{i:02}" for i in range(30)]
    grey = Image.fromarray(np.stack([DEFECT] * 3, -1))
    maps, masks = folders(tmp_path, dict.fromkeys(names, grey), dict.fromkeys(names, Image.fromarray(DEFECT > 0)))
    notes = evaluate_maps(maps, masks).notes
    assert len(notes) == 22
    assert notes[0] == f"{maps}/00.png is read as 8-bit grey, although it was saved otherwise."
    assert notes[10] == notes[21] == "There are 20 more like the last."


def test_images_of_one_pixel(tmp_path):
    white, black = np.full((1, 1), 255), np.zeros((1, 1))
    results = evaluate_maps(*folders(tmp_path, {"a": white, "b": black}, {"a": white, "b": black}))
    assert results.metrics["mae"] == 0
    assert results.metrics["sod"]["s_measure"] == 1
    assert results.metrics["sod"]["max_e"] == 1


def test_no_image_is_kept(tmp_path, monkeypatch):
    """Of the images that were scored, no more stay alive than are in hand at a time."""
    alive, most = weakref.WeakSet(), 0

    def score_and_count(maps, mask, **arguments):
        nonlocal most
        scored = scoring.score_image(maps, mask, **arguments)
        alive.add(scored.outputs[0])
        most = max(most, len(alive))
        return scored

    monkeypatch.setattr(map_evaluation, "score_image", score_and_count)
    results = evaluate_maps(*linked_folders(tmp_path, 300), with_sod=False)
    assert len(results.evaluation.rows) == 300
    assert len(alive) <= 1
    assert most < 2 * 64


def test_what_is_kept_grows_by_the_rows_alone(tmp_path):
    def kept(folder, count):
        tracemalloc.start()
        results = evaluate_maps(*folder, with_sod=False)
        size, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert results.metrics["images"] == count
        return size

    def kept_each_time(count):
        # A table of the interpreter's own, as that of all names, may grow meanwhile: by megabytes, but not twice.
        folders = [tmp_path / f"{count}-{trial}" for trial in range(2)]
        for folder in folders:
            folder.mkdir()
        return min(kept(linked_folders(folder, count), count) for folder in folders)

    few, many = kept_each_time(100), kept_each_time(500)
    # A row is a few numbers and a name; the counts of an image at 256 thresholds are 4 KB, its map more.
    assert (many - few) / 400 < 1000
