import numpy as np

from dms_jax.evaluation.results_text import comparison_table, details_text, outputs_table
from dms_jax.evaluation.scoring import score_image
from dms_jax.evaluation.summary_metrics import compute_metrics
from dms_jax.evaluation.thresholds import given_threshold, no_threshold
from dms_jax.evaluation.totals import collect

BLACK = np.zeros((1, 2), np.uint8)
DEFECT = np.array([[0, 255]], np.uint8)
EVEN = np.array([0.5, 0.5])


def metrics_of(outputs=1, threshold=None, free_class=0, mixed=False):
    scored = [
        score_image(
            [mask] * outputs,
            mask,
            name=str(label),
            label=label,
            predicted=(label,) * outputs if mixed else (),
            threshold=threshold,
        )
        for label, mask in enumerate((BLACK, DEFECT))
    ]
    chosen = no_threshold("none was given") if threshold is None else given_threshold(threshold, outputs)
    return compute_metrics(collect(scored), chosen, class_names=("free", "crack"), free_class=free_class)


def cells(text, first):
    """The cells of the (first) line that begins so, which are two spaces or more apart."""
    line = next(line for line in text.splitlines() if line.startswith(first))
    return [cell.strip() for cell in line.split("  ") if cell.strip()]


def test_outputs_and_the_black_map_have_a_row_each():
    table = outputs_table(metrics_of(outputs=3, threshold=100, mixed=True))
    assert [line.split("  ")[0] for line in table.splitlines()[2:]] == ["0", "1", "2 (final)", "all black"]
    assert cells(table, "2 (final)")[1:] == ["0.00000", "1.00000"] * 2 + ["1.00000"] * 4
    # P = 1 at every threshold, R = 1 of the sound image and 1e-4 / (1 + 1e-4) of the defective one.
    recalls = (0.5 + 0.5e-4 / 1.0001, 1e-4 / 1.0001)
    max_f, max_f_defective = (f"{1.3 * recall / (0.3 + recall):.5f}" for recall in recalls)
    assert cells(table, "all black")[1:] == ["0.25000", max_f, "0.50000", max_f_defective] + ["n/a"] * 4
    assert [line.split("  ")[0] for line in outputs_table(metrics_of()).splitlines()[2:]] == ["maps", "all black"]


def test_what_does_not_exist_reads_na():
    text = details_text(metrics_of())
    assert cells(text, "crack")[1:] == ["1", "0.00000", "1.00000", "n/a", "n/a", "1.00000", "n/a", "n/a"]
    assert cells(text, "free")[1:] == ["1", "0.00000"] + ["n/a"] * 6
    assert "Operating threshold: none, so no IoU, F1 or alarms: none was given." in text
    assert cells(text, "class head")[1:] == ["n/a"] * 5
    assert cells(text, "map's maximum")[1:] == ["n/a"] * 3 + ["1.00000"] * 2
    assert "(1 defective and 1 defect-free images, by their labels)" in text
    assert "true \\ predicted" not in text


def test_painted_maps_have_an_iou_for_each_defect_class_and_none_for_the_defect_free_one():
    text = details_text(metrics_of(threshold=100, mixed=True))
    assert cells(text, "IoU of")[1:] == ["crack", "mean (mIoU)", "background", "mean with background"]
    assert cells(text, "painted maps")[1:] == ["1.00000"] * 4
    assert "painted" not in details_text(metrics_of(threshold=100))


def test_whole_images_and_the_confusion_of_classes():
    text = details_text(metrics_of(threshold=100, mixed=True))
    assert cells(text, "map's maximum")[1:] == ["1.00000", "1.00000", "0.00000", "1.00000", "1.00000"]
    assert "Operating threshold: map > 100 (given by the user)." in text
    assert "averaged over the defective images they are 1.00000 and 1.00000" in text
    _, confusion = text.split("true \\ predicted")
    assert cells(confusion, "free") == ["free", "1", "0"]
    assert cells(confusion, "crack") == ["crack", "0", "1"]


def test_nothing_is_averaged_over_defective_images_where_there_are_none():
    metrics = metrics_of(threshold=100)
    metrics["defective"] |= {"mean_iou": None, "mean_f1": None}
    line = next(line for line in details_text(metrics).splitlines() if line.startswith("Operating threshold"))
    assert line == "Operating threshold: map > 100 (given by the user). IoU and F1 are of all pixels together."


def test_without_a_free_class_nothing_is_said_of_defective_or_not():
    text = details_text(metrics_of(threshold=100, free_class=None))
    assert cells(text, "map's maximum")[1:] == ["n/a"] * 5


def test_further_metrics_have_a_table_of_their_own():
    metrics = metrics_of(threshold=100)
    assert "contrast" not in details_text(metrics)
    metrics["extra"] = {"contrast": {"all": 0.125, "defective": None}}
    assert cells(details_text(metrics), "contrast") == ["contrast", "0.12500", "n/a"]


def test_comparison_has_a_row_for_each_method():
    table = comparison_table({"a": metrics_of(threshold=100), "other maps": metrics_of()})
    assert [line.split("  ")[0] for line in table.splitlines()] == ["maps", "-" * 10, "a", "other maps", "all black"]
    row = cells(table, "a ")[1:]
    assert row[:8] == ["2", *["0.00000", "1.00000"] * 2, *["1.00000"] * 3]
    # S-measure and weighted F, which is 0 of the sound image.
    assert (row[8], row[10:]) == ("1.00000", ["0.50000", "n/a"])
    assert cells(table, "all black")[1:3] == ["2", "0.25000"]


def test_what_does_not_exist_without_masks_is_not_available():
    scored = [
        score_image([BLACK], None, name=str(label), label=label, predicted=(label,), probabilities=EVEN, free_class=0)
        for label in (0, 1)
    ]
    metrics = compute_metrics(collect(scored), no_threshold("none"), class_names=("free", "crack"), free_class=0)
    assert cells(outputs_table(metrics), "maps")[1:] == ["n/a"] * 7 + ["1.00000"]
    # Both are free to the black map, of which one is.
    assert cells(outputs_table(metrics), "final, gated")[1:] == ["n/a"] * 7 + ["0.50000"]
    text = details_text(metrics)
    assert cells(text, "crack")[1:] == ["0", *["n/a"] * 5, "1.00000", "n/a"]
    assert "\n(images: those whose mask is known; accuracy and fired: of all that have a label)\n" in text
    assert "those whose mask is known" not in details_text(metrics_of(threshold=100))
    assert cells(comparison_table({"a": metrics}), "a ")[2:] == ["n/a"] * 10 + ["1.00000"]


def test_results_of_earlier_versions_are_shown():
    metrics = metrics_of(threshold=100, mixed=True)
    del metrics["gated"], metrics["painted"], metrics["extra"], metrics["image_level"]["gated_maximum"]
    assert "final, gated" not in outputs_table(metrics)
    text = details_text(metrics)
    assert cells(text, "map's maximum")[1:] == ["1.00000"] * 2 + ["0.00000"] + ["1.00000"] * 2
    assert "Gated" not in text
