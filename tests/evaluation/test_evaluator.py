from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from dms_jax.data.framing import Framing, crops_of, cut, join
from dms_jax.data.image_files import IGNORED
from dms_jax.data.pipeline import EvaluationBatch
from dms_jax.errors import UserError
from dms_jax.evaluation import evaluator
from dms_jax.evaluation.evaluator import evaluate, merge_processes
from dms_jax.evaluation.summary_metrics import compute_metrics
from dms_jax.evaluation.thresholds import no_threshold
from dms_jax.evaluation.totals import Evaluation

SIZE, OUTPUTS, CLASSES = 12, 3, 4
NAMES = tuple("abcd")
FRAMING = Framing(size=SIZE)


def network(images):
    """Maps and probabilities as some function of each image; a black image, as padding is, gets a wild answer."""
    maps, probabilities = [], []
    for image in images:
        rng = np.random.default_rng(int(image.astype(np.int64).sum()))
        maps.append(rng.integers(0, 256, (OUTPUTS, SIZE, SIZE), np.uint8))
        probabilities.append(rng.dirichlet(np.ones(CLASSES), OUTPUTS))
    return np.stack(maps), np.stack(probabilities).astype(np.float32), np.ones(len(images), bool)


def without_class_heads(images):
    maps, *_ = network(images)
    return maps, np.zeros((len(images), 0, CLASSES), np.float32), np.ones(len(images), bool)


