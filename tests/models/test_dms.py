"""Shapes, exact parameter counts, schedules, priors and other backbones."""

import math
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import twins
from drawn_state import drawn_state

from dms_jax.models import BDMS, DMS, SDMS
from dms_jax.models.dms import NETWORKS, SIZES
from dms_jax.models.refinement import RefinementStep
from dms_jax.models.resnext import BACKBONES, Bottleneck, ResNeXt
from dms_jax.ops.resize import resize_aligned
from dms_jax.runtime.devices import data_mesh, replicate, shard_batch
from dms_jax.training.augment import AugmentConfig
from dms_jax.training.losses import LossConfig
from dms_jax.training.optimizer import OptimizerConfig, create_optimizer
from dms_jax.training.step import make_train_step

COUNTS = {
    ("sdms", ""): 65_431_141,
    ("sdms", "a"): 56_675_941,
    ("sdms", "b"): 65_421_907,
    ("sdms", "c"): 66_481_002,
    ("sdms", "d"): 56_675_941,
    ("sdms", "e"): 65_428_837,
    ("sdms", "baseline"): 56_669_011,
    ("bdms", ""): 75_327_874,
    ("bdms", "a"): 59_193_730,
    ("bdms", "b"): 75_309_406,
    ("bdms", "c"): 76_377_735,
    ("bdms", "d"): 59_193_730,
    ("bdms", "e"): 75_322_114,
    ("bdms", "baseline"): 59_178_718,
}
SIZE_COUNTS = {
    ("sdms", "lite"): 58_314_341,
    ("bdms", "lite"): 62_011_778,
    ("sdms", "medium"): 29_278_693,
    ("bdms", "medium"): 30_205_826,
    ("sdms", "small"): 901_461,
    ("bdms", "small"): 960_466,
}
TINY: dict[str, Any] = {
    "num_classes": 3,
    "stage_sizes": (1, 1, 1, 1),
    "groups": 2,
    "width_per_group": 32,
    "base_channels": 8,
    "side_channels": 8,
    "residual_channels": 4,
}


def shapes_of(model: DMS, size: tuple[int, int]) -> Any:
    images = jax.ShapeDtypeStruct((2, *size, 3), jnp.float32)
    return jax.eval_shape(lambda x: model.init(jax.random.key(0), x, train=False), images)


def initialise(model: DMS, images: Any) -> Any:
    return jax.jit(lambda x: model.init_with_output(jax.random.key(0), x, train=False))(images)


def initial_variables(images: Any, *models: DMS) -> Any:
    """Those of each model, with one key; in one program, whose equal draws are compiled once."""
    return jax.jit(lambda x: [model.init(jax.random.key(1), x, train=False) for model in models])(images)


def drawn(model: DMS, images: Any) -> Any:
    """Variables of any values: to compile their initialisation takes longer than the network."""
    return jax.tree.map(jnp.float32, twins.random_variables(model, images))


def applied(model: DMS, images: Any) -> Any:
    """What the network makes of images, and the drawn variables that it has."""
    variables = drawn(model, images)
    return jax.jit(lambda v, x: model.apply(v, x, train=False))(variables, images), variables


def count(variables: Any, prefix: str = "") -> int:
    leaves = jax.tree_util.tree_leaves_with_path(variables["params"])
    return sum(math.prod(leaf.shape) for path, leaf in leaves if path[0].key.startswith(prefix))


@pytest.mark.parametrize(("name", "ablation"), COUNTS)
def test_parameter_counts(name: str, ablation: str) -> None:
    model = NETWORKS[name](num_classes=6, ablation=ablation)
    variables = shapes_of(model, (300, 300))
    assert count(variables) == COUNTS[name, ablation]
    assert count(variables, "backbone") == 42_128_704


@pytest.mark.parametrize(("name", "size"), SIZE_COUNTS)
def test_parameter_counts_of_the_other_sizes(name: str, size: str) -> None:
    assert count(shapes_of(NETWORKS[name](num_classes=6, **SIZES[size]), (300, 300))) == SIZE_COUNTS[name, size]


