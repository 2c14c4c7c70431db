"""The field's metrics on the device: sums over images at 256 thresholds, as `clu.metrics` that merge.

They are those of `dms_jax.evaluation.measures.saliency` for the same 8-bit maps and masks, computed where the maps are:
nothing but the sums leaves the device. The counts of an image are exact; precision, recall and their sums are
float32, which agrees with the host's float64 to six digits.
"""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from clu import metrics

from dms_jax.data.image_files import DEFECT_THRESHOLD
from dms_jax.evaluation.measures.saliency import EPSILON, NUM_THRESHOLDS, AccuracyCount, SaliencyAverages


@flax.struct.dataclass
class SaliencySums(metrics.Metric):
    """Sums over images for each of N outputs.

    Attributes:
      mae: float32 [N], of mean |map - mask| / 255.
      precision: float32 [N, 256], at `map > t` for t in 0..255.
      recall: float32 [N, 256].
      images: int32 [].
    """

    mae: jax.Array
    precision: jax.Array
    recall: jax.Array
    images: jax.Array

    @classmethod
    def from_model_output(
        cls,
        *,
        maps: jax.Array,
        masks: jax.Array,
        has_mask: jax.Array,
        contents: jax.Array,
        valid: jax.Array,
        ignored: jax.Array | None = None,
        **_: jax.Array | None,
    ) -> "SaliencySums":
        """Sum over a batch.

        Args:
          maps: uint8 [B, N, H, W], 0..255.
          masks: uint8 [B, H, W], 0..255.
          has_mask: bool [B], which masks are known; images without one do not count.
          contents: int32 [B, 4], top, left, height and width of the part that counts; the rest is padding.
          valid: bool [B], which rows count; the others pad the batch.
          ignored: bool [B, H, W], pixels that do not count; None where all do.
        """
        inside = _inside(contents, masks.shape[1:], ignored)[:, None]
        masks = masks[:, None].astype(jnp.int32)
        maps = maps.astype(jnp.int32)
        hits, misses = _histograms(maps, masks > DEFECT_THRESHOLD, inside)
        # Pixels above t are those of the whole image less those up to t.
        true = hits.sum(-1, keepdims=True)
        pixels = true + misses.sum(-1, keepdims=True)
        true_positives = true - jnp.cumsum(hits, axis=-1)
        predicted = pixels - jnp.cumsum(hits + misses, axis=-1)
        # From 2902 x 2902 pixels on, 255 times their number is no int32 any more: rows are added up as floats.
        rows = jnp.where(inside, jnp.abs(maps - masks), 0).sum(-1, dtype=jnp.int32)
        # Where nothing counts there is no error: 0 / 0 would be that of all images.
        error = rows.astype(jnp.float32).sum(-1) / (255 * jnp.maximum(pixels[..., 0], 1).astype(jnp.float32))
        counts = valid & has_mask
        weight = counts.astype(jnp.float32)
        return cls(
            mae=jnp.einsum("b,bn->n", weight, error, precision=jax.lax.Precision.HIGHEST),
            precision=_sum_ratios(weight, true_positives, predicted),
            recall=_sum_ratios(weight, true_positives, true),
            images=counts.sum(dtype=jnp.int32),
        )

    def merge(self, other: "SaliencySums") -> "SaliencySums":
        """Return the sums over both sets of images."""
        return jax.tree.map(jnp.add, self, other)

    def compute(self) -> list[SaliencyAverages]:
        """Return each output's sums on the host, to compute metrics from."""
        mae, precision, recall = (np.asarray(x, np.float64) for x in (self.mae, self.precision, self.recall))
        images = int(self.images)
        return [SaliencyAverages(float(mae[i]), precision[i], recall[i], images) for i in range(len(mae))]


@flax.struct.dataclass
class DefectiveSums(SaliencySums):
    """The same over the images whose mask has a pixel above 127."""

    @classmethod
    def from_model_output(
        cls,
        *,
        masks: jax.Array,
        contents: jax.Array,
        valid: jax.Array,
        ignored: jax.Array | None = None,
        **outputs: jax.Array,
    ) -> "DefectiveSums":
        """Sum over the defective images of a batch; see `SaliencySums`."""
        defective = ((masks > DEFECT_THRESHOLD) & _inside(contents, masks.shape[1:], ignored)).any(axis=(1, 2))
        return super().from_model_output(
            masks=masks, contents=contents, valid=valid & defective, ignored=ignored, **outputs
        )


