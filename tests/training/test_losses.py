import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from dms_jax.training.losses import LossConfig, any_but, classification_loss, dms_loss, saliency_loss, unit_mean


def batch(outputs=3, num_classes=4, seed=0):
    rng = np.random.default_rng(seed)
    saliency = [rng.normal(0, 3, (2, 5, 6, 1)).astype(np.float32) for _ in range(outputs)]
    classes = [rng.normal(0, 3, (2, num_classes)).astype(np.float32) for _ in range(outputs)]
    target = (rng.random((2, 5, 6, 1)) < 0.3).astype(np.float32)
    label = rng.integers(0, num_classes, 2).astype(np.int32)
    return saliency, classes, target, label


def test_saliency_loss_by_hand():
    logits = jnp.array([0.0, 2.0, -1.0]).reshape(1, 1, 3, 1)
    target = jnp.array([1.0, 0.0, 0.0]).reshape(1, 1, 3, 1)
    expected = (math.log(2) + math.log(1 + math.exp(2)) + math.log(1 + math.exp(-1))) / 3
    assert float(saliency_loss(logits, target)) == pytest.approx(expected, rel=1e-6)


def test_classification_loss_by_hand():
    logits = jnp.array([[1.0, 0.0, -1.0], [0.0, 0.0, 0.0]])
    first = -math.log(math.exp(-1) / (math.exp(1) + 1 + math.exp(-1)))
    expected = (first + math.log(3)) / 2
    assert float(classification_loss(logits, jnp.array([2, 0]))) == pytest.approx(expected, rel=1e-6)


def test_any_class_but_one_by_hand():
    logits = jnp.array([[1.0, 0.0, -1.0], [0.0, 0.0, 0.0]])
    total = math.exp(1) + 1 + math.exp(-1)
    expected = (-math.log((math.exp(1) + 1) / total) - math.log(2 / 3)) / 2
    label = any_but(jnp.array([2, 0]))
    np.testing.assert_array_equal(any_but(label), [2, 0])
    assert int(any_but(-1)) == -1
    assert float(classification_loss(logits, label)) == pytest.approx(expected, rel=1e-6)
    # Also where the class is all but certain, in value and gradient.
    sure = jnp.array([[40.0, 0.0, 0.0]])
    value, gradient = jax.value_and_grad(classification_loss)(sure, any_but(jnp.array([0])))
    assert float(value) == pytest.approx(40 - math.log(2), rel=1e-6)
    np.testing.assert_allclose(gradient, [[1, -0.5, -0.5]], atol=1e-6)
    # One class has no other: of weight 0, and no NaN.
    alone = jax.grad(classification_loss)(jnp.array([[3.0]]), any_but(jnp.array([0])), jnp.zeros(1))
    assert float(alone[0, 0]) == 0


def test_dms_loss_by_hand():
    saliency = [jnp.zeros((1, 2, 2, 1)), jnp.full((1, 2, 2, 1), math.log(3))]  # probabilities 1/2 and 3/4
    classes = [jnp.zeros((1, 4)), jnp.array([[math.log(5), 0.0, 0.0, 0.0]])]  # 1/4 and 5/8
    config = LossConfig(saliency_weight=2.0, class_weight=0.1, output_weights=(1.0, 0.5))
    loss, metrics = dms_loss(saliency, classes, jnp.ones((1, 2, 2, 1)), jnp.array([0]), config)
    pixels = [-math.log(1 / 2), -math.log(3 / 4)]
    labels = [-math.log(1 / 4), -math.log(5 / 8)]
    expected = 1.0 * (2 * pixels[0] + 0.1 * labels[0]) + 0.5 * (2 * pixels[1] + 0.1 * labels[1])
    assert float(loss) == pytest.approx(expected, rel=1e-6)
    assert {name: float(value) for name, value in metrics.items()} == pytest.approx(
        {
            "loss": expected,
            "saliency_loss": sum(pixels) / 2,
            "class_loss": sum(labels) / 2,
            "saliency_loss/0": pixels[0],
            "saliency_loss/1": pixels[1],
        },
        rel=1e-6,
    )


@pytest.mark.parametrize("weights", [(), (0.5, 1.0, 2.0)])
def test_loss_and_gradient_agree_with_torch(weights):
    saliency, classes, target, label = batch()
    config = LossConfig(output_weights=weights)

    def loss_of(saliency, classes):
        return dms_loss(saliency, classes, jnp.asarray(target), jnp.asarray(label), config)[0]

    loss, gradients = jax.jit(jax.value_and_grad(loss_of, argnums=(0, 1)))(saliency, classes)

    torch_saliency = [torch.tensor(x, requires_grad=True) for x in saliency]
    torch_classes = [torch.tensor(x, requires_grad=True) for x in classes]
    expected = sum(
        weight
        * (
            F.binary_cross_entropy_with_logits(s, torch.tensor(target))
            + 0.01 * F.cross_entropy(c, torch.tensor(label).long())
        )
        for weight, s, c in zip(weights or (1, 1, 1), torch_saliency, torch_classes, strict=True)
    )
    expected.backward()
    assert float(loss) == pytest.approx(expected.item(), rel=1e-6)
    for ours, theirs in zip([*gradients[0], *gradients[1]], [*torch_saliency, *torch_classes], strict=True):
        np.testing.assert_allclose(ours, theirs.grad.numpy(), atol=1e-7, rtol=1e-5)