def test_weights_of_an_imagenet_backbone_fit_the_medium_size() -> None:
    medium, named = (BDMS(num_classes=6, **fields) for fields in (SIZES["medium"], BACKBONES["resnext50_32x4d"]))
    shapes = [shapes_of(model, (64, 64))["params"]["backbone"] for model in (medium, named)]
    assert shapes[0] == shapes[1]


def test_parameters_do_not_depend_on_the_size_of_the_images() -> None:
    model = BDMS(**TINY)
    expected = shapes_of(model, (300, 300))
    for size in ((8, 8), (31, 64), (161, 193)):
        assert shapes_of(model, size) == expected


@pytest.mark.parametrize("size", [(300, 300), (161, 193), (33, 70)])
def test_shapes(size: tuple[int, int]) -> None:
    model = BDMS(num_classes=6)
    images = jax.ShapeDtypeStruct((2, *size, 3), jnp.float32)
    output = jax.eval_shape(lambda v, x: model.apply(v, x, train=False), shapes_of(model, size), images)
    assert [s.shape for s in output.saliency] == [(2, *size, 1)] * 6
    assert [c.shape for c in output.classes] == [(2, 6)] * 6
    assert all(x.dtype == jnp.float32 for x in (*output.saliency, *output.classes))

    def at(stride: int) -> tuple[int, int]:
        return (-(-size[0] // stride), -(-size[1] // stride))

    expected = {
        "L0": (at(4), 64),
        "L1": (at(4), 256),
        "L2": (at(8), 512),
        "L3": (at(16), 1024),
        "L4": (at(32), 2048),
        "LF": (at(4), 256),
        "MF": (at(8), 256),
        "HF": (at(16), 256),
        "F0": (at(8), 256),
        "F1": (at(4), 512),
        "F2": (at(4), 768),
        "F3": (at(4), 256),
        "F4": (at(4), 512),
        "F5": (at(4), 768),
    }
    assert {k: (v.shape[1:3], v.shape[3]) for k, v in output.features.items()} == expected


def test_bfloat16_computes_in_bfloat16_and_answers_in_float32() -> None:
    model = SDMS(**TINY, dtype=jnp.bfloat16)
    images = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)
    output, variables = jax.eval_shape(lambda x: model.init_with_output(jax.random.key(0), x, train=False), images)
    assert {x.dtype for x in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
    assert {x.dtype for x in output.features.values()} == {jnp.dtype("bfloat16")}
    assert {x.dtype for x in (*output.saliency, *output.classes)} == {jnp.dtype("float32")}


def test_a_schedule_is_the_whole_difference_between_the_networks() -> None:
    schedule = ("HF", "MF", "LF")
    assert shapes_of(DMS(**TINY, schedule=schedule), (64, 64)) == shapes_of(SDMS(**TINY), (64, 64))


@pytest.mark.parametrize(
    "schedule",
    [
        ("HF", "MF", "LF", "reset LF", "MF", "HF", "reset HF", "MF", "LF"),
        ("HF", "LF"),
        ("LF", "HF"),
        ("MF", "reset MF", "LF"),
    ],
)
def test_other_schedules_run(schedule: tuple[str, ...]) -> None:
    model = DMS(**TINY, schedule=schedule)
    images = jnp.ones((1, 41, 56, 3))
    output, variables = applied(model, images)
    assert [s.shape for s in output.saliency] == [(1, 41, 56, 1)] * len(schedule)
    assert sorted(k for k in variables["params"] if k.startswith("step")) == [f"step{i}" for i in range(len(schedule))]


def test_the_steps_run_by_hand_are_the_network() -> None:
    model = BDMS(**TINY)
    (images,) = twins.drawn_single((2, 47, 64, 3))
    output, variables = applied(model, images)
    f = output.features
    fields = {"num_classes": 3, "residual_channels": 4}
    loop = [
        (RefinementStep(**fields, transition="transposed"), f["HF"], f["MF"].shape[1:3]),
        (RefinementStep(**fields, transition="transposed"), f["MF"], f["LF"].shape[1:3]),
        (RefinementStep(**fields), f["LF"], None),
        (RefinementStep(**fields, reset=True), f["LF"], None),
        (RefinementStep(**fields), f["MF"], None),
        (RefinementStep(**fields), f["HF"], None),
    ]
    state = None
    for i, (step, side, size) in enumerate(loop):
        weights = {collection: tree[f"step{i}"] for collection, tree in variables.items() if f"step{i}" in tree}
        state, result = step.apply(weights, state, side, size, train=False)
        np.testing.assert_allclose(state.feature, f[f"F{i}"], rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(result.classes, output.classes[i], rtol=1e-5, atol=1e-5)
        saliency = resize_aligned(result.saliency, images.shape[1:3])
        np.testing.assert_allclose(saliency, output.saliency[i], rtol=1e-5, atol=1e-6 * np.abs(saliency).max())


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"ablation": "f"}, "ablation='f'"),
        ({"class_pooling": "max"}, "class_pooling='max'"),
        ({"feature_growth": "grow"}, "feature_growth='grow'"),
        ({"schedule": ()}, "at least one step"),
        ({"schedule": ("XF",)}, "'XF'"),
        ({"schedule": ("reset HF", "MF")}, "nothing to reset"),
        ({"num_classes": 0}, "num_classes=0"),
        ({"frozen_statistics": "head"}, "frozen_statistics='head'"),
        ({"width_per_group": 4}, "base_channels=8 and width_per_group=4"),
    ],
)
def test_values_that_are_not_known_are_refused(fields: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BDMS(**{**TINY, **fields})


@pytest.mark.parametrize("frozen", ["backbone", "all"])
def test_frozen_statistics_are_used_in_training_and_stay(frozen: str) -> None:
    model = SDMS(**TINY, frozen_statistics=frozen)
    images = twins.drawn_single((2, 48, 48, 3))[0] + 1
    expected, variables = applied(model, images)
    output, updates = jax.jit(lambda v: model.apply(v, images, train=True, mutable=["batch_stats"]))(variables)
    moved = {
        path[0].key
        for path, same in jax.tree_util.tree_leaves_with_path(
            jax.tree.map(np.array_equal, updates["batch_stats"], variables["batch_stats"])
        )
        if not same
    }
    heads = {"side_lf", "side_mf", "side_hf", "step0", "step1", "step2"}
    assert moved == (heads if frozen == "backbone" else set())
    for name, feature in output.features.items():
        agrees = np.allclose(feature, expected.features[name], rtol=1e-4, atol=1e-5)
        assert agrees == (frozen == "all" or (name.startswith("L") and name != "LF")), name


def test_remat_keeps_less_for_the_same_gradients_and_statistics() -> None:
    (images,) = twins.drawn_single((2, 48, 48, 3))
    fields = {**TINY, "schedule": ("HF", "reset MF")}
    variables = drawn(SDMS(**fields), images)

    def measured(remat: bool) -> tuple[Any, Any, int, int]:
        model = SDMS(**fields, remat=remat)

        def loss(params: Any, images: Any) -> Any:
            output, updates = model.apply({**variables, "params": params}, images, train=True, mutable=["batch_stats"])
            return sum(jnp.mean(s**2) for s in output.saliency) + sum(jnp.mean(c**2) for c in output.classes), updates

        # The function that computes the gradient holds what the forward pass keeps for it: of larger images than
        # these, mostly maps.
        kept = jax.eval_shape(
            lambda params, images: jax.vjp(partial(loss, images=images), params, has_aux=True)[1],
            variables["params"],
            jax.ShapeDtypeStruct((8, 96, 96, 3), jnp.float32),
        )
        compiled = jax.jit(jax.grad(loss, has_aux=True)).lower(variables["params"], images).compile()
        gradients, statistics = compiled(variables["params"], images)
        return gradients, statistics, _bytes(kept), _temporary(compiled)

    expected, expected_statistics, kept, temporary = measured(False)
    found, statistics, kept_by_remat, temporary_of_remat = measured(True)
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5), found, expected)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), statistics, expected_statistics)
    assert kept_by_remat < 0.5 * kept
    # On a CPU, the XLA of earlier versions takes the second computation for the first, and keeps its results.
    if jax.__version_info__ >= (0, 12):
        assert temporary_of_remat < 0.8 * temporary


