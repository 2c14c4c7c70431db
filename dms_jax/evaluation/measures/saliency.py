"""Saliency and classification measures on 8-bit maps, in the convention of SalMetric (and of R3Net).

A map and its mask are uint8 images of the same size. Nothing is normalised: a map that peaks at 3 is
scored as one that peaks at 3. The truth is `mask > 127`; for every threshold t in 0..255 the prediction is
`map > t`. With e = 1e-4, each image has

    P(t) = (TP(t) + e) / (predicted(t) + e),    R(t) = (TP(t) + e) / (true + e),

P and R are averaged over the images for each t, and F(t) = (1 + beta^2) P R / (beta^2 P + R), beta^2 = 0.3,
is computed from the averages; maxF is the largest. MAE is the mean over images of mean |map - mask| / 255
against the mask as stored, grey edges included.

Under this convention an empty map of an image without defects has P = R = 1 at every threshold, so a
detector that never fires scores well wherever most images are free of defects: keep a second average, of
the defective images alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from dms_jax.data.image_files import DEFECT_THRESHOLD

NUM_THRESHOLDS = 256
EPSILON = 1e-4
BETA2 = 0.3


@dataclass(frozen=True, eq=False)
class ImageScores:
    """The scores of one map against its mask; the field's metrics are averages of these.

    Attributes:
      mae: mean |map - mask| / 255, in 0..1, against the mask as stored.
      true_positives: int64 [256], pixels with `map > t` and `mask > 127`, for t in 0..255.
      predicted: int64 [256], pixels with `map > t`.
      true: pixels with `mask > 127`.
      pixels: of the image.
    """

    mae: float
    true_positives: NDArray[np.int64]
    predicted: NDArray[np.int64]
    true: int
    pixels: int

    @property
    def defective(self) -> bool:
        """Whether the mask has a pixel above 127."""
        return self.true > 0

    @property
    def precision(self) -> NDArray[np.float64]:
        """(TP + e) / (predicted + e) at each threshold, float64 [256]; 1 where nothing is predicted."""
        return (self.true_positives + EPSILON) / (self.predicted + EPSILON)

    @property
    def recall(self) -> NDArray[np.float64]:
        """(TP + e) / (true + e) at each threshold, float64 [256]; 1 where the mask is empty."""
        return (self.true_positives + EPSILON) / (self.true + EPSILON)

    @property
    def maximum(self) -> int:
        """The map's largest value, 0..255."""
        return int(np.count_nonzero(self.predicted))

    def iou(self, threshold: int) -> float | None:
        """Return TP / (predicted + true - TP) at one threshold; None if prediction and truth are empty."""
        union = int(self.predicted[threshold] + self.true - self.true_positives[threshold])
        return int(self.true_positives[threshold]) / union if union else None

    def f1(self, threshold: int) -> float | None:
        """Return 2 TP / (predicted + true) at one threshold (Dice); None if prediction and truth are empty."""
        both = int(self.predicted[threshold]) + self.true
        return 2 * int(self.true_positives[threshold]) / both if both else None


def score_map(saliency_map: NDArray[np.uint8], mask: NDArray[np.uint8]) -> ImageScores:
    """Score one saliency map against its mask.

    Args:
      saliency_map: uint8 [H, W], 0..255; see `resize_map` to bring it to the mask's size.
      mask: uint8 [H, W], 0..255, as stored.

    Raises:
      ValueError: either is not uint8 or not two-dimensional, their sizes differ, or they have no pixels.
    """
    _check_image("saliency_map", saliency_map)
    _check_image("mask", mask)
    if saliency_map.shape != mask.shape:
        raise ValueError(f"saliency_map is {saliency_map.shape} but mask is {mask.shape}: resize the map first")

    truth = mask > DEFECT_THRESHOLD
    difference = np.abs(saliency_map.astype(np.int16) - mask)
    return ImageScores(
        mae=int(difference.sum(dtype=np.int64)) / (255 * mask.size),
        true_positives=_count_above(saliency_map[truth]),
        predicted=_count_above(saliency_map.ravel()),
        true=int(np.count_nonzero(truth)),
        pixels=mask.size,
    )


def score_black_map(mask: NDArray[np.uint8]) -> ImageScores:
    """Score the map that is black everywhere, as a detector that never fires would be.

    Args:
      mask: uint8 [H, W], 0..255, as stored.

    Raises:
      ValueError: as `score_map`.
    """
    _check_image("mask", mask)
    nothing = np.zeros(NUM_THRESHOLDS, np.int64)
    return ImageScores(
        mae=int(mask.sum(dtype=np.int64)) / (255 * mask.size),
        true_positives=nothing,
        predicted=nothing,
        true=int(np.count_nonzero(mask > DEFECT_THRESHOLD)),
        pixels=mask.size,
    )


