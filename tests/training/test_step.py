"""The compiled training step: one device against a plain gradient, and several devices against one."""

import math
import re
from collections import Counter
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from drawn_state import drawn_state
from flax import linen as nn
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P
from own_network import OwnNetwork
from tiny_network import FIELDS

from dms_jax.data.image_files import IGNORED
from dms_jax.models import BDMS, SaliencyOutput
from dms_jax.models.dms import BDMS_SCHEDULE
from dms_jax.models.preprocessing import normalize
from dms_jax.runtime.cuda_graphs import program
from dms_jax.runtime.devices import data_mesh, replicate, shard_batch
from dms_jax.training.augment import AugmentConfig, augment_batch, example_keys
from dms_jax.training.losses import LossConfig
from dms_jax.training.objective import Objective
from dms_jax.training.optimizer import OptimizerConfig, create_optimizer
from dms_jax.training.state import TrainState, copied, create_state
from dms_jax.training.step import make_train_step

SEED = 7
BATCH = 8
DECAY = 0.5
LOSS = LossConfig(class_weight=0.1)
# Each side output, and a second pass: where the whole of BDMS adds nothing but compilation.
SHORT = {**FIELDS, "schedule": ("HF", "MF", "reset LF")}
FLIPS = AugmentConfig(rotation=0, vertical_flip=True)
EVERYTHING = AugmentConfig(scale=(0.8, 1.2), shift=0.1, brightness=0.1, contrast=0.1, vertical_flip=True)
# Without weight decay and momentum a step's change is the gradient itself.
OPTIMIZER = create_optimizer(OptimizerConfig(learning_rate=1.0, momentum=0.0, weight_decay=0.0, power=0.0), 10)
# Where images are that have padding around them: top, left, height and width.
CONTENT = np.array([[4, 10, 20, 15]] * BATCH, np.int32)


@pytest.fixture(scope="module")
def batch() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "image": rng.integers(0, 256, (BATCH, 32, 32, 3), np.uint8),
        "mask": (rng.random((BATCH, 32, 32, 1)) > 0.7).astype(np.uint8) * 255,
        "label": rng.integers(0, 3, BATCH, np.int32),
        # As batches have it in training: one program then does for those without some masks too.
        "has_mask": np.ones(BATCH, bool),
    }


@pytest.fixture(scope="module")
def initial() -> TrainState:
    return drawn_state(BDMS(**SHORT), OPTIMIZER, average=True)


@pytest.fixture(scope="module")
def whole() -> TrainState:
    """Of the whole BDMS."""
    return drawn_state(BDMS(**FIELDS), OPTIMIZER, average=True)


def one_step(initial: TrainState, batch: dict[str, np.ndarray], devices: int, **fields: Any) -> TrainState:
    return one_step_each(initial, [batch], devices, **fields)[0]


def mesh_of(devices: int) -> Mesh:
    if jax.device_count() < devices:
        pytest.skip(f"{devices} devices are needed, there are {jax.device_count()}")
    return data_mesh(jax.devices()[:devices])


@cache
def train_step_on(mesh: Mesh, **fields: Any) -> Any:
    return make_train_step(
        BDMS(**{**SHORT, "axis_name": "data", **fields}),
        OPTIMIZER,
        mesh,
        loss=LOSS,
        augment=EVERYTHING,
        seed=SEED,
        average_decay=DECAY,
    )


def one_step_each(
    initial: TrainState, batches: list[dict[str, np.ndarray]], devices: int, **fields: Any
) -> list[TrainState]:
    """The states that one step from the initial state makes with each of the batches."""
    mesh = mesh_of(devices)
    step = train_step_on(mesh, **fields)
    states = []
    for batch in batches:
        # The step consumes its state: give it a copy.
        state = replicate(copied(initial), mesh)
        states.append(jax.device_get(step(state, shard_batch(batch, mesh))))
    return states


@pytest.fixture(scope="module")
def single(initial: TrainState, batch: dict[str, np.ndarray]) -> TrainState:
    return one_step(initial, batch, 1)