def _bytes(tree: Any) -> int:
    return sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(tree))


def _temporary(compiled: jax.stages.Compiled) -> int:
    """The memory, in bytes, that a program needs besides its arguments and results."""
    return compiled.memory_analysis().temp_size_in_bytes


def test_gradients_reach_every_parameter_through_the_summed_loss() -> None:
    model = BDMS(**TINY)
    (images,) = twins.drawn_single((2, 48, 48, 3))
    variables = drawn(model, images)

    @jax.jit
    def gradient(params: Any) -> Any:
        def loss(params: Any) -> Any:
            output, _ = model.apply({**variables, "params": params}, images, train=True, mutable=["batch_stats"])
            return sum(jnp.mean(s**2) for s in output.saliency) + sum(jnp.mean(c**2) for c in output.classes)

        return jax.grad(loss)(params)

    for path, leaf in jax.tree_util.tree_leaves_with_path(gradient(variables["params"])):
        assert np.isfinite(leaf).all()
        assert np.abs(leaf).max() > 0, jax.tree_util.keystr(path)


def test_each_output_has_a_head_of_its_own() -> None:
    """The loss of output i alone moves its own residual block and class head, and no later one."""
    model = BDMS(**TINY)
    (images,) = twins.drawn_single((2, 48, 48, 3))
    variables = drawn(model, images)

    @jax.jit
    def gradients(params: Any) -> Any:
        def losses(params: Any) -> Any:
            output = model.apply({**variables, "params": params}, images, train=False)
            pairs = zip(output.saliency, output.classes, strict=True)
            return jnp.stack([jnp.mean(s**2) + jnp.mean(c**2) for s, c in pairs])

        return jax.jacrev(losses)(params)

    result = gradients(variables["params"])
    for step in range(6):
        heads = {"classes": result[f"step{step}"]["classes"]}
        heads["map"] = result[f"step{step}"]["residual" if step else "saliency"]
        for name, head in heads.items():
            sizes = np.max([np.abs(leaf).reshape(6, -1).max(axis=1) for leaf in jax.tree.leaves(head)], axis=0)
            assert sizes[step] > 0, (step, name)
            assert (sizes[:step] == 0).all(), (step, name)