def resize_map(saliency_map: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Resize a map to a mask's size by Pillow's bilinear filter (which averages when it shrinks).

    Args:
      saliency_map: uint8 [h, w], 0..255.
      size: the mask's (H, W).

    Returns:
      uint8 [H, W]; the map itself where it has that size already.

    Raises:
      ValueError: the map is not uint8 or not two-dimensional, or a side is not positive.
    """
    _check_image("saliency_map", saliency_map)
    height, width = size
    if height < 1 or width < 1:
        raise ValueError(f"size is {size}: both sides must be positive")
    if saliency_map.shape == (height, width):
        return saliency_map
    return np.array(Image.fromarray(saliency_map).resize((width, height), Image.Resampling.BILINEAR))


def f_measure(precision: ArrayLike, recall: ArrayLike, beta2: float = BETA2) -> NDArray[np.float64]:
    """Return (1 + beta^2) P R / (beta^2 P + R), elementwise, in 0..1; 0 where both are 0.

    Args:
      precision: any shape, 0..1.
      recall: of a shape that broadcasts with it, 0..1.
      beta2: beta squared; 0.3 weighs precision over recall (Achanta et al., CVPR 2009).
    """
    precision, recall = np.broadcast_arrays(np.asarray(precision, np.float64), np.asarray(recall, np.float64))
    denominator = beta2 * precision + recall
    numerator = (1 + beta2) * precision * recall
    return np.divide(numerator, denominator, out=np.zeros_like(denominator), where=denominator > 0)


@dataclass(frozen=True)
class SaliencyResult:
    """The field's metrics over a set of images.

    Attributes:
      mae: mean absolute error, 0..1, lower is better; None over no images.
      max_f: the largest F-measure over the thresholds, 0..1; None over no images.
      max_f_threshold: the (first) t that reaches it, 0..255: predict `map > t`; None over no images. It was found on
        the very images that it is applied to, so it is no operating threshold.
      images: how many images were averaged.
    """

    mae: float | None
    max_f: float | None
    max_f_threshold: int | None
    images: int


@dataclass(frozen=True, eq=False)
class SaliencyAverages:
    """Running sums over images; `add` and `merge` return new ones.

    Example:
      >>> averages = SaliencyAverages.empty()
      >>> averages.compute()
      SaliencyResult(mae=None, max_f=None, max_f_threshold=None, images=0)
      >>> image = np.array([[0, 255]], np.uint8)
      >>> averages.add(score_map(image, image)).compute()
      SaliencyResult(mae=0.0, max_f=1.0, max_f_threshold=0, images=1)
    """

    mae_sum: float
    precision_sum: NDArray[np.float64]
    recall_sum: NDArray[np.float64]
    images: int

    @classmethod
    def empty(cls) -> SaliencyAverages:
        """Return the sums over no images."""
        return cls(0.0, np.zeros(NUM_THRESHOLDS), np.zeros(NUM_THRESHOLDS), 0)

    def add(self, scores: ImageScores) -> SaliencyAverages:
        """Return these sums with one image more."""
        return self.merge(SaliencyAverages(scores.mae, scores.precision, scores.recall, 1))

    def merge(self, other: SaliencyAverages) -> SaliencyAverages:
        """Return the sums over both sets of images, as when two processes scored a part each."""
        return SaliencyAverages(
            mae_sum=self.mae_sum + other.mae_sum,
            precision_sum=self.precision_sum + other.precision_sum,
            recall_sum=self.recall_sum + other.recall_sum,
            images=self.images + other.images,
        )

    def precision_recall(self) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
        """Return the averaged P and R at each threshold, float64 [256] each, or None over no images."""
        if not self.images:
            return None
        return self.precision_sum / self.images, self.recall_sum / self.images

    def f_curve(self, beta2: float = BETA2) -> NDArray[np.float64] | None:
        """Return F of the averaged P and R at each threshold, float64 [256], or None over no images."""
        curves = self.precision_recall()
        return None if curves is None else f_measure(*curves, beta2)

    def compute(self) -> SaliencyResult:
        """Return the metrics; every one is None over no images, as there is nothing to measure."""
        curve = self.f_curve()
        if curve is None:
            return SaliencyResult(mae=None, max_f=None, max_f_threshold=None, images=0)
        threshold = int(np.argmax(curve))
        return SaliencyResult(self.mae_sum / self.images, float(curve[threshold]), threshold, self.images)


@dataclass(frozen=True)
class AccuracyCount:
    """The share of labels that were predicted; `add` and `merge` return new counts."""

    correct: int = 0
    total: int = 0

    def add(self, predicted: ArrayLike, labels: ArrayLike) -> AccuracyCount:
        """Return the counts with more predictions, both integers of one shape: a scalar, or [B].

        Raises:
          ValueError: the shapes differ, or either is not of integers (logits, for instance).
        """
        predicted, labels = np.asarray(predicted), np.asarray(labels)
        if predicted.shape != labels.shape:
            raise ValueError(f"predicted is {predicted.shape} but labels is {labels.shape}")
        for name, array in (("predicted", predicted), ("labels", labels)):
            if array.size and not np.issubdtype(array.dtype, np.integer):
                raise ValueError(f"{name} must be class numbers, not {array.dtype}")
        return self.merge(AccuracyCount(int(np.count_nonzero(predicted == labels)), labels.size))

    def merge(self, other: AccuracyCount) -> AccuracyCount:
        """Return the counts of both."""
        return AccuracyCount(self.correct + other.correct, self.total + other.total)

    def compute(self) -> float | None:
        """Return correct / total, in 0..1, or None of no labels."""
        return self.correct / self.total if self.total else None


def _check_image(name: str, image: NDArray) -> None:
    if image.dtype != np.uint8:
        raise ValueError(f"{name} must be uint8, 0..255, not {image.dtype}")
    if image.ndim != 2 or not image.size:
        raise ValueError(f"{name} must be [H, W] with at least one pixel, not {image.shape}")


def _count_above(values: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Count the values above t for each t in 0..255, in one pass."""
    histogram = np.bincount(values, minlength=NUM_THRESHOLDS)
    return values.size - np.cumsum(histogram)