def plain_loss(model: BDMS, params: Any, batch_stats: Any, batch: dict[str, np.ndarray]) -> Any:
    """Eqs. 4-5 written out, on the whole batch at once, without the project's loss or a mesh."""
    keys = example_keys(SEED, 0, jnp.arange(BATCH))
    images, masks = augment_batch(keys, batch["image"], batch["mask"], EVERYTHING)
    truth = (masks > 127).astype(jnp.float32)
    output, updates = model.apply(
        {"params": params, "batch_stats": batch_stats}, normalize(images), train=True, mutable=["batch_stats"]
    )
    loss = 0.0
    for s in output.saliency:
        y = jax.nn.sigmoid(s)
        loss -= jnp.mean(truth * jnp.log(y) + (1 - truth) * jnp.log(1 - y))
    for c in output.classes:
        loss -= 0.1 * jnp.mean(jnp.log(jax.nn.softmax(c))[jnp.arange(BATCH), batch["label"]])
    return loss, updates["batch_stats"]


def assert_close(a: Any, b: Any, tolerance: float) -> None:
    """Each leaf within a tolerance of its own largest value (a sum over devices is another order of additions)."""
    compared = jax.tree.map(lambda x, y: float(np.abs(x - y).max() / (np.abs(y).max() + 1e-3)), a, b)
    for path, error in jax.tree_util.tree_leaves_with_path(compared):
        assert error < tolerance, (jax.tree_util.keystr(path), error)


def assert_descends(model: BDMS, initial: TrainState, batch: dict[str, np.ndarray], stepped: TrainState) -> None:
    (loss, batch_stats), gradient = jax.jit(jax.value_and_grad(partial(plain_loss, model), has_aux=True))(
        initial.params, initial.batch_stats, batch
    )
    moved = jax.tree.map(lambda old, new: np.asarray(old) - new, initial.params, stepped.params)
    assert jax.jit(optax.tree.norm)(gradient) > 0.1
    assert_close(moved, jax.device_get(gradient), 2e-3)
    assert_close(stepped.batch_stats, jax.device_get(batch_stats), 1e-4)
    assert float(stepped.metrics["loss"].compute()) == pytest.approx(float(loss), rel=1e-5)
    assert int(stepped.step) == 1


def test_a_step_descends_the_gradient_of_the_papers_loss(
    initial: TrainState, batch: dict[str, np.ndarray], single: TrainState
) -> None:
    assert_descends(BDMS(**SHORT), initial, batch, single)


def assert_same_step(initial: TrainState, several: TrainState, single: TrainState) -> None:
    moves = [
        jax.tree.map(lambda old, new: np.asarray(old) - new, initial.params, state.params)
        for state in (several, single)
    ]
    assert_close(*moves, 2e-3)
    assert_close(several.batch_stats, single.batch_stats, 1e-4)
    for name, average in single.metrics.items():
        assert float(several.metrics[name].compute()) == pytest.approx(float(average.compute()), rel=1e-4), name


def test_several_devices_compute_what_one_does(
    initial: TrainState, batch: dict[str, np.ndarray], single: TrainState
) -> None:
    assert_same_step(initial, one_step(initial, batch, 2), single)


@pytest.mark.slow
def test_a_step_of_the_whole_network_is_the_same_gradient_on_one_device_and_on_four(
    whole: TrainState, batch: dict[str, np.ndarray]
) -> None:
    several, single = (one_step(whole, batch, devices, schedule=BDMS_SCHEDULE) for devices in (4, 1))
    assert_descends(BDMS(**FIELDS), whole, batch, single)
    assert_same_step(whole, several, single)


@pytest.fixture(scope="module")
def own_steps() -> dict[int, Any]:
    """The step of one and of two devices that normalise by their own images, with nothing random."""
    augment, model = AugmentConfig(rotation=0, horizontal_flip=False), BDMS(**SHORT, axis_name=None)
    return {
        n: make_train_step(model, OPTIMIZER, mesh_of(n), loss=LOSS, augment=augment, seed=0, average_decay=DECAY)
        for n in (1, 2)
    }