class Strided(nn.Module):
    """A backbone of another kind, with Flax's own layers. Their names are such as would be folded elsewhere."""

    channels: int = 4
    normalises: bool = True

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool) -> tuple[jax.Array, ...]:
        x = nn.Conv(self.channels, (4, 4), strides=4, name="conv0")(images)
        maps = [x]
        for level, stride in enumerate((1, 2, 2, 2), 1):
            x = nn.Conv(self.channels * level, (3, 3), strides=stride, use_bias=False, name=f"conv{level}")(x)
            if self.normalises:
                x = nn.BatchNorm(use_running_average=not train, name=f"norm{level}")(x)
            x = nn.relu(x)
            maps.append(x)
        return tuple(maps)


SHORT: dict[str, Any] = {"num_classes": 3, "schedule": ("HF", "MF"), "side_channels": 4, "residual_channels": 4}


def biases_of_maps(params: Any) -> list[float]:
    """The bias that each step's saliency map, or what is added to the map before it, begins with."""
    steps = [params[name] for name in sorted(params) if name.startswith("step")]
    heads = [step["residual"]["saliency"] if "residual" in step else step["saliency"] for step in steps]
    return [float(head["bias"][0]) for head in heads]


def test_saliency_begins_at_the_prior() -> None:
    (images,) = twins.drawn_single((1, 64, 64, 3))
    output, variables = initialise(BDMS(**TINY, saliency_prior=0.02), images)
    assert biases_of_maps(variables["params"]) == pytest.approx([np.log(0.02 / 0.98), 0, 0, 0, 0, 0])
    # Each map is the one before with a random residual that is small against the bias of -3.9.
    for logits in output.saliency:
        assert float(jnp.median(logits)) < -1


