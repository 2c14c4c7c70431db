import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from dms_jax.data.pipeline import EvaluationBatch
from dms_jax.evaluation import evaluator
from dms_jax.evaluation.evaluator import OutputTotals, evaluate, merge_processes, summarise
from dms_jax.evaluation.metrics import AccuracyCount, SaliencyAverages

SIZE, OUTPUTS, CLASSES = 12, 3, 4
FIGURES = {"mae", "max_f", "threshold", "pictures", "defective", "accuracy"}


def network(images):
    """Maps and probabilities as some function of each picture; a black picture, as padding is, gets a wild answer."""
    maps, probabilities = [], []
    for image in images:
        rng = np.random.default_rng(int(image.astype(np.int64).sum()))
        maps.append(rng.integers(0, 256, (OUTPUTS, SIZE, SIZE), np.uint8))
        probabilities.append(rng.dirichlet(np.ones(CLASSES), OUTPUTS))
    return np.stack(maps), np.stack(probabilities).astype(np.float32)


def without_class_heads(images):
    maps, _ = network(images)
    return maps, np.zeros((len(images), 0, CLASSES), np.float32)


def make_pictures(count, seed=0):
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
    """In batches of `rows`, the last filled up with black, and `extra` batches without any picture."""
    for start in range(0, len(images) + extra * rows, rows):
        count = max(min(rows, len(images) - start), 0)
        padded = np.zeros((rows, SIZE, SIZE, 3), np.uint8)
        padded[:count] = images[start : start + count]
        yield EvaluationBatch(padded, masks[start : start + count], labels[start : start + count], ["name"] * count)


def slow_figures(images, masks, labels, output):
    """MAE, maxF and accuracy of one output as the field defines them, a picture and a threshold at a time."""
    errors, precisions, recalls, hits = [], [], [], []
    for image, mask, label in zip(images, masks, labels, strict=True):
        maps, probabilities = network(image[None])
        small = Image.fromarray(maps[0, output])
        found = np.asarray(small.resize(mask.shape[::-1], Image.BILINEAR)).astype(float)
        truth = mask > 127
        errors.append(np.mean(np.abs(found - mask)) / 255)
        rows = [(np.sum((found > t) & truth), np.sum(found > t)) for t in range(256)]
        precisions.append([(both + 1e-4) / (predicted + 1e-4) for both, predicted in rows])
        recalls.append([(both + 1e-4) / (np.sum(truth) + 1e-4) for both, _ in rows])
        hits.append(np.argmax(probabilities[0, output]) == label)
    p, r = np.mean(precisions, axis=0), np.mean(recalls, axis=0)
    f = 1.3 * p * r / (0.3 * p + r)
    return {"mae": np.mean(errors), "max_f": np.max(f), "threshold": np.argmax(f)}, np.mean(hits)


def assert_figures(found, expected, pictures):
    assert found["pictures"] == pictures
    assert found["mae"] == pytest.approx(expected["mae"], abs=1e-12)
    assert found["max_f"] == pytest.approx(expected["max_f"], abs=1e-12)
    assert found["threshold"] == expected["threshold"]


def numbers(totals):
    return [evaluator._pack(total) for total in totals]


