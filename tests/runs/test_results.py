import json

import numpy as np
import pytest

from dms_jax.errors import UserError
from dms_jax.evaluation.scoring import score_image
from dms_jax.evaluation.summary_metrics import compute_metrics
from dms_jax.evaluation.thresholds import given_threshold
from dms_jax.evaluation.totals import collect
from dms_jax.runs.results import load_results, results_text, save_results
from dms_jax.runs.testing import RunEvaluation

CLASSES = ("free", "crack")


@pytest.fixture(scope="module")
def evaluation():
    """Two outputs on three images, the second output perfect; the last image has no defect."""
    mask = np.array([[0, 255], [0, 0]], np.uint8)
    image = {"with_sod": False, "probabilities": np.array([0.5, 0.5]), "free_class": 0}
    return collect(
        [
            score_image([0 * mask, mask], mask, name="a", label=1, predicted=[0, 1], **image),
            score_image([0 * mask, mask], mask, name="b", label=1, predicted=[1, 1], **image),
            score_image([0 * mask + 51, 0 * mask], 0 * mask, name="c", label=0, predicted=[1, 0], **image),
        ]
    )


@pytest.fixture
def results(evaluation):
    return {
        "network": "sdms",
        "size": "full",
        "ablation": "",
        "dataset": "mtdd",
        "dataset_config": "tiles",
        "split": "test",
        "selected_on": "validation",
        "steps": 20,
        "best_step": 15,
        **compute_metrics(evaluation, given_threshold(100, 2), class_names=CLASSES, free_class=0),
    }