def test_a_prior_changes_nothing_but_the_first_bias() -> None:
    model, images = DMS(**SHORT, backbone=Strided()), jnp.zeros((1, 32, 32, 3))
    without, variables = initial_variables(images, model, model.clone(saliency_prior=0.02))
    assert biases_of_maps(without["params"]) == [0, 0]
    without["params"]["step0"]["saliency"]["bias"] = variables["params"]["step0"]["saliency"]["bias"]
    jax.tree.map(np.testing.assert_array_equal, without, variables)


@pytest.mark.parametrize("ablation", ["e", "baseline"])
def test_without_refinement_every_map_has_the_prior(ablation: str) -> None:
    fields = {**SHORT, "schedule": ("HF", "MF", "LF")}
    model = DMS(**fields, backbone=Strided(), ablation=ablation, saliency_prior=0.5**10)
    (variables,) = initial_variables(jnp.zeros((1, 32, 32, 3)), model)
    assert biases_of_maps(variables["params"]) == pytest.approx([np.log(1 / 1023)] * 3, rel=1e-5)


def test_another_backbone_gives_its_five_maps() -> None:
    (images,) = twins.drawn_single((2, 47, 66, 3))
    model = DMS(**SHORT, backbone=Strided())
    output, variables = applied(model, images)
    assert set(variables["params"]["backbone"]) == {f"conv{i}" for i in range(5)} | {f"norm{i}" for i in range(1, 5)}
    backbone = {collection: tree["backbone"] for collection, tree in variables.items()}
    maps = jax.jit(lambda v: Strided().apply(v, images, train=False))(backbone)
    for i, x in enumerate(maps):
        np.testing.assert_allclose(output.features[f"L{i}"], x, rtol=1e-5, atol=1e-6)
    assert [x.shape for x in output.saliency] == [(2, 47, 66, 1)] * 2
    assert [x.shape for x in output.classes] == [(2, 3)] * 2


@pytest.mark.parametrize("frozen", ["", "backbone"])
def test_another_backbone_is_trained_with_the_rest(frozen: str) -> None:
    (images,) = twins.drawn_single((2, 48, 48, 3))
    model = DMS(**SHORT, backbone=Strided(), frozen_statistics=frozen)
    variables = twins.random_variables(model, images)

    @jax.jit
    def gradient(params: Any) -> Any:
        def loss(params: Any) -> Any:
            output, updates = model.apply({**variables, "params": params}, images, train=True, mutable=["batch_stats"])
            return sum(jnp.mean(x**2) for x in (*output.saliency, *output.classes)), updates["batch_stats"]

        return jax.grad(loss, has_aux=True)(params)

    gradients, statistics = gradient(variables["params"])
    # No step of this schedule takes LF.
    for path, leaf in jax.tree_util.tree_leaves_with_path({**gradients, "side_lf": {}}):
        assert np.abs(leaf).max() > 0, jax.tree_util.keystr(path)
    same = jax.tree.map(
        np.array_equal, statistics["backbone"], jax.tree.map(np.float32, variables["batch_stats"]["backbone"])
    )
    assert set(jax.tree.leaves(same)) == {frozen == "backbone"}