class TestEvaluate:
    @pytest.mark.parametrize("rows", [1, 4, 5, 32])
    def test_agrees_with_a_slow_loop(self, rows):
        images, masks, labels = make_pictures(10)
        totals = evaluate(network, make_batches(images, masks, labels, rows))
        assert len(totals) == OUTPUTS
        defective = [i for i, mask in enumerate(masks) if (mask > 127).any()]
        assert 0 < len(defective) < len(masks) - 4
        for output, total in enumerate(totals):
            found = total.compute()
            expected, accuracy = slow_figures(images, masks, labels, output)
            assert_figures(found, expected, 10)
            assert found["accuracy"] == accuracy
            expected, _ = slow_figures(images[defective], [masks[i] for i in defective], labels[defective], output)
            assert_figures(found["defective"], expected, len(defective))

    @pytest.mark.parametrize("extra", [0, 1, 3])
    def test_padding_is_never_counted(self, extra):
        images, masks, labels = make_pictures(5)
        alone = evaluate(network, make_batches(images, masks, labels, 5))
        padded = evaluate(network, make_batches(images, masks, labels, 4, extra))
        for one, other in zip(numbers(alone), numbers(padded), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-13)
        assert padded[0].accuracy.total == padded[0].everything.pictures == 5

    def test_a_process_without_pictures(self):
        images, masks, labels = make_pictures(0)
        totals = evaluate(network, make_batches(images, masks, labels, 4, extra=2))
        assert len(totals) == OUTPUTS  # as many as in the other processes, to merge with
        assert totals[0].compute() == OutputTotals.empty().compute()

    def test_no_class_heads_no_accuracy(self):
        images, masks, labels = make_pictures(5)
        totals = evaluate(without_class_heads, make_batches(images, masks, labels, 2))
        assert [total.compute()["accuracy"] for total in totals] == [None] * OUTPUTS
        with_heads = evaluate(network, make_batches(images, masks, labels, 2))
        assert totals[1].compute() == {**with_heads[1].compute(), "accuracy": None}

    def test_no_defective_pictures_no_figures_of_them(self):
        images, masks, labels = make_pictures(4)
        masks = [np.minimum(mask, 127) for mask in masks]
        found = evaluate(network, make_batches(images, masks, labels, 2))[0].compute()
        assert found["defective"] == {"mae": None, "max_f": None, "threshold": None, "pictures": 0}
        assert found["pictures"] == 4

    def test_outputs_are_not_mixed_up(self):
        mask = np.zeros((SIZE, SIZE), np.uint8)
        images = np.ones((2, SIZE, SIZE, 3), np.uint8)

        def constant(batch):
            maps = np.broadcast_to(np.array([0, 51, 255], np.uint8)[None, :, None, None], (2, 3, SIZE, SIZE))
            return maps, np.broadcast_to(np.eye(CLASSES)[:3], (2, 3, CLASSES))

        batch = EvaluationBatch(images, [mask, mask], np.array([1, 2], np.int32), ["a", "b"])
        totals = evaluate(constant, [batch])
        assert [total.compute()["mae"] for total in totals] == [0, 0.2, 1]
        assert [total.compute()["accuracy"] for total in totals] == [0, 0.5, 0.5]

    @pytest.mark.parametrize("failing_call", [1, 2, 3])
    def test_a_failure_of_the_network_is_raised(self, failing_call):
        calls = []

        def fails(images):
            calls.append(images)
            if len(calls) == failing_call:
                raise RuntimeError("out of memory")
            return network(images)

        with pytest.raises(RuntimeError, match="out of memory"):
            evaluate(fails, make_batches(*make_pictures(6), 2))

    def test_a_failure_to_read_is_raised(self):
        def batches():
            yield from make_batches(*make_pictures(2), 1)
            raise OSError("no disk")

        with pytest.raises(OSError, match="no disk"):
            evaluate(network, batches())


class TestSummarise:
    def test_is_the_final_output_and_all_of_them(self):
        totals = evaluate(network, make_batches(*make_pictures(6), 4))
        found = summarise(totals)
        assert found.keys() == FIGURES | {"outputs"}
        assert found["outputs"] == [total.compute() for total in totals]
        assert {name: found[name] for name in FIGURES} == found["outputs"][-1] != found["outputs"][0]
        assert all(output.keys() == FIGURES for output in found["outputs"])
        assert found["defective"].keys() == FIGURES - {"defective", "accuracy"}


sums = st.floats(0, 1e6, allow_nan=False)
curves = st.integers(0, 2**32 - 1).map(lambda seed: np.random.default_rng(seed).random(256) * 1e3)
averages = st.builds(SaliencyAverages, sums, curves, curves, st.integers(0, 2**53))
accuracies = st.builds(AccuracyCount, st.integers(0, 2**53), st.integers(0, 2**53))


class TestProcesses:
    @given(st.builds(OutputTotals, averages, averages, accuracies))
    def test_packing_loses_nothing(self, total):
        found = evaluator._unpack(evaluator._pack(total))
        assert found.accuracy == total.accuracy
        assert type(found.everything.pictures) is type(found.accuracy.total) is int
        for one, other in ((found.everything, total.everything), (found.defective, total.defective)):
            assert (one.mae_sum, one.pictures) == (other.mae_sum, other.pictures)
            np.testing.assert_array_equal(one.precision_sum, other.precision_sum)
            np.testing.assert_array_equal(one.recall_sum, other.recall_sum)

    def test_one_process_has_nothing_to_merge(self):
        totals = evaluate(network, make_batches(*make_pictures(2), 2))
        assert merge_processes(totals) is totals

    def test_merged_parts_are_the_whole(self, monkeypatch):
        images, masks, labels = make_pictures(9)
        whole = evaluate(network, make_batches(images, masks, labels, 3))
        parts = [
            evaluate(network, make_batches(images[rows], masks[rows], labels[rows], 2, extra))
            for rows, extra in ((slice(0, 5), 0), (slice(5, 9), 1), (slice(9, 9), 3))
        ]
        others = [np.stack(numbers(part)).view(np.uint8) for part in parts[1:]]

        def gather(array):
            assert array.dtype == np.uint8  # JAX would round wider numbers
            return np.stack([array, *others])

        monkeypatch.setattr(evaluator.jax, "process_count", lambda: 3)
        monkeypatch.setattr(evaluator.multihost_utils, "process_allgather", gather)
        merged = merge_processes(parts[0])
        assert len(merged) == OUTPUTS
        for one, other in zip(numbers(merged), numbers(whole), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-13)
        assert merged[0].accuracy == whole[0].accuracy
        assert merged[0].everything.pictures == 9
