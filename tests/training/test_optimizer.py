import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch

from dms_jax.training.optimizer import OptimizerConfig, create_optimizer, learning_rate_schedule

SHAPES = {"backbone": {"kernel": (3, 4), "bias": (4,)}, "norm": {"scale": (4,), "bias": (4,)}}
TOTAL_STEPS = 20


def parameters():
    rng = np.random.default_rng(0)
    return jax.tree.map(
        lambda shape: rng.normal(size=shape).astype(np.float32),
        SHAPES,
        is_leaf=lambda x: isinstance(x, tuple),
    )


def function(params, x, tanh):
    hidden = tanh(x @ params["backbone"]["kernel"] + params["backbone"]["bias"][None])
    return ((hidden * params["norm"]["scale"][None] + params["norm"]["bias"][None]) ** 2).mean()


def inputs(step):
    return np.random.default_rng(step + 1).normal(size=(5, 3)).astype(np.float32)


def train(config):
    """The parameters after each step."""
    params = jax.tree.map(jnp.asarray, parameters())
    optimizer = create_optimizer(config, TOTAL_STEPS)
    state = optimizer.init(params)

    @jax.jit
    def update(params, state, x):
        gradients = jax.grad(function)(params, x, jnp.tanh)
        updates, state = optimizer.update(gradients, state, params)
        return optax.apply_updates(params, updates), state

    history = []
    for step in range(TOTAL_STEPS):
        params, state = update(params, state, inputs(step))
        history.append(params)
    return history


def train_torch(config, groups, factor):
    """The same in PyTorch; `groups` makes the parameter groups, `factor` a step's share of the full rate."""
    params = jax.tree.map(lambda x: torch.nn.Parameter(torch.tensor(x)), parameters())
    optimizer = torch.optim.SGD(groups(params), lr=config.learning_rate, momentum=config.momentum)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
    history = []
    for step in range(TOTAL_STEPS):
        optimizer.zero_grad()
        function(params, torch.tensor(inputs(step)), torch.tanh).backward()
        optimizer.step()
        scheduler.step()
        history.append(jax.tree.map(lambda x: x.detach().numpy().copy(), params))
    return history


def assert_same(ours, theirs):
    for step, (our, their) in enumerate(zip(ours, theirs, strict=True)):
        jax.tree.map(
            lambda a, b, step=step: np.testing.assert_allclose(a, b, atol=2e-6, err_msg=f"step {step}"),
            our,
            their,
        )


# The rate and the decay are large, so that twenty steps show them far above the tolerance.
@pytest.mark.parametrize("momentum", [0.9, 0.0])
def test_steps_agree_with_torch(momentum):
    config = OptimizerConfig(learning_rate=0.1, momentum=momentum, weight_decay=0.05)

    def groups(params):
        return [{"params": jax.tree.leaves(params), "weight_decay": 0.05}]

    assert_same(train(config), train_torch(config, groups, lambda step: (1 - step / TOTAL_STEPS) ** 0.9))


def test_warmup_agrees_with_torch():
    config = OptimizerConfig(learning_rate=0.1, weight_decay=0.05, power=2.0, warmup_steps=4)

    def groups(params):
        return [{"params": jax.tree.leaves(params), "weight_decay": 0.05}]

    def factor(step):
        return (1 - step / TOTAL_STEPS) ** 2 * min(1, (step + 1) / 4)

    assert_same(train(config), train_torch(config, groups, factor))


def test_double_bias_rate_agrees_with_two_groups_of_torch():
    config = OptimizerConfig(learning_rate=0.05, weight_decay=0.05, double_bias_rate=True)

    def groups(params):
        biases = [params["backbone"]["bias"], params["norm"]["bias"]]
        others = [params["backbone"]["kernel"], params["norm"]["scale"]]
        return [{"params": biases, "lr": 0.1}, {"params": others, "weight_decay": 0.05}]

    assert_same(train(config), train_torch(config, groups, lambda step: (1 - step / TOTAL_STEPS) ** 0.9))


@pytest.mark.parametrize("multiplier", [0.1, 0.0])
def test_the_backbone_multiplier_agrees_with_groups_of_torch(multiplier):
    config = OptimizerConfig(
        learning_rate=0.05, weight_decay=0.05, double_bias_rate=True, backbone_multiplier=multiplier
    )

    def groups(params):
        rate = 0.05 * multiplier
        return [
            {"params": [params["backbone"]["kernel"]], "lr": rate, "weight_decay": 0.05},
            {"params": [params["backbone"]["bias"]], "lr": 2 * rate},
            {"params": [params["norm"]["scale"]], "weight_decay": 0.05},
            {"params": [params["norm"]["bias"]], "lr": 0.1},
        ]

    assert_same(train(config), train_torch(config, groups, lambda step: (1 - step / TOTAL_STEPS) ** 0.9))


def test_decay_reaches_every_parameter():
    params = jax.tree.map(jnp.asarray, parameters())
    optimizer = create_optimizer(OptimizerConfig(learning_rate=0.5, weight_decay=0.1), TOTAL_STEPS)
    gradients = jax.tree.map(jnp.zeros_like, params)
    updates, _ = optimizer.update(gradients, optimizer.init(params), params)
    jax.tree.map(lambda u, p: np.testing.assert_allclose(u, -0.05 * p, rtol=1e-6), updates, params)


def test_schedule_is_the_polynomial_and_zero_past_the_end():
    schedule = learning_rate_schedule(OptimizerConfig(), 20_000)
    for step in (0, 1, 5000, 10_000, 19_999):
        assert float(schedule(step)) == pytest.approx(1e-3 * (1 - step / 20_000) ** 0.9, rel=1e-5)
        assert float(jax.jit(schedule)(jnp.int32(step))) == pytest.approx(float(schedule(step)), rel=1e-5)
    assert float(schedule(0)) == pytest.approx(1e-3)
    for step in (20_000, 20_001, 10**6):
        assert float(jax.jit(schedule)(jnp.int32(step))) == 0.0


def test_warmup_rises_linearly_to_the_polynomial():
    schedule = learning_rate_schedule(OptimizerConfig(learning_rate=1.0, warmup_steps=10), 100)
    for step in range(100):
        expected = (1 - step / 100) ** 0.9 * min(1, (step + 1) / 10)
        assert float(schedule(jnp.int32(step))) == pytest.approx(expected, rel=1e-5)


def test_power_zero_keeps_the_rate():
    schedule = learning_rate_schedule(OptimizerConfig(power=0.0), 10)
    assert [float(schedule(step)) for step in (0, 5, 9)] == pytest.approx([1e-3] * 3)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("learning_rate", 0.0),
        ("momentum", 1.0),
        ("weight_decay", -1e-4),
        ("power", -1.0),
        ("warmup_steps", -1),
        ("backbone_multiplier", -0.1),
    ],
)
def test_values_out_of_range_are_refused_by_name(field, value):
    with pytest.raises(ValueError, match=field):
        OptimizerConfig(**{field: value})


def test_a_run_of_no_steps_is_refused():
    with pytest.raises(ValueError, match="total_steps"):
        create_optimizer(OptimizerConfig(), 0)
