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
    if config.name == "sgd":
        optimizer = torch.optim.SGD(groups(params), lr=config.learning_rate, momentum=config.momentum)
    else:
        optimizer = torch.optim.AdamW(groups(params), lr=config.learning_rate, betas=(config.momentum, 0.999))
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
    history = []
    for step in range(TOTAL_STEPS):
        optimizer.zero_grad()
        function(params, torch.tensor(inputs(step)), torch.tanh).backward()
        if config.clip_norm:
            torch.nn.utils.clip_grad_norm_(jax.tree.leaves(params), config.clip_norm)
        optimizer.step()
        scheduler.step()
        history.append(jax.tree.map(lambda x: x.detach().numpy().copy(), params))
    return history


def assert_same(ours, theirs, tolerance=2e-6):
    for step, (our, their) in enumerate(zip(ours, theirs, strict=True)):
        jax.tree.map(
            lambda a, b, step=step: np.testing.assert_allclose(a, b, atol=tolerance, err_msg=f"step {step}"),
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


def test_adamw_agrees_with_torch_and_decays_kernels_alone():
    config = OptimizerConfig("adamw", learning_rate=0.02, momentum=0.8, weight_decay=0.5, warmup_steps=4)

    def groups(params):
        others = [params["backbone"]["bias"], params["norm"]["bias"], params["norm"]["scale"]]
        return [
            {"params": [params["backbone"]["kernel"]], "weight_decay": 0.5},
            {"params": others, "weight_decay": 0.0},
        ]

    def factor(step):
        return (1 - step / TOTAL_STEPS) ** 0.9 * min(1, (step + 1) / 4)

    assert_same(train(config), train_torch(config, groups, factor))


def test_adamws_multipliers_agree_with_groups_of_torch():
    config = OptimizerConfig(
        "adamw", learning_rate=0.02, weight_decay=0.5, double_bias_rate=True, backbone_multiplier=0.1
    )

    def groups(params):
        return [
            {"params": [params["backbone"]["kernel"]], "lr": 0.002, "weight_decay": 0.5},
            {"params": [params["backbone"]["bias"]], "lr": 0.004, "weight_decay": 0.0},
            {"params": [params["norm"]["scale"]], "weight_decay": 0.0},
            {"params": [params["norm"]["bias"]], "lr": 0.04, "weight_decay": 0.0},
        ]

    theirs = train_torch(config, groups, lambda step: (1 - step / TOTAL_STEPS) ** 0.9)
    # A gradient near 0 is divided by its own size: its rounding is seen.
    assert_same(train(config), theirs, 2e-5)


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_clipping_agrees_with_torch(name):
    config = OptimizerConfig(name, learning_rate=0.02, weight_decay=0.0, clip_norm=0.3)

    def groups(params):
        return [{"params": jax.tree.leaves(params), "weight_decay": 0.0}]

    clipped = train(config)
    assert_same(clipped, train_torch(config, groups, lambda step: (1 - step / TOTAL_STEPS) ** 0.9))
    whole = train(OptimizerConfig(name, learning_rate=0.02, weight_decay=0.0))
    with pytest.raises(AssertionError):
        assert_same(clipped, whole)


def test_muon_orthogonalises_kernels_and_leaves_the_rest_to_adamw():
    rng = np.random.default_rng(0)
    shapes = {"conv": {"kernel": (3, 3, 2, 8)}, "norm": {"scale": (8,), "bias": (8,)}, "prelu": {"negative_slope": ()}}
    params, gradients = (
        jax.tree.map(
            lambda shape: jnp.asarray(rng.normal(size=shape), jnp.float32),
            shapes,
            is_leaf=lambda x: isinstance(x, tuple),
        )
        for _ in range(2)
    )
    moves = {}
    for name in ("muon", "adamw"):
        optimizer = create_optimizer(OptimizerConfig(name, learning_rate=0.1, weight_decay=0.0), TOTAL_STEPS)
        moves[name], _ = optimizer.update(gradients, optimizer.init(params), params)
    ours = np.asarray(moves["muon"]["conv"]["kernel"]).reshape(18, 8)
    left, _, right = np.linalg.svd(np.asarray(gradients["conv"]["kernel"]).reshape(18, 8), full_matrices=False)
    orthogonal = -(left @ right) * 0.1 * 0.2 * np.sqrt(18)
    # Five iterations of Newton and Schulz bring the singular values into 0.7 to 1.2.
    assert np.sum(ours * orthogonal) / np.linalg.norm(ours) / np.linalg.norm(orthogonal) > 0.97
    values = np.linalg.svd(ours, compute_uv=False) / (0.1 * 0.2 * np.sqrt(18))
    assert values.min() > 0.6
    assert values.max() < 1.3
    for module, leaf in (("norm", "scale"), ("norm", "bias"), ("prelu", "negative_slope")):
        # With Nesterov's momentum, of which the first step takes 0.9 / 1.9 more.
        first = 1 + 0.9 / 1.9
        np.testing.assert_allclose(moves["muon"][module][leaf], first * moves["adamw"][module][leaf], rtol=1e-4)


def test_muon_decays_kernels_alone():
    params = jax.tree.map(jnp.asarray, parameters())
    optimizer = create_optimizer(OptimizerConfig("muon", learning_rate=0.5, weight_decay=0.1), TOTAL_STEPS)
    gradients = jax.tree.map(jnp.zeros_like, params)
    updates, _ = optimizer.update(gradients, optimizer.init(params), params)
    np.testing.assert_allclose(updates["backbone"]["kernel"], -0.05 * params["backbone"]["kernel"], rtol=1e-6)
    del updates["backbone"]["kernel"]
    assert not any(np.any(update) for update in jax.tree.leaves(updates))


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
        ("name", "adam"),
        ("clip_norm", -1.0),
        ("clip_norm", float("nan")),
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