class TestFile:
    def test_comes_back_as_it_was(self, results, evaluation, tmp_path):
        save_results(results, tmp_path, "test", evaluation.rows, CLASSES)
        assert load_results(tmp_path, "test") == results
        assert sorted(path.name for path in (tmp_path / "eval").iterdir()) == ["test.csv", "test.json"]
        assert json.loads((tmp_path / "eval" / "test.json").read_text()) == results

    def test_images_are_sorted_by_what_their_labels_say(self, results, tmp_path):
        """An image of a defect whose mask is empty is no false alarm."""
        black, fires = np.zeros((2, 2), np.uint8), np.full((2, 2), 200, np.uint8)
        images = {"empty mask": (fires, 1), "sound": (fires // 4 * 3, 0)}
        evaluation = collect(
            score_image([found], black, name=name, label=label, threshold=100, with_sod=False)
            for name, (found, label) in images.items()
        )
        RunEvaluation(results, evaluation, CLASSES, 0, given_threshold(100)).save(tmp_path, "test")
        lines = (tmp_path / "eval" / "test.csv").read_text().splitlines()
        assert [line.split(",")[0] for line in lines] == ["name", "sound", "empty mask"]

    def test_is_replaced(self, results, evaluation, tmp_path):
        save_results(results, tmp_path, "test", evaluation.rows, CLASSES)
        save_results({**results, "mae": None}, tmp_path, "test", evaluation.rows, CLASSES)
        assert load_results(tmp_path, "test")["mae"] is None

    def test_splits_are_apart(self, results, evaluation, tmp_path):
        save_results(results, tmp_path, "validation", evaluation.rows, CLASSES)
        assert load_results(tmp_path, "test") is None
        assert load_results(tmp_path, "validation") == results

    def test_none_where_there_is_nothing(self, tmp_path):
        assert load_results(tmp_path, "test") is None
        assert load_results(tmp_path / "absent", "test") is None

    @pytest.mark.parametrize("number", [float("nan"), float("inf")])
    def test_refuses_what_is_not_json_and_keeps_the_earlier(self, results, evaluation, tmp_path, number):
        save_results(results, tmp_path, "test", evaluation.rows, CLASSES)
        with pytest.raises(ValueError, match="JSON"):
            save_results({**results, "mae": number}, tmp_path, "test", evaluation.rows, CLASSES)
        assert load_results(tmp_path, "test") == results

    @pytest.mark.parametrize("text", [b"", b'{"mae": 0.1', b"\xff\xfe", b"[1, 2]", b"null"])
    def test_damaged_file(self, tmp_path, text):
        (tmp_path / "eval").mkdir()
        (tmp_path / "eval" / "test.json").write_bytes(text)
        with pytest.raises(UserError, match=r"eval/test\.json is not valid.*remove it") as caught:
            load_results(tmp_path, "test")
        assert caught.value.exit_code == 1


class TestText:
    def test_says_what_was_measured_on_what(self, results):
        title, *_ = results_text(results).splitlines()
        assert title == "SDMS on mtdd (tiles), test: 3 images, 2 of them defective; step 15, selected on validation"

    def test_says_of_how_many_images_the_mask_is_known(self, results):
        assert results["images"] == results["all_images"] == 3
        labels = {**results["image_level"], "truth": "labels", "free": 1}
        some = "3 of them with a known mask, 2 of these defective"
        for changed, counts in (
            ({"image_level": {**labels, "defective": 2}}, "3 images, 2 of them defective"),
            # Five have a label, and one of those with a mask has none.
            ({"all_images": 6, "image_level": {**labels, "defective": 4}}, f"6 images, {some}"),
            # As many have a label as have a mask, and they are not the same.
            ({"all_images": 4, "image_level": {**labels, "defective": 2}}, f"4 images, {some}"),
        ):
            title, *_ = results_text({**results, **changed}).splitlines()
            assert title == f"SDMS on mtdd (tiles), test: {counts}; step 15, selected on validation"

    def test_results_of_earlier_versions_count_those_with_a_label(self, results):
        del results["all_images"]
        for labelled, counts in (
            (3, "3 images, 2 of them defective"),
            (5, "5 images, 3 of them with a known mask, 2 of these defective"),
        ):
            whole = {**results["image_level"], "truth": "labels", "defective": labelled - 1, "free": 1}
            title, *_ = results_text({**results, "image_level": whole}).splitlines()
            assert title == f"SDMS on mtdd (tiles), test: {counts}; step 15, selected on validation"

    @pytest.mark.parametrize(
        ("size", "ablation", "name"),
        [("full", "", "BDMS"), ("lite", "", "BDMS lite"), ("full", "e", "BDMS (e)"), ("small", "c", "BDMS small (c)")],
    )
    def test_names_the_network(self, results, size, ablation, name):
        changed = {**results, "network": "bdms", "size": size, "ablation": ablation}
        assert results_text(changed).startswith(f"{name} on mtdd ")

    def test_rows(self, results):
        _, headers, _, *rows = (line.split() for line in results_text(results).splitlines())
        assert " ".join(headers) == "output MAE maxF MAE, defective maxF, defective IoU F1 pixel AP accuracy"
        # The first output's maps are 0 where there is a defect and 51 / 255 where there is none.
        assert rows[0][:2] == ["0", f"{(0.25 + 0.25 + 0.2) / 3:.5f}"]
        assert rows[0][-1] == f"{1 / 3:.5f}"
        assert rows[1] == ["1", "(final)", *["0.00000", "1.00000"] * 2, *["1.00000"] * 4]
        assert rows[2][:2] == ["final,", "gated"]
        assert rows[3][:3] == ["all", "black", f"{0.5 / 3:.5f}"]
        # The map decides where the head has no opinion.
        assert (rows[2][-1], rows[3][-1]) == ("1.00000", "n/a")

    def test_maps_that_err_as_much_as_black_ones_are_named(self, results):
        assert "black ones" not in results_text(results)
        worse = {**results, "mae": 0.2}
        assert "These maps err no less than black ones (MAE 0.2000 against 0.1667): train longer" in results_text(worse)
        for unknown in ({"mae": None}, {"mae": 0.2, "defective": {**results["defective"], "images": 0}}):
            assert "black ones" not in results_text({**results, **unknown})

    def test_is_the_same_from_the_file(self, results, evaluation, tmp_path):
        save_results(results, tmp_path, "test", evaluation.rows, CLASSES)
        assert results_text(load_results(tmp_path, "test")) == results_text(results)
