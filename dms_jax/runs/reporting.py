"""The page on a run: written at the end of training, and by `dms-jax report`."""

from __future__ import annotations

from contextlib import suppress
from itertools import chain
from pathlib import Path

import jax

from dms_jax.data.image_files import DEFECT_THRESHOLD
from dms_jax.errors import UserError, first_words, workdir_option
from dms_jax.evaluation.evaluator import gather_processes
from dms_jax.evaluation.report.cards import CardMaker, worst
from dms_jax.evaluation.report.gallery import Gallery
from dms_jax.evaluation.report.kinds import shown_errors
from dms_jax.evaluation.report.page import Report, write_report
from dms_jax.inference.exported.extras import is_installed
from dms_jax.runs.monitoring.metrics_file import METRICS_NAME, read_metrics
from dms_jax.runs.monitoring.run_summary import WARNINGS_NAME
from dms_jax.runs.results import results_title, run_name
from dms_jax.runs.testing import RunEvaluation, evaluate_run

REPORT_NAME = "report.html"


def report_run(
    workdir: Path,
    split: str = "test",
    output: Path | None = None,
    *,
    data_dir: str | None = None,
    manual_dir: str | None = None,
) -> tuple[RunEvaluation, Path]:
    """Score a run's best checkpoint on a split of its dataset, as `evaluate_run` does, and write a page about it.

    Args:
      workdir: of the run, finished or not.
      split: `train`, `validation` or `test`.
      output: the page's file; None for one in the work directory.
      data_dir: where prepared datasets are kept; None for where the run had it.
      manual_dir: the dataset's files as published; None for where the run had them.

    Returns:
      What it came to, and the page's file.

    Raises:
      UserError: see `evaluate_run`; or the page cannot be written.
    """
    if output is None:
        output = workdir / (REPORT_NAME if split == "test" else f"report-{split}.html")
    cards = CardMaker()
    tested = evaluate_run(workdir, split, data_dir=data_dir, manual_dir=manual_dir, observe=cards)
    write_run_report(cards, tested, workdir, output)
    return tested, output


def write_run_report(cards: CardMaker, tested: RunEvaluation, workdir: Path, output: Path) -> None:
    """Write the page of a test; every process must call it, and the first one writes.

    Args:
      cards: has observed the test, in this process.
      tested: the test.
      workdir: of the run, for its scalars.
      output: the page's file, replaced whole.

    Raises:
      UserError: a picture could not be made, or the file cannot be written.
    """
    parts = gather_processes((cards.cards(), cards.count, cards.error and first_words(cards.error)))
    if jax.process_index() != 0:
        return
    for _, _, error in parts:
        if error:
            raise UserError(f"{output} was not written ({error}): try `dms-jax report {workdir_option(workdir)}`.")
    gallery = Gallery(
        cards=tuple(worst(chain.from_iterable(own for own, _, _ in parts))),
        kinds=shown_errors(tested.evaluation.rows),
        class_names=tested.class_names,
        images=sum(count for _, count, _ in parts),
    )
    write_report(_run_report(gallery, tested, workdir), output)


def report_at_the_end(cards: CardMaker, tested: RunEvaluation, workdir: Path) -> str | None:
    """Write a finished run's page, without ever failing; every process must call it.

    Returns:
      A sentence on what went wrong; None where nothing did.
    """
    output = workdir / REPORT_NAME
    try:
        write_run_report(cards, tested, workdir, output)
    except UserError as error:
        return str(error)
    except Exception as error:  # a run of days is worth more than a page about it
        return f"{output} was not written ({first_words(error)}): try `dms-jax report {workdir_option(workdir)}`."
    return None


def next_steps(workdir: Path) -> str:
    """What to do with a finished run, a line each."""
    lines = []
    warnings = workdir / WARNINGS_NAME
    with suppress(OSError):
        count = warnings.read_bytes().count(b"\n")
        lines.append(f"Warned of before the first step: {count} thing{'s' * (count != 1)}, in {warnings}")
    report = workdir / REPORT_NAME
    if report.is_file():
        lines.append(f"Every test image, in a browser: {report}")
    lines.append(f"Predict images:  dms-jax predict {workdir_option(workdir)} --images FOLDER --output predictions")
    extra = "" if is_installed("export") else "  (first: pip install -e '.[export]')"
    lines.append(f"One-file model:  dms-jax export {workdir_option(workdir)} --output model.jaxexport{extra}")
    return "\n".join(lines)


def _run_report(gallery: Gallery, tested: RunEvaluation, workdir: Path) -> Report:
    results = tested.results
    metrics_file = workdir / METRICS_NAME
    threshold = results["operating_threshold"]
    called = f"A pixel of a map is called defective above {threshold['value']}: {threshold['note']}."
    if threshold["value"] is None:
        called = (
            f"There is no operating threshold: {threshold['note']}. Without one no map is a false alarm, and only a "
            "black one misses its defect: what is fine here has the right class, of its map that says little."
        )
    summary = [f"{results_title(results)}.", f"{called} A pixel of a mask is defective above {DEFECT_THRESHOLD}."]
    # Where validation has no mask, predictions are not gated.
    if results["gated"] is not None and tested.threshold.gated is not None:
        gated = results["gated"]["operating_threshold"]
        above = f"; called defective above {gated['value']}: {gated['note']}" if gated["value"] is not None else ""
        summary.append(
            f"Gated maps are those of `dms-jax predict`: times the probability of a defect in the image{above}. The "
            "images below are sorted by the maps as they are."
        )
    return Report(
        title=f"{run_name(results)} on {results['dataset']}",
        summary=summary,
        gallery=gallery,
        metrics=results,
        history=read_metrics(metrics_file) if metrics_file.is_file() else (),
        selected_on=results["selected_on"],
        notes=tested.notes,
    )
