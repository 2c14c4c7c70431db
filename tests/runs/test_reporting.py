"""A run's page: written at its end without ever failing, and again from its work directory."""

from dataclasses import replace
from pathlib import Path

import pytest
from example_report import example_report

from dms_jax.evaluation.report.cards import CardMaker
from dms_jax.evaluation.thresholds import given_threshold, no_threshold
from dms_jax.evaluation.totals import Evaluation
from dms_jax.inference.exported import extras
from dms_jax.runs import reporting
from dms_jax.runs.reporting import REPORT_NAME, next_steps, report_at_the_end
from dms_jax.runs.testing import RunEvaluation


@pytest.fixture(scope="module")
def tested() -> RunEvaluation:
    report = example_report()
    results = {
        "network": "bdms",
        "size": "small",
        "ablation": "",
        "dataset": "<mtdd>",
        "dataset_config": "paper",
        "split": "test",
        "selected_on": "validation",
        "best_step": 20,
        **(report.metrics or {}),
    }
    return RunEvaluation(results, Evaluation(), report.gallery.class_names, 0, given_threshold(100), ("A note.",))


def test_the_page_has_the_results_the_curves_and_the_notes(tested: RunEvaluation, tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "train/loss": 2.0}\n{"step": 2, "train/loss": 1.0}\n')
    assert report_at_the_end(CardMaker(), tested, tmp_path) is None
    page = (tmp_path / REPORT_NAME).read_text()
    for text in ("BDMS small on &lt;mtdd&gt;", "step 20, selected on validation", "map &gt; 100", "A note.", ">Loss<"):
        assert text in page
    assert f"Every test image, in a browser: {tmp_path / REPORT_NAME}" in next_steps(tmp_path)


def test_what_is_no_number_is_not_drawn(tested: RunEvaluation, tmp_path: Path) -> None:
    lines = ('{"step": 1, "train/loss": NaN}', '{"step": 2, "train/loss": "x"}', '{"step": 3, "train/loss": null}')
    (tmp_path / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    assert report_at_the_end(CardMaker(), tested, tmp_path) is None
    assert ">Loss<" not in (tmp_path / REPORT_NAME).read_text()


def test_without_a_threshold_the_page_says_why(tested: RunEvaluation, tmp_path: Path) -> None:
    none = {"value": None, "chosen_on": None, "note": "no image has a defect"}
    untold = replace(tested, results={**tested.results, "operating_threshold": none})
    assert report_at_the_end(CardMaker(), untold, tmp_path) is None
    page = (tmp_path / REPORT_NAME).read_text()
    assert "There is no operating threshold: no image has a defect. Without one no map is a false alarm" in page


def test_gated_predictions_are_announced_where_they_are_made(tested: RunEvaluation, tmp_path: Path) -> None:
    """Of a run whose validation has no mask, `gated` has an accuracy, and `dms-jax predict` does not gate."""
    gated = {"mae": None, "max_f": None, "accuracy": 0.5, "operating_threshold": {"value": None, "note": "no mask"}}
    gated["defective"] = {"mae": None, "max_f": None}
    results = {**tested.results, "gated": gated}
    for threshold, said in ((given_threshold(100), True), (no_threshold("no mask"), False)):
        assert report_at_the_end(CardMaker(), replace(tested, results=results, threshold=threshold), tmp_path) is None
        page = (tmp_path / REPORT_NAME).read_text()
        assert ("Gated maps are those of" in page) == said
        assert "gated map" in page


def test_what_goes_wrong_is_a_sentence(tested: RunEvaluation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cards = CardMaker()
    cards.error = OSError("encoder\nerror -2")
    sentence = report_at_the_end(cards, tested, tmp_path)
    assert sentence == (
        f"{tmp_path}/report.html was not written (encoder error -2): try `dms-jax report --workdir {tmp_path}`."
    )
    (tmp_path / REPORT_NAME).mkdir()
    sentence = report_at_the_end(CardMaker(), tested, tmp_path)
    assert sentence is not None
    assert sentence.startswith(f"{tmp_path}/report.html cannot be written (")
    monkeypatch.setattr(reporting, "results_title", lambda results: 1 / 0)
    sentence = report_at_the_end(CardMaker(), tested, tmp_path)
    assert sentence is not None
    assert "was not written (division by zero)" in sentence
    # No page is announced that is not there.
    assert "browser" not in next_steps(tmp_path)
    assert f"dms-jax predict --workdir {tmp_path} " in next_steps(tmp_path)
    assert "dms-jax export --workdir 'runs/my run' --output " in next_steps(Path("runs/my run"))


@pytest.mark.parametrize("installed", [True, False])
def test_the_export_that_is_proposed_works_or_says_what_it_needs(
    installed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda package: object() if installed else None)
    last = next_steps(Path("run")).splitlines()[-1]
    assert last.endswith("model.jaxexport" if installed else "model.jaxexport  (first: pip install -e '.[export]')")