@pytest.mark.parametrize("backbone", [Strided(), Strided(normalises=False), ResNeXt((1, 1, 1, 1), 1, 64, 4)])
def test_all_but_another_backbone_is_folded_for_prediction(backbone: nn.Module) -> None:
    (images,) = twins.drawn_single((2, 33, 40, 3))
    model = DMS(**SHORT, backbone=backbone)
    variables = jax.tree.map(jnp.float32, twins.random_variables(model, images))
    predictor, fold = model.for_prediction()
    folded = fold(variables)
    assert folded["params"]["backbone"] is variables["params"]["backbone"]
    kept = {"backbone": variables["batch_stats"]["backbone"]} if "backbone" in variables["batch_stats"] else {}
    assert folded["batch_stats"] == kept
    others = {name: tree for name, tree in folded["params"].items() if name != "backbone"}
    assert not [path for path, _ in jax.tree_util.tree_leaves_with_path(others) if "norm" in str(path)]
    expected = jax.jit(lambda v: model.apply(v, images, train=False))(variables)
    result = jax.jit(lambda v: predictor.apply(v, images, train=False))(folded)
    for ours, reference in zip(jax.tree.leaves(result), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(ours, reference, atol=1e-4 * float(jnp.max(jnp.abs(reference))))


def test_a_training_step_of_another_backbone_moves_all_of_it() -> None:
    model = DMS(**SHORT, backbone=Strided())
    optimizer = create_optimizer(OptimizerConfig(), 10)
    state = drawn_state(model, optimizer)
    before = jax.tree.map(np.array, state.params["backbone"])
    mesh = data_mesh(jax.devices()[: min(2, jax.device_count())])
    step = make_train_step(model, optimizer, mesh, loss=LossConfig(), augment=AugmentConfig(rotation=0), seed=0)
    random = np.random.default_rng(0)
    batch = {
        "image": random.integers(0, 256, (4, 32, 32, 3), np.uint8),
        "mask": (random.random((4, 32, 32, 1)) > 0.7).astype(np.uint8) * 255,
        "label": random.integers(0, 3, 4, np.int32),
    }
    state = jax.device_get(step(replicate(state, mesh), shard_batch(batch, mesh)))
    assert np.isfinite(state.metrics["loss"].total)
    assert not any(jax.tree.leaves(jax.tree.map(np.array_equal, state.params["backbone"], before)))


def test_zero_initialised_bottlenecks_begin_as_their_shortcuts() -> None:
    (images,) = twins.drawn_single((1, 32, 32, 3))
    fields = {**SHORT, "stage_sizes": (1, 2, 1, 1), "groups": 1, "width_per_group": 64, "base_channels": 8}
    plain, zero = (DMS(**fields, zero_init_residual=zero) for zero in (False, True))
    ours, theirs = initial_variables(images, zero, plain)
    differing = {
        jax.tree_util.keystr(path)
        for (path, a), b in zip(jax.tree_util.tree_leaves_with_path(ours), jax.tree.leaves(theirs), strict=True)
        if not np.array_equal(a, b)
    }
    blocks = ("stage1_block1", "stage2_block1", "stage2_block2", "stage3_block1", "stage4_block1")
    assert differing == {f"['params']['backbone']['{block}']['norm3']['scale']" for block in blocks}
    assert not any(np.any(ours["params"]["backbone"][block]["norm3"]["scale"]) for block in blocks)
    block = Bottleneck(8, 16, groups=2, zero_init=True)
    (x,) = twins.drawn_single((2, 5, 6, 16))
    y, variables = jax.jit(lambda: block.init_with_output(jax.random.key(3), x, train=True))()
    np.testing.assert_array_equal(y, jax.nn.relu(x))
    # Yet it learns: only the scale has a gradient at first.
    gradient = jax.jit(jax.grad(lambda p: jnp.sum(block.apply({**variables, "params": p}, x, train=False) ** 2)))(
        variables["params"]
    )
    assert np.any(gradient["norm3"]["scale"])
    assert not np.any(gradient["conv1"]["kernel"])
    with pytest.raises(ValueError, match="zero_init_residual"):
        DMS(**SHORT, backbone=Strided(), zero_init_residual=True)