def test_devices_may_normalise_by_their_own_images(initial: TrainState, own_steps: dict[int, Any]) -> None:
    """Then two devices with the same four images each compute what one does with these four."""
    random = np.random.default_rng(1)
    half = {
        "image": random.integers(0, 256, (4, 32, 32, 3), np.uint8),
        "mask": (random.random((4, 32, 32, 1)) > 0.7).astype(np.uint8) * 255,
        "label": random.integers(0, 3, 4, np.int32),
    }
    unlike = {name: np.concatenate([value, value[::-1] // 2]) for name, value in half.items()}
    half["has_mask"], unlike["has_mask"] = np.ones(4, bool), np.ones(8, bool)
    ends = {}
    for name, devices, batch in (
        ("one", 1, half),
        ("two", 2, {name: np.concatenate([value, value]) for name, value in half.items()}),
        ("other", 1, {name: value[4:] for name, value in unlike.items()}),
        ("unlike", 2, unlike),
    ):
        mesh = mesh_of(devices)
        state = replicate(copied(initial), mesh)
        state = jax.device_get(own_steps[devices](state, shard_batch(batch, mesh)))
        ends[name] = {"params": state.params, "batch_stats": state.batch_stats}
    assert_close(ends["two"], ends["one"], 1e-5)
    # The gradient and the statistics are the means of what each would have by itself.
    mean = jax.tree.map(lambda a, b: (a + b) / 2, ends["one"], ends["other"])
    assert_close(ends["unlike"], mean, 1e-5)
    with pytest.raises(AssertionError):
        assert_close(ends["unlike"], ends["one"], 1e-3)


class Deaf(OwnNetwork):
    """A network of somebody's own whose BatchNorm, as Flax has it by default, asks for no axis."""

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool) -> SaliencyOutput:
        x = nn.BatchNorm(not train, name="norm")(images)
        return SaliencyOutput((nn.Dense(1, name="last")(x),), (), {})


@pytest.mark.parametrize("devices", [1, 2])
def test_a_network_that_passes_over_the_axis_keeps_the_mean_of_the_devices_statistics(
    devices: int, batch: dict[str, np.ndarray]
) -> None:
    mesh, model = mesh_of(devices), Deaf(axis_name="data")
    still = AugmentConfig(rotation=0, horizontal_flip=False)
    step = make_train_step(model, OPTIMIZER, mesh, loss=LOSS, augment=still, seed=0)
    state = replicate(create_state(model, OPTIMIZER, seed=0), mesh)
    found = jax.device_get(step(state, shard_batch(batch, mesh))).batch_stats["norm"]
    images = np.asarray(normalize(jnp.asarray(batch["image"]))).reshape(devices, -1, 3)
    np.testing.assert_allclose(found["mean"], 0.01 * images.mean(1).mean(0), rtol=1e-4)
    np.testing.assert_allclose(found["var"], 0.99 + 0.01 * images.var(1).mean(0), rtol=1e-4)


def exchanged(compiled: str) -> tuple[set[str], int]:
    """The kinds of exchange between devices in a compiled program, and how many numbers they exchange."""
    kinds, numbers = set(), 0
    pattern = r"= (.+?) (all-gather|all-reduce|all-to-all|collective-permute|reduce-scatter)(?:-start)?\("
    for shapes, kind in re.findall(pattern, compiled):
        kinds.add(kind)
        dimensions = re.findall(r"\w+\[([\d,]*)\]", shapes)
        numbers += sum(math.prod(int(size) for size in shape.split(",") if size) for shape in dimensions)
    return kinds, numbers


def test_devices_exchange_sums_and_no_activations(initial: TrainState, batch: dict[str, np.ndarray]) -> None:
    mesh = mesh_of(2)
    arguments = replicate(copied(initial), mesh), shard_batch(batch, mesh)
    kinds, numbers = exchanged(program(train_step_on(mesh), *arguments).as_text())
    assert kinds == {"all-reduce"}
    # The mean and the mean square of every norm in both directions, all gradients, and a few metrics.
    statistics = sum(leaf.size for leaf in jax.tree.leaves(initial.batch_stats))
    gradients = sum(leaf.size for leaf in jax.tree.leaves(initial.params))
    assert gradients + 2 * statistics <= numbers < gradients + 2 * statistics + 50


def test_frozen_statistics_stay_as_they_are_to_the_bit(initial: TrainState) -> None:
    """Where each device normalises by its own images: three times a third of them need not be the same."""
    mesh = mesh_of(3)
    random = np.random.default_rng(2)
    batch = {
        "image": random.integers(0, 256, (3, 32, 32, 3), np.uint8),
        "mask": np.zeros((3, 32, 32, 1), np.uint8),
        "label": np.zeros(3, np.int32),
    }
    statistics = jax.tree.map(lambda x: random.uniform(0.5, 1.5, x.shape).astype(np.float32), initial.batch_stats)
    step = train_step_on(mesh, axis_name=None, frozen_statistics="all")
    state = copied(initial).replace(batch_stats=statistics)
    after = step(replicate(state, mesh), shard_batch(batch, mesh)).batch_stats
    jax.tree.map(np.testing.assert_array_equal, jax.device_get(after), statistics)


def test_devices_that_normalise_by_their_own_images_exchange_once_a_module(
    initial: TrainState, batch: dict[str, np.ndarray], own_steps: dict[int, Any]
) -> None:
    mesh = mesh_of(2)
    compiled = program(own_steps[2], replicate(initial, mesh), shard_batch(batch, mesh)).as_text()
    kinds, numbers = exchanged(compiled)
    assert kinds == {"all-reduce"}
    parts = [sum(leaf.size for leaf in jax.tree.leaves(tree)) for tree in (initial.params, initial.batch_stats)]
    # And a few metrics: the loss and its parts, and the weights of pixels and labels.
    assert sum(parts) <= numbers < sum(parts) + 50
    assert len(re.findall(r" all-reduce(?:-start)?\(", compiled)) < 2 * len(initial.params)


def test_gradients_are_added_up_in_float32_and_in_a_few_pieces(whole: TrainState, batch: dict[str, np.ndarray]) -> None:
    mesh = mesh_of(2)
    step = train_step_on(mesh, schedule=BDMS_SCHEDULE, dtype=jnp.bfloat16)
    lowered = step.lower(replicate(whole, mesh), shard_batch(batch, mesh)).as_text()
    exchanges = re.findall(r'"stablehlo.all_reduce".*?\}\) : \(tensor<(.*?)>\) ->', lowered, re.DOTALL)
    assert exchanges
    assert not [shape for shape in exchanges if not shape.endswith("f32")]
    sizes = {module: sum(x.size for x in jax.tree.leaves(part)) for module, part in whole.params.items()}
    assert sizes.keys() > {"backbone", "side_hf", "step0", "step5"}
    vectors = Counter(int(shape.split("x")[0]) for shape in exchanges if shape.count("x") == 1)
    assert not Counter(sizes.values()) - vectors


def test_partitioning_by_the_compiler_would_gather_the_batch() -> None:
    """Why the step is not a plain jit , and that the test above can see it."""
    mesh = mesh_of(2)
    images, kernel = np.ones((4, 8, 8, 4), np.float32), np.ones((3, 3, 2, 4), np.float32)

    def convolve(images: Any, kernel: Any) -> Any:
        layout = ("NHWC", "HWIO", "NHWC")
        return jax.lax.conv_general_dilated(
            images, kernel, (1, 1), "SAME", dimension_numbers=layout, feature_group_count=2
        )

    compiled = jax.jit(convolve).lower(shard_batch(images, mesh), replicate(kernel, mesh)).compile()
    kinds, numbers = exchanged(compiled.as_text())
    assert "all-gather" in kinds
    assert numbers >= images.size


def test_the_average_moves_from_the_old_to_the_new_variables(initial: TrainState, single: TrainState) -> None:
    decay = 1 / 10  # the beginning of min(decay, (1 + step) / (10 + step))
    expected = jax.tree.map(lambda old, new: decay * np.asarray(old) + (1 - decay) * new, initial.params, single.params)
    assert_close(single.averaged["params"], expected, 1e-5)


@pytest.mark.slow
def test_metrics_add_up_over_steps(batch: dict[str, np.ndarray]) -> None:
    mesh = data_mesh(jax.devices()[:1])
    step = make_train_step(
        BDMS(**FIELDS, axis_name="data"),
        create_optimizer(OptimizerConfig(), 10),
        mesh,
        loss=LOSS,
        augment=AugmentConfig(rotation=0),
        seed=SEED,
    )
    state = create_state(BDMS(**FIELDS), create_optimizer(OptimizerConfig(), 10), seed=0)
    state = step(replicate(state, mesh), shard_batch(batch, mesh))
    first = float(state.metrics["loss"].compute())
    state = step(state, shard_batch(batch, mesh))
    assert int(state.metrics["loss"].count) == 2
    assert float(state.metrics["loss"].total) > 1.5 * first
    assert state.averaged is None
    assert set(state.inference_variables) == {"params", "batch_stats"}


def test_gradients_come_in_the_order_of_the_parameters(whole: TrainState, batch: dict[str, np.ndarray]) -> None:
    """Each kernel's gradient is brought into it before the update, which else could not write in place."""
    mesh = data_mesh(jax.devices()[:1])
    step = make_train_step(BDMS(**FIELDS, axis_name="data"), OPTIMIZER, mesh, loss=LOSS, augment=EVERYTHING, seed=0)
    lowered = step.trace(whole, batch).lower(lowering_platforms=("cuda",)).as_text()
    kernels = sum(leaf.ndim > 1 for leaf in jax.tree.leaves(whole.params))
    assert lowered.count("@LayoutConstraint") == kernels


def test_what_is_unknown_teaches_nothing(initial: TrainState, batch: dict[str, np.ndarray], single: TrainState) -> None:
    """Masks and labels that are unknown may be anything; over those that are known it is a mean, over all devices."""
    some = np.arange(BATCH) % 4 != 1
    masks = [{**batch, "has_mask": known} for known in (batch["has_mask"], some, ~some)]
    labels = [{**batch, "label": np.where(known, batch["label"], -1).astype(np.int32)} for known in (some, ~some)]
    other = {**masks[1], "mask": np.where(some[:, None, None, None], batch["mask"], 255 - batch["mask"])}
    unlabelled = {**batch, "label": np.full(BATCH, -1, np.int32)}
    states = one_step_each(initial, [*masks, *labels, other, unlabelled], devices=2)
    everything, *parts, found, unnamed = states
    # The network sees the same images each time, so that the losses of the parts add up to that of the whole.
    for name, (one, rest) in (("saliency_loss", parts[:2]), ("class_loss", parts[2:]), ("accuracy", parts[2:])):
        whole, *shares = (float(state.metrics[name].compute()) for state in (everything, one, rest))
        assert shares[0] != pytest.approx(shares[1], rel=1e-3), name
        assert whole == pytest.approx(np.average(shares, weights=[some.sum(), (~some).sum()]), rel=1e-5), name
        assert whole == pytest.approx(float(single.metrics[name].compute()), rel=1e-4), name
    assert_close(found.params, parts[0].params, 1e-6)
    # Where nothing has a label, nothing is named wrongly.
    assert int(parts[2].metrics["accuracy"].count) == 1
    assert (int(unnamed.metrics["accuracy"].count), int(unnamed.metrics["class_loss"].count)) == (0, 1)


@pytest.fixture(scope="module")
def stepped_from(initial: TrainState) -> Callable[[dict[str, np.ndarray]], TrainState]:
    """One step on one device, which ignores pixels, with a batch that has `content`."""
    mesh, model = data_mesh(jax.devices()[:1]), BDMS(**SHORT, axis_name="data")
    options: dict[str, Any] = {"seed": SEED, "average_decay": DECAY, "ignores": True}
    step = make_train_step(model, OPTIMIZER, mesh, loss=LOSS, augment=FLIPS, **options)
    return lambda batch: jax.device_get(step(replicate(copied(initial), mesh), shard_batch(batch, mesh)))


def test_ignored_pixels_have_no_say_in_the_loss(batch: dict[str, np.ndarray], stepped_from: Callable[..., Any]) -> None:
    whole = np.array([[0, 0, 32, 32]] * BATCH, np.int32)

    def params_after(mask: np.ndarray, has_mask: np.ndarray | None = None) -> Any:
        known = np.ones(BATCH, bool) if has_mask is None else has_mask
        return stepped_from({**batch, "mask": mask, "has_mask": known, "content": whole}).params

    # Ignored everywhere, a mask is as good as unknown.
    every_other = np.arange(BATCH) % 2 == 0
    ignored = np.where(every_other[:, None, None, None], np.uint8(IGNORED), batch["mask"])
    expected = params_after(batch["mask"], ~every_other)
    assert_close(params_after(ignored), expected, 1e-6)
    with pytest.raises(AssertionError):
        assert_close(params_after(batch["mask"]), expected, 1e-6)
    # And what is ignored in part teaches less than what is known to be sound.
    part = batch["mask"].copy()
    part[:, 5:12, 3:20] = 0
    with pytest.raises(AssertionError):
        assert_close(params_after(np.where(part == batch["mask"], part, np.uint8(IGNORED))), params_after(part), 1e-6)


def test_padding_has_no_say_in_the_loss(batch: dict[str, np.ndarray], stepped_from: Callable[..., Any]) -> None:
    outside = np.ones((1, 32, 32, 1), bool)
    outside[:, 4:24, 10:25] = False

    def loss(mask: np.ndarray) -> float:
        return float(stepped_from({**batch, "mask": mask, "content": CONTENT}).metrics["loss"].total)

    padded = np.where(outside, 255 - batch["mask"], batch["mask"])
    assert loss(padded) == pytest.approx(loss(batch["mask"]), rel=1e-6)
    inside = np.where(outside, batch["mask"], 255 - batch["mask"])
    assert loss(inside) != pytest.approx(loss(batch["mask"]), rel=1e-4)


def test_padding_does_not_count_whether_pixels_are_ignored_or_not(batch: dict[str, np.ndarray]) -> None:
    mesh = data_mesh(jax.devices()[:1])

    def counted(ignores: bool) -> Any:
        objective = Objective(BDMS(**FIELDS), LOSS, FLIPS, SEED, ignores)
        inputs = jax.shard_map(
            lambda batch: objective.inputs(jnp.int32(0), batch)[1:],
            **{"mesh": mesh, "in_specs": P("data"), "out_specs": P("data")},
        )
        return jax.device_get(jax.jit(inputs)(shard_batch({**batch, "content": CONTENT}, mesh)))

    targets, _, pixels, weights, _ = counted(ignores=False)
    assert pixels.sum((1, 2, 3)).tolist() == [20 * 15] * BATCH
    np.testing.assert_array_equal(weights > 0, pixels)
    for ours, theirs in zip(counted(ignores=True), counted(ignores=False), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert 0 < targets.sum() < targets.size


@pytest.mark.slow
def test_several_devices_add_terms_and_paste_as_one_does(whole: TrainState, batch: dict[str, np.ndarray]) -> None:
    """With three images on each of two: the neighbour that fills a defect is then another device's."""
    part = {name: value[:6] for name, value in batch.items()}
    part["mask"] = np.where(np.arange(6)[:, None, None, None] % 3 == 0, part["mask"], 0)
    part |= {"has_mask": np.arange(6) != 4, "content": np.tile(np.array([[2, 0, 30, 32]], np.int32), (6, 1))}
    loss = LossConfig(class_weight=0.1, iou_weight=1.0, iou_on="defective", ssim_weight=0.5)
    augment = AugmentConfig(rotation=0, paste=1.0)
    states = []
    for mesh in (mesh_of(1), mesh_of(2)):
        model = BDMS(**FIELDS, axis_name="data")
        step = make_train_step(model, OPTIMIZER, mesh, loss=loss, augment=augment, seed=SEED, average_decay=DECAY)
        state = replicate(copied(whole), mesh)
        states.append(jax.device_get(step(state, shard_batch(part, mesh))))
    one, two = states
    assert_close(two.params, one.params, 2e-3)
    for name, average in one.metrics.items():
        assert float(two.metrics[name].compute()) == pytest.approx(float(average.compute()), rel=1e-3), name
    assert float(one.metrics["loss"].total) > float(one.metrics["saliency_loss"].total) * 6


@pytest.mark.parametrize("devices", [1, 2])
def test_a_batch_may_bring_the_seed(batch: dict[str, np.ndarray], devices: int) -> None:
    mesh = mesh_of(devices)

    def inputs_with(seed: int) -> Any:
        objective = Objective(BDMS(**FIELDS), LOSS, AugmentConfig(rotation=0, brightness=0.5), seed)
        inputs = jax.shard_map(
            lambda batch: tuple(objective.inputs(jnp.int32(3), batch)[:3]),
            **{"mesh": mesh, "in_specs": P("data"), "out_specs": P("data")},
        )
        return jax.jit(inputs)

    def seeded(seed: int) -> Any:
        return shard_batch({**batch, "seed": np.full(BATCH, seed, np.uint32)}, mesh)

    largest = 2**32 - 1
    inputs = inputs_with(0)
    expected = inputs_with(largest)(shard_batch(batch, mesh))
    jax.tree.map(np.testing.assert_array_equal, inputs(seeded(largest)), expected)
    assert not np.array_equal(inputs(seeded(SEED))[0], expected[0])


def test_an_image_of_any_class_but_one_counts_in_the_class_term_as_much_as_is_asked(
    batch: dict[str, np.ndarray],
) -> None:
    # As pasted defects leave them, and one of no known class.
    label = np.array([0, -2, 1, -3, 2, -4, -1, 0], np.int32)
    mesh, still = mesh_of(2), AugmentConfig(rotation=0, horizontal_flip=False)

    def weight_of(pasted_weight: float, num_classes: int) -> Any:
        objective = Objective(
            BDMS(**{**FIELDS, "num_classes": num_classes}), LossConfig(pasted_weight=pasted_weight), still, SEED
        )
        weights = jax.shard_map(
            lambda batch: objective.inputs(jnp.int32(0), batch).label_weight,
            **{"mesh": mesh, "in_specs": P("data"), "out_specs": P("data")},
        )
        return jax.device_get(jax.jit(weights)(shard_batch({**batch, "label": label}, mesh)))

    known = np.array([1, 0, 1, 0, 1, 0, 0, 1])
    np.testing.assert_allclose(weight_of(0.0, 3), known / known.mean(), rtol=1e-6)
    half = known + 0.5 * (label < -1)
    np.testing.assert_allclose(weight_of(0.5, 3), half / half.mean(), rtol=1e-6)
    # One class has no other.
    np.testing.assert_allclose(weight_of(0.5, 1), known / known.mean(), rtol=1e-6)


class _Heads(OwnNetwork):
    """A map, and the classes of the mean colour."""

    has_class_heads = True

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool) -> SaliencyOutput:
        classes = nn.Dense(self.num_classes, name="classes")(images.mean((1, 2)))
        return SaliencyOutput((nn.Dense(1, name="saliency")(images),), (classes,), {})


def test_a_single_class_has_no_accuracy(batch: dict[str, np.ndarray]) -> None:
    mesh, still = mesh_of(2), AugmentConfig(rotation=0, horizontal_flip=False)
    labels = np.zeros(BATCH, np.int32)

    def accuracy(num_classes: int) -> Any:
        model = _Heads(num_classes=num_classes)
        step = make_train_step(model, OPTIMIZER, mesh, loss=LOSS, augment=still, seed=SEED)
        state = step(
            replicate(create_state(model, OPTIMIZER, seed=0), mesh), shard_batch({**batch, "label": labels}, mesh)
        )
        return state.metrics["accuracy"]

    assert int(accuracy(2).count) == 1
    assert int(accuracy(1).count) == 0