@flax.struct.dataclass
class LabelHits(metrics.Metric):
    """How many labels each output predicts.

    Attributes:
      correct: int32 [N]; no entries without class heads, or with a single class, which cannot be missed.
      total: int32 [].
    """

    correct: jax.Array
    total: jax.Array

    @classmethod
    def from_model_output(
        cls, *, probabilities: jax.Array, labels: jax.Array, valid: jax.Array, **_: jax.Array | None
    ) -> "LabelHits":
        """Count over a batch.

        Args:
          probabilities: float32 [B, N, K], or [B, 0, K].
          labels: int32 [B]; a negative one is unknown, and not counted.
          valid: bool [B], which rows count.
        """
        if probabilities.shape[2] == 1:
            probabilities = probabilities[:, :0]
        valid = valid & (labels >= 0)
        hits = (jnp.argmax(probabilities, axis=-1) == labels[:, None]) & valid[:, None]
        return cls(correct=hits.sum(0, dtype=jnp.int32), total=valid.sum(dtype=jnp.int32))

    def merge(self, other: "LabelHits") -> "LabelHits":
        """Return the counts of both."""
        return jax.tree.map(jnp.add, self, other)

    def compute(self) -> list[AccuracyCount]:
        """Return each output's counts on the host."""
        return [AccuracyCount(int(correct), int(self.total)) for correct in self.correct]


@flax.struct.dataclass
class NotFinite(metrics.Metric):
    """How many images a network has no numbers (NaN) for.

    Attributes:
      images: int32 [].
    """

    images: jax.Array

    @classmethod
    def from_model_output(cls, *, finite: jax.Array, valid: jax.Array, **_: jax.Array | None) -> "NotFinite":
        """Count over a batch.

        Args:
          finite: bool [B], where maps and probabilities are numbers.
          valid: bool [B], which rows count.
        """
        return cls(images=(valid & ~finite).sum(dtype=jnp.int32))

    def merge(self, other: "NotFinite") -> "NotFinite":
        """Return the count of both."""
        return jax.tree.map(jnp.add, self, other)

    def compute(self) -> int:
        """Return it on the host."""
        return int(self.images)


@flax.struct.dataclass
class EvaluationMetrics(metrics.Collection):
    """All that is measured on the device."""

    everything: SaliencySums
    defective: DefectiveSums
    accuracy: LabelHits
    not_finite: NotFinite


def device_metrics(sums: EvaluationMetrics) -> dict[str, Any]:
    """The final output's metrics, with the keys of `dms_jax.evaluation.summary_metrics`.

    Returns:
      `mae`, `max_f`, `images`, `defective` with the same, and `accuracy`, None where a metric does not exist; and
      `not_finite`, how many images there are no numbers for.
    """
    computed = sums.compute()
    final, defective = computed["everything"][-1].compute(), computed["defective"][-1].compute()
    return {
        "mae": final.mae,
        # Without a defect, precision and recall are 1 at threshold 255, whatever the map.
        "max_f": final.max_f if defective.images else None,
        "images": final.images,
        "defective": {"mae": defective.mae, "max_f": defective.max_f, "images": defective.images},
        "accuracy": computed["accuracy"][-1].compute() if computed["accuracy"] else None,
        "not_finite": computed["not_finite"],
    }


def _inside(contents: jax.Array, size: tuple[int, int], ignored: jax.Array | None) -> jax.Array:
    """Which pixels are in the part that counts, and are not ignored, bool [B, H, W]."""
    top, left, height, width = (contents[:, i, None, None] for i in range(4))
    row, column = jnp.arange(size[0])[None, :, None], jnp.arange(size[1])[None, None, :]
    inside = (row >= top) & (row < top + height) & (column >= left) & (column < left + width)
    return inside if ignored is None else inside & ~ignored


def _histograms(values: jax.Array, truth: jax.Array, inside: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Count the values 0..255 of [B, N, H, W] inside, of true pixels and of others: int32 [B, N, 256] each."""
    codes = values + NUM_THRESHOLDS * jnp.logical_not(truth)
    # What does not count has a bin of its own, which is then left out.
    codes = jnp.where(inside, codes, 2 * NUM_THRESHOLDS).reshape(*values.shape[:2], -1)

    def count(row: jax.Array) -> jax.Array:
        return jnp.bincount(row, length=2 * NUM_THRESHOLDS + 1)

    counts = jax.vmap(jax.vmap(count))(codes)
    return counts[..., :NUM_THRESHOLDS], counts[..., NUM_THRESHOLDS:-1]


def _sum_ratios(weight: jax.Array, numerator: jax.Array, denominator: jax.Array) -> jax.Array:
    """Sum (numerator + e) / (denominator + e) of [B, N, 256] over the batch, weighted."""
    ratios = (numerator + jnp.float32(EPSILON)) / (denominator + jnp.float32(EPSILON))
    return jnp.einsum("b,bnt->nt", weight, ratios, precision=jax.lax.Precision.HIGHEST)