def make_images(count, seed=0):
    """Images, masks of many sizes (every third empty, some grey up to 127 only) and labels."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (count, SIZE, SIZE, 3), np.uint8)
    masks = []
    for i in range(count):
        shape = rng.integers(3, 30, 2)
        masks.append([np.zeros(shape, np.uint8), rng.integers(0, 256, shape, np.uint8)][i % 3 > 0])
        if i % 7 == 4:
            masks[-1] = np.minimum(masks[-1], 127)
    return images, masks, rng.integers(0, CLASSES, count).astype(np.int32)


def make_batches(images, masks, labels, rows, extra=0):
    """In batches of `rows`, the last filled up with black, and `extra` batches without any image."""
    for start in range(0, len(images) + extra * rows, rows):
        count = max(min(rows, len(images) - start), 0)
        padded = np.zeros((rows, SIZE, SIZE, 3), np.uint8)
        padded[:count] = images[start : start + count]
        own = masks[start : start + count]
        yield EvaluationBatch(
            padded,
            [crops_of(mask.shape, FRAMING) for mask in own],
            own,
            labels[start : start + count],
            [f"{i}.png" for i in range(start, start + count)],
            np.ones(count, bool),
        )


def slow_metrics(images, masks, labels, output, ignores=False):
    """MAE, maxF and accuracy of one output as the field defines them, an image and a threshold at a time."""
    errors, precisions, recalls, hits = [], [], [], []
    for image, mask, label in zip(images, masks, labels, strict=True):
        maps, probabilities, _ = network(image[None])
        small = Image.fromarray(maps[0, output])
        found = np.asarray(small.resize(mask.shape[::-1], Image.BILINEAR)).astype(float)
        if ignores:
            counts = mask != IGNORED
            found, mask = found * counts, mask * counts
        truth = mask > 127
        errors.append(np.mean(np.abs(found - mask)) / 255)
        rows = [(np.sum((found > t) & truth), np.sum(found > t)) for t in range(256)]
        precisions.append([(both + 1e-4) / (predicted + 1e-4) for both, predicted in rows])
        recalls.append([(both + 1e-4) / (np.sum(truth) + 1e-4) for both, _ in rows])
        hits.append(np.argmax(probabilities[0, output]) == label)
    p, r = np.mean(precisions, axis=0), np.mean(recalls, axis=0)
    f = 1.3 * p * r / (0.3 * p + r)
    return {"mae": np.mean(errors), "max_f": np.max(f), "max_f_threshold": np.argmax(f)}, np.mean(hits)


def assert_metrics(found, expected, images):
    assert found["images"] == images
    assert found["mae"] == pytest.approx(expected["mae"], abs=1e-12)
    assert found["max_f"] == pytest.approx(expected["max_f"], abs=1e-12)
    assert found["max_f_threshold"] == expected["max_f_threshold"]


def outputs(evaluation):
    return compute_metrics(evaluation, no_threshold("untold"), class_names=NAMES, free_class=0)["outputs"]


def scored(predict, batches, **options):
    return evaluate(predict, batches, with_sod=False, **options)


def assert_same(one, other):
    """Two evaluations agree in all their metrics and rows."""
    metrics = [compute_metrics(each, no_threshold("untold"), class_names=NAMES, free_class=0) for each in (one, other)]
    flat = [dict(flattened(each)) for each in metrics]
    assert flat[0].keys() == flat[1].keys()
    for key, value in flat[0].items():
        assert flat[1][key] == (pytest.approx(value, rel=1e-12) if isinstance(value, float) else value), key
    assert one.rows == other.rows


def flattened(metrics, prefix=""):
    if isinstance(metrics, dict):
        for key, value in metrics.items():
            yield from flattened(value, f"{prefix}{key}.")
    elif isinstance(metrics, list):
        for index, value in enumerate(metrics):
            yield from flattened(value, f"{prefix}{index}.")
    else:
        yield prefix, metrics


class TestEvaluate:
    @pytest.mark.parametrize("rows", [1, 4, 5, 32])
    def test_agrees_with_a_slow_loop(self, rows):
        images, masks, labels = make_images(10)
        found = outputs(scored(network, make_batches(images, masks, labels, rows)))
        assert len(found) == OUTPUTS
        defective = [i for i, mask in enumerate(masks) if (mask > 127).any()]
        assert 0 < len(defective) < len(masks) - 4
        for output, metrics in enumerate(found):
            expected, accuracy = slow_metrics(images, masks, labels, output)
            assert_metrics(metrics, expected, 10)
            assert metrics["accuracy"] == accuracy
            expected, _ = slow_metrics(images[defective], [masks[i] for i in defective], labels[defective], output)
            assert_metrics(metrics["defective"], expected, len(defective))

    @pytest.mark.parametrize("ignores", [True, False])
    def test_ignored_pixels_are_neither_errors_nor_hits(self, ignores):
        images, masks, labels = make_images(9)
        for mask in masks:
            mask[::2, 1:5] = IGNORED
        batches = [replace(batch, ignores=ignores) for batch in make_batches(images, masks, labels, 4)]
        evaluation = scored(network, batches, free_class=0)
        for output, metrics in enumerate(outputs(evaluation)):
            expected, _ = slow_metrics(images, masks, labels, output, ignores)
            assert_metrics(metrics, expected, 9)
        observed = {}
        scored(network, batches, observe=lambda each: observed.update({each.row.name: each}))
        for number, (mask, row) in enumerate(zip(masks, evaluation.rows, strict=True)):
            there = observed[f"{number}.png"]
            assert row.maximum == there.maps[-1].max()
            assert (there.maps[-1][mask == IGNORED] == 0).all() == ignores
            assert (there.mask == np.where(mask == IGNORED, not ignores, mask)).all()

    def test_rows_are_those_of_the_final_output(self):
        images, masks, labels = make_images(7)
        rows = scored(network, make_batches(images, masks, labels, 3), free_class=2, threshold=90).rows
        assert [row.name for row in rows] == [f"{i}.png" for i in range(7)]
        for i, row in enumerate(rows):
            maps, probabilities, _ = network(images[i : i + 1])
            small = Image.fromarray(maps[0, -1])
            found = np.asarray(small.resize(masks[i].shape[::-1], Image.BILINEAR))
            truth, alarm = masks[i] > 127, found > 90
            assert (row.label, row.predicted) == (labels[i], np.argmax(probabilities[0, -1]))
            assert row.defect_probability == pytest.approx(1 - probabilities[0, -1, 2], abs=1e-6)
            assert (row.defective, row.maximum) == (truth.any(), found.max())
            assert row.iou == pytest.approx((truth & alarm).sum() / (truth | alarm).sum())
            assert row.f1 == pytest.approx(2 * (truth & alarm).sum() / (truth.sum() + alarm.sum()))
            assert row.mae == pytest.approx(np.mean(np.abs(found.astype(float) - masks[i])) / 255)
            assert (row.s_measure, row.weighted_f) == (None, None)

    @pytest.mark.parametrize("extra", [0, 1, 3])
    def test_padding_is_never_counted(self, extra):
        images, masks, labels = make_images(5)
        alone = scored(network, make_batches(images, masks, labels, 5))
        padded = scored(network, make_batches(images, masks, labels, 4, extra))
        assert_same(alone, padded)
        assert padded.outputs[0].accuracy.total == len(padded.rows) == 5

    def test_a_process_without_images_adds_nothing(self):
        alone = scored(network, make_batches(*make_images(0), 4, extra=2))
        some = scored(network, make_batches(*make_images(3), 4))
        assert_same(some.merge(alone), some)
        assert_same(alone.merge(some), some)

    def test_no_class_heads_no_accuracy(self):
        images, masks, labels = make_images(5)
        without = outputs(scored(without_class_heads, make_batches(images, masks, labels, 2)))
        assert [output["accuracy"] for output in without] == [None] * OUTPUTS
        with_heads = outputs(scored(network, make_batches(images, masks, labels, 2)))
        assert without == [{**output, "accuracy": None} for output in with_heads]

    def test_a_single_class_no_accuracy(self):
        images, masks, labels = make_images(5)

        def one_class(batch):
            maps, *_ = network(batch)
            return maps, np.ones((len(batch), OUTPUTS, 1), np.float32), np.ones(len(batch), bool)

        evaluation = scored(one_class, make_batches(images, masks, np.zeros_like(labels), 2))
        found = compute_metrics(evaluation, no_threshold("untold"), class_names=("crack",))
        assert [output["accuracy"] for output in found["outputs"]] == [None] * OUTPUTS
        assert found["image_level"]["confusion"] is None

    def test_no_defective_images_no_metrics_of_them(self):
        images, masks, labels = make_images(4)
        masks = [np.minimum(mask, 127) for mask in masks]
        found = outputs(scored(network, make_batches(images, masks, labels, 2)))[0]
        assert {value for key, value in found["defective"].items() if key != "images"} == {None}
        assert (found["defective"]["images"], found["images"]) == (0, 4)

    def test_outputs_are_not_mixed_up(self):
        mask = np.zeros((SIZE, SIZE), np.uint8)
        images = np.ones((2, SIZE, SIZE, 3), np.uint8)

        def constant(batch):
            maps = np.broadcast_to(np.array([0, 51, 255], np.uint8)[None, :, None, None], (2, 3, SIZE, SIZE))
            return maps, np.broadcast_to(np.eye(CLASSES)[:3], (2, 3, CLASSES)), np.ones(2, bool)

        batch = EvaluationBatch(
            images,
            [crops_of(mask.shape, FRAMING)] * 2,
            [mask, mask],
            np.array([1, 2], np.int32),
            ["a", "b"],
            np.ones(2, bool),
        )
        found = outputs(scored(constant, [batch]))
        assert [output["mae"] for output in found] == [0, 0.2, 1]
        assert [output["accuracy"] for output in found] == [0, 0.5, 0.5]

    @pytest.mark.parametrize("failing_call", [1, 2, 3])
    def test_a_failure_of_the_network_is_raised(self, failing_call):
        calls = []

        def fails(images):
            calls.append(images)
            if len(calls) == failing_call:
                raise RuntimeError("out of memory")
            return network(images)

        with pytest.raises(RuntimeError, match="out of memory"):
            evaluate(fails, make_batches(*make_images(6), 2))

    @pytest.mark.parametrize("heads", [network, without_class_heads])
    def test_an_image_without_numbers_is_named(self, heads):
        images, masks, labels = make_images(6)
        images[4] = 7

        def divides(batch):
            *answers, _ = heads(batch)
            return *answers, batch.std((1, 2, 3)) > 0

        # Padding may have none.
        evaluate(divides, make_batches(images[:3], masks[:3], labels[:3], 2))
        with pytest.raises(UserError, match=r"^4\.png cannot be scored: the network's map or .* \(NaN\)"):
            evaluate(divides, make_batches(images, masks, labels, 4))

    def test_a_failure_to_read_is_raised(self):
        def batches():
            yield from make_batches(*make_images(2), 1)
            raise OSError("no disk")

        with pytest.raises(OSError, match="no disk"):
            evaluate(network, batches())


class TestUnknown:
    def test_images_without_a_mask_count_for_the_labels_alone(self):
        images, masks, labels = make_images(6)
        (batch,) = make_batches(images, masks, labels, 6)
        batch.has_mask[2:4] = False
        known = [0, 1, 4, 5]
        (rest,) = make_batches(images[known], [masks[i] for i in known], labels[known], 4)
        found, expected = scored(network, [batch]), scored(network, [rest])
        for one, other in zip(outputs(found), outputs(expected), strict=True):
            assert {**one, "accuracy": 0} == {**other, "accuracy": 0}
        hits = [row.predicted == row.label for row in found.rows]
        assert outputs(found)[-1]["accuracy"] == np.mean(hits)
        assert [row.mae is None for row in found.rows] == [i not in known for i in range(6)]

    def test_images_without_a_label_have_no_say_in_the_accuracy(self):
        images, masks, labels = make_images(6)
        (batch,) = make_batches(images, masks, labels, 6)
        batch.labels[1:] = -1
        evaluation = scored(network, [batch])
        assert outputs(evaluation)[0]["accuracy"] in (0, 1)
        assert [row.label for row in evaluation.rows] == [labels[0], *[None] * 5]
        assert outputs(evaluation)[0]["images"] == 6


class TestObservation:
    @pytest.mark.parametrize("whole_images", [True, False])
    def test_each_image_is_shown_once_with_all_its_maps(self, whole_images):
        images, masks, labels = make_images(5)
        wholes = [np.full((*mask.shape, 3), number, np.uint8) for number, mask in enumerate(masks)]
        batches = [
            replace(batch, whole_images=wholes[start : start + 2] if whole_images else [])
            for start, batch in zip(range(0, 5, 2), make_batches(images, masks, labels, 2), strict=True)
        ]
        batches[0].has_mask[1] = False
        seen = []
        evaluation = scored(network, batches, free_class=0, threshold=99, observe=seen.append)
        seen.sort(key=lambda each: each.row.name)
        assert tuple(each.row for each in seen) == evaluation.rows
        for number, each in enumerate(seen):
            maps, probabilities, _ = network(images[[number]])
            expected = [
                join(maps[:, output], [crops_of(masks[number].shape, FRAMING)[0]], masks[number].shape)
                for output in range(OUTPUTS)
            ]
            np.testing.assert_array_equal(each.maps, expected)
            np.testing.assert_allclose(each.probabilities, probabilities[0, -1])
            assert each.predicted == tuple(probabilities[0].argmax(axis=1))
            assert each.threshold == 99
            assert (each.image is wholes[number]) if whole_images else each.image is None
        assert seen[1].mask is None
        np.testing.assert_array_equal(seen[2].mask, masks[2])

    def test_without_class_heads_there_are_no_probabilities(self):
        seen = []
        scored(without_class_heads, make_batches(*make_images(1), 1), observe=seen.append)
        assert (seen[0].predicted, seen[0].probabilities) == ((), None)


class TestTiles:
    def test_maps_are_joined_and_the_most_defective_tile_decides(self):
        framing = Framing("tiles", size=SIZE, overlap=0)
        rng = np.random.default_rng(0)
        image, mask = rng.integers(0, 256, (SIZE, 30, 3), np.uint8), rng.integers(0, 256, (SIZE, 30), np.uint8)
        crops = crops_of(mask.shape, framing)
        images = np.stack([cut(image, crop, framing) for crop in crops])
        batch = EvaluationBatch(images, [crops], [mask], np.array([1], np.int32), ["a"], np.ones(1, bool))
        (row,) = scored(network, [batch], free_class=0).rows
        maps, probabilities, _ = network(images)
        whole = join(maps[:, -1], crops, mask.shape)
        assert row.mae == pytest.approx(np.abs(whole.astype(float) - mask).mean() / 255)
        worst = np.argmin(probabilities[:, -1, 0])
        assert row.predicted == np.argmax(probabilities[worst, -1])
        assert row.defect_probability == pytest.approx(1 - probabilities[:, -1, 0].min())

    def test_without_a_free_class_the_tiles_vote(self):
        probabilities = np.array([[[0.9, 0.1]], [[0.2, 0.8]], [[0.4, 0.6]]])
        np.testing.assert_allclose(evaluator.join_classes(probabilities, None), [[0.5, 0.5]])
        np.testing.assert_allclose(evaluator.join_classes(probabilities, 0), [[0.2, 0.8]])


class TestProcesses:
    def test_one_process_has_nothing_to_merge(self):
        evaluation = scored(network, make_batches(*make_images(2), 2))
        assert merge_processes(evaluation) is evaluation

    def test_merged_parts_are_the_whole(self, monkeypatch):
        images, masks, labels = make_images(9)
        whole = scored(network, make_batches(images, masks, labels, 3))
        ranges = [(slice(0, 5), 0), (slice(5, 9), 1), (slice(9, 9), 3)]
        parts = [
            scored(network, [*make_batches(images[rows], masks[rows], labels[rows], 2, extra)])
            for rows, extra in ranges
        ]
        # What each process would send: first its size, then that many bytes and padding.
        sent = [[], [], []]
        gathers = []

        for number, part in enumerate(parts):
            own = np.frombuffer(evaluator.pickle.dumps(part), np.uint8)
            sent[number] = [np.array([own.size], np.int32), own]

        def gather(array):
            gathers.append(array)
            rows = [process[len(gathers) - 1] for process in sent]
            width = max(len(row) for row in rows)
            assert len(array) == width
            return np.stack([np.pad(row, (0, width - len(row))) for row in rows])

        monkeypatch.setattr(evaluator.jax, "process_count", lambda: 3)
        monkeypatch.setattr(evaluator.multihost_utils, "process_allgather", gather)
        merged = merge_processes(parts[0])
        np.testing.assert_array_equal(gathers[1][: sent[0][1].size], sent[0][1])
        names = [row.name for row in merged.rows]
        assert names == [f"{i}.png" for i in (*range(5), *range(4))]
        assert_same(
            Evaluation(
                merged.outputs, merged.black, merged.sod, merged.sod_defective, merged.gated, merged.painted, whole.rows
            ),
            whole,
        )