def test_without_class_heads_only_pixels_count():
    saliency, _, target, label = batch()
    loss, metrics = dms_loss(saliency, (), jnp.asarray(target), jnp.asarray(label), LossConfig())
    expected = sum(F.binary_cross_entropy_with_logits(torch.tensor(s), torch.tensor(target)) for s in saliency)
    assert float(loss) == pytest.approx(expected.item(), rel=1e-6)
    assert "class_loss" not in metrics


@pytest.mark.parametrize("logit", [1e4, -1e4])
def test_extreme_logits_stay_finite(logit):
    logits = jnp.full((1, 2, 2, 1), logit)
    target = jnp.array([0.0, 1.0, 0.0, 1.0]).reshape(1, 2, 2, 1)
    value, gradient = jax.value_and_grad(saliency_loss)(logits, target)
    assert float(value) == pytest.approx(5e3)
    wrong = (logit > 0) != (np.asarray(target) == 1)
    np.testing.assert_allclose(gradient, np.where(wrong, np.sign(logit) / 4, 0.0))

    classes = jnp.array([[logit, -logit]])
    value, gradient = jax.value_and_grad(classification_loss)(classes, jnp.array([int(logit > 0)]))
    assert float(value) == pytest.approx(2e4)
    assert bool(jnp.all(jnp.isfinite(gradient)))


def test_bfloat16_logits_are_computed_in_float32():
    saliency, classes, target, label = batch()
    saliency16 = jnp.asarray(saliency[0], jnp.bfloat16)
    classes16 = jnp.asarray(classes[0], jnp.bfloat16)
    pixel = saliency_loss(saliency16, jnp.asarray(target, jnp.bfloat16))
    labels = classification_loss(classes16, jnp.asarray(label))
    assert pixel.dtype == labels.dtype == jnp.float32
    expected_pixel = F.binary_cross_entropy_with_logits(
        torch.tensor(np.asarray(saliency16, np.float32)), torch.tensor(target)
    )
    expected_label = F.cross_entropy(torch.tensor(np.asarray(classes16, np.float32)), torch.tensor(label).long())
    assert float(pixel) == pytest.approx(expected_pixel.item(), rel=1e-6)
    assert float(labels) == pytest.approx(expected_label.item(), rel=1e-6)


def test_mismatches_are_refused():
    saliency, classes, target, label = batch()
    with pytest.raises(ValueError, match="2 weights for a network of 3 outputs"):
        dms_loss(saliency, classes, target, label, LossConfig(output_weights=(1.0, 1.0)))
    with pytest.raises(ValueError, match="2 class logits for 3"):
        dms_loss(saliency, classes[:2], target, label, LossConfig())
    with pytest.raises(ValueError, match="differ in shape"):
        saliency_loss(saliency[0], target[..., 0])


def test_weights_are_those_of_pytorch():
    saliency, classes, target, label = batch()
    rng = np.random.default_rng(1)
    pixel_weight, label_weight = rng.random(target.shape, np.float32), rng.random(len(label), np.float32)
    _, results = dms_loss(
        saliency, classes, target, label, LossConfig(), pixel_weight=pixel_weight, label_weight=label_weight
    )
    for n, logits in enumerate(saliency):
        expected = F.binary_cross_entropy_with_logits(
            torch.tensor(np.asarray(logits)), torch.tensor(target), torch.tensor(pixel_weight)
        )
        assert float(results[f"saliency_loss/{n}"]) == pytest.approx(expected.item(), rel=1e-5)
    expected = [
        (F.cross_entropy(torch.tensor(np.asarray(logits)), torch.tensor(label).long(), reduction="none").numpy())
        for logits in classes
    ]
    assert float(results["class_loss"]) == pytest.approx(np.mean([label_weight * one for one in expected]), rel=1e-5)


def test_unit_mean_makes_a_mean_one_over_what_is_known():
    known = np.array([True, False, True, False])
    values = np.array([1.0, 50.0, 3.0, np.float32(7)])
    assert float(jnp.mean(unit_mean(jnp.array(known)) * values)) == pytest.approx(2.0)
    assert unit_mean(jnp.zeros(3, bool)).tolist() == [0, 0, 0]
    assert unit_mean(jnp.ones(3, bool)).tolist() == [1, 1, 1]


def test_unknown_labels_are_never_looked_up():
    logits = jnp.array([[0.0, 2.0], [5.0, 1.0]])
    weight = jnp.array([2.0, 0.0])
    value, gradient = jax.value_and_grad(classification_loss)(logits, jnp.array([1, -1]), weight)
    assert float(value) == pytest.approx(np.log1p(np.exp(-2.0)), rel=1e-6)
    assert gradient[1].tolist() == [0, 0]
