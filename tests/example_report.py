"""A page's contents, small, with names that would break a page that trusts them."""

from __future__ import annotations

import numpy as np

from dms_jax.evaluation.observation import ObservedImage
from dms_jax.evaluation.report.cards import CardMaker
from dms_jax.evaluation.report.gallery import Gallery
from dms_jax.evaluation.report.kinds import shown_errors
from dms_jax.evaluation.report.page import Report
from dms_jax.evaluation.scoring import score_image
from dms_jax.evaluation.summary_metrics import compute_metrics
from dms_jax.evaluation.thresholds import given_threshold
from dms_jax.evaluation.totals import collect

OUTPUTS = 3
THRESHOLD = 100
HOSTILE = "</script><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">'\"&amp;.png"
CLASS_NAMES = ("free", "crack", "<b>stain</b>\"'&")
# (name, label, predicted, largest value of the map where the defect is, beside it).
IMAGES = (
    ("missed.png", 1, 0, 0, 0),
    ("missed too.png", 2, 2, 90, 0),
    ("alarm.png", 0, 0, 0, 255),
    (HOSTILE, 1, 2, 255, 0),
    ("caf\u00e9 \udcff.png", 2, 2, 255, 255),
    ("found.png", 1, 1, 255, 0),
    ("sound.png", 0, 0, 0, 0),
)
# The same, by kind: an image may be of two.
COUNTS = {"missed": 2, "alarm": 1, "wrong": 2, "poor": 1, "fine": 2}


def example_report() -> Report:
    """A report of seven images of three classes, with three outputs each."""
    cards, scored = CardMaker(), []
    for number, (name, label, predicted, on_defect, beside) in enumerate(IMAGES):
        image = np.full((24, 32, 3), 30 * number, np.uint8)
        mask, saliency_map = np.zeros((24, 32), np.uint8), np.zeros((24, 32), np.uint8)
        saliency_map[:, 16:] = beside
        if label:
            mask[4:12, 4:12] = 255
            saliency_map[4:12, 4:12] = on_defect
        maps = tuple((saliency_map // (OUTPUTS - step)).astype(np.uint8) for step in range(OUTPUTS))
        probabilities = np.full(len(CLASS_NAMES), 0.05)
        probabilities[predicted] = 0.9
        scores = score_image(
            maps,
            mask,
            name=name,
            label=label,
            predicted=(0, label, predicted),
            probabilities=probabilities,
            free_class=0,
            threshold=THRESHOLD,
        )
        scored.append(scores)
        cards(ObservedImage(scores.row, image, mask, maps, THRESHOLD, 0, scores.predicted, probabilities))
    assert cards.error is None
    evaluation = collect(scored)
    threshold = given_threshold(THRESHOLD, OUTPUTS)
    return Report(
        title="BDMS on <mtdd>",
        summary=("7 images & 5 defects.",),
        gallery=Gallery(cards.cards(), shown_errors(evaluation.rows), CLASS_NAMES, cards.count),
        metrics=compute_metrics(evaluation, threshold, class_names=CLASS_NAMES, free_class=0),
        history=[
            {"step": 10, "train/loss": 2.0},
            {"step": 10, "validation/max_f": 0.5, "validation/mae": 0.2, "validation/accuracy": None},
            {"step": 20, "train/loss": 1.0},
            {"step": 20, "validation/max_f": 0.75, "validation/mae": 0.1, "validation/accuracy": None},
        ],
        notes=("The name <x> is odd.",),
    )
