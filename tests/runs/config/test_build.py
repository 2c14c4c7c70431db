"""The batches and the training step of a configuration."""

import dataclasses
import importlib
import itertools
import math
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from drawn_state import drawn_state
from image_records import ImageRecords
from ml_collections import ConfigDict
from tiny_network import SIZE

from dms_jax.data.cache import ExampleCache
from dms_jax.data.examples import ExampleSource
from dms_jax.errors import UsageError
from dms_jax.models.dms import NETWORKS, SIZES
from dms_jax.runs.config import build, defaults
from dms_jax.runs.config.build import read_training_batches
from dms_jax.runtime.devices import DATA_AXIS, data_mesh, replicate, shard_batch
from dms_jax.training.optimizer import create_optimizer
from dms_jax.training.state import abstract_state


def source(seed: int, count: int) -> ExampleSource:
    random = np.random.default_rng(seed)
    images = [random.integers(0, 256, (20, 24, 3), np.uint8) for _ in range(count)]
    masks = [np.full((20, 24), 255 * (i % 2), np.uint8) for i in range(count)]
    return ExampleSource(ImageRecords(images, masks, [i % 2 for i in range(count)]), "train", free_class=0)


def batches(sources: tuple[ExampleSource, ...], **fields: Any) -> list[dict[str, np.ndarray]]:
    config = defaults.default_config()
    config.batch_size, config.data.image_size, config.data.threads = 4, 32, 2
    config.data.update(fields)
    iterator = read_training_batches(config, SimpleNamespace(train=sources))
    try:
        return list(itertools.islice(iterator, 6))
    finally:
        iterator.close()


@pytest.mark.parametrize("balance", [0.0, 0.5])
def test_they_are_the_same_from_the_cache(balance: float, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[ExampleSource] = []
    example = ExampleSource.__getitem__
    monkeypatch.setattr(ExampleSource, "__getitem__", lambda self, index: decoded.append(self) or example(self, index))
    always = batches((source(0, 5), source(1, 3)), cache=0.0, balance=balance)
    assert len(decoded) >= 24
    sources = (source(0, 5), source(1, 3))
    kept = batches(sources, cache=1.0, balance=balance)
    # Each of the eight once; two threads that ask for one at the same time may both decode it. Threads of the first
    # batches may still be reading ahead, from sources of their own.
    assert 8 <= sum(any(one is mine for mine in sources) for one in decoded) <= 16
    for ours, theirs in zip(kept, always, strict=True):
        assert ours.keys() == theirs.keys()
        assert all(np.array_equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize(("mask_balance", "masked", "unmasked"), [(0.0, 2, 10), (0.5, 6, 6), (1.0, 12, 0)])
def test_defective_images_with_a_mask_have_their_share(mask_balance: float, masked: int, unmasked: int) -> None:
    # Of six defective images, one has its mask.
    scarce = source(0, 12).hide_masks([3, 5, 7, 9, 11])
    found = batches((scarce,), balance=0.5, mask_balance=mask_balance, cache=0.0)
    labels, known = (np.concatenate([batch[name] for batch in found]) for name in ("label", "has_mask"))
    assert (len(labels), np.count_nonzero(labels == 0)) == (24, 12)
    assert np.count_nonzero(known[labels == 1]) == masked
    assert np.count_nonzero(~known[labels == 1]) == unmasked


def built_with(network: str, options: dict[str, Any]) -> Any:
    config = defaults.default_config()
    config.model.network, config.model.options = network, options
    return build.build_model(config, num_classes=2)


@pytest.mark.parametrize("network", ["bdms", "unet", "own_network:OwnNetwork"])
@pytest.mark.parametrize("name", ["num_classes", "dtype", "axis_name"])
def test_options_are_not_what_a_run_gives_its_network(network: str, name: str) -> None:
    with pytest.raises(UsageError, match=rf"^config\.model\.options\.{name} cannot be set"):
        built_with(network, {name: 3})


@pytest.mark.parametrize(
    ("network", "name", "values", "kind"),
    [
        ("bdms", "side_channels", ["abc", 1.5, 0, -1, None, True, (8,), {}], "a whole number of at least 1"),
        ("sdms", "groups", [0, "2"], "a whole number of at least 1"),
        ("bdms", "stage_sizes", ["abc", 2, (1, 2), (1, 1, 1, 1.0)], r"counts, such as \(3, 4, 23, 3\)"),
        ("bdms", "saliency_prior", ["abc", -1, 2, (0.5,)], r"in 0\.\.1, or None"),
        ("dss", "batch_norm", ["no", None], "True or False"),
        ("unet", "width", ["abc", None, math.inf, math.nan], "a number"),
    ],
)
def test_options_of_another_kind_than_a_field_of_the_network(
    network: str, name: str, values: list[Any], kind: str
) -> None:
    for value in values:
        with pytest.raises(UsageError, match=rf"^config\.model\.options\.{name}=.* must be {kind}\.$"):
            built_with(network, {name: value})


@pytest.mark.parametrize(
    ("network", "name", "value"),
    [
        ("bdms", "backbone", "resnet50"),
        ("r3net", "backbone", "resnet50"),
        ("sdms", "ablation", "b"),
        ("bdms", "schedule", ("HF",)),
        ("bdms", "remat", True),
        ("bdms", "class_pooling", "saliency"),
    ],
)
def test_what_the_configuration_has_a_field_for_is_no_option(network: str, name: str, value: Any) -> None:
    with pytest.raises(UsageError, match=rf"options\.{name}=.* cannot be set: use config\.model\.{name}\.$"):
        built_with(network, {name: value})


def test_every_field_that_a_network_shares_with_the_configuration_is_refused_as_an_option() -> None:
    shared = {field.name for field in dataclasses.fields(NETWORKS["bdms"])} & set(defaults.default_config().model)
    # Here a number, there whether it is taken from the training set.
    for name in shared - {"saliency_prior"}:
        with pytest.raises(UsageError, match=rf"options\.{name}=1 cannot be set"):
            built_with("bdms", {name: 1})


def test_what_is_no_field_of_a_network_is_refused_with_those_that_are() -> None:
    known = "base_channels, groups, plain, residual_channels, saliency_prior, side_channels, stage_sizes, "
    with pytest.raises(
        UsageError, match=rf"options\.side_chanels is no field of BDMS: known are {known}width_per_group\.$"
    ):
        built_with("bdms", {"side_chanels": 8})
    with pytest.raises(UsageError, match=r"side_chanels is no field of UNet: known are plain, .*width\.$"):
        built_with("unet", {"side_chanels": 8})


@pytest.mark.parametrize("network", ["bdms", "unet"])
@pytest.mark.parametrize(("name", "value"), [("folded", True), ("folded", False), ("name", "x"), ("parent", None)])
def test_fields_that_no_network_is_trained_with_are_no_options(network: str, name: str, value: Any) -> None:
    with pytest.raises(UsageError, match=rf"options\.{name} is no field of "):
        built_with(network, {name: value})


def test_an_ablation_is_neither_an_option_nor_a_field_of_a_network_without_ablations() -> None:
    with pytest.raises(UsageError, match=r"options\.ablation is no field of UNet: known are plain, .*width\.$"):
        built_with("unet", {"ablation": "a"})


def test_options_of_the_kind_of_a_field_are_taken() -> None:
    options = {"side_channels": 8, "stage_sizes": [1, 1, 1, 1], "saliency_prior": 0.1, "plain": True}
    model = built_with("bdms", options)
    assert (model.side_channels, tuple(model.stage_sizes), model.saliency_prior) == (8, (1, 1, 1, 1), 0.1)
    assert model.plain
    assert built_with("unet", {"width": 1}).width == 1


@pytest.mark.parametrize(("gib", "workers", "expected"), [(2.0, 0, 2 * 2**30), (0.5, 0, 2**29), (2.0, 4, 2**29)])
def test_the_cache_is_in_gib_and_shared_out_among_workers(
    gib: float, workers: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rooms: list[int] = []

    class Noted(ExampleCache):
        def __init__(self, capacity: int) -> None:
            rooms.append(capacity)
            super().__init__(capacity)

    monkeypatch.setattr(build, "ExampleCache", Noted)
    monkeypatch.setattr(build, "training_batches", lambda order, **options: options["workers"])
    config = defaults.default_config()
    config.data.cache, config.data.workers = gib, workers
    assert read_training_batches(config, SimpleNamespace(train=(source(0, 2), source(1, 3)))) == workers
    # One for all splits.
    assert rooms == [expected]


EXTRAS = {"loss.ssim_weight": 0.5, "loss.iou_on": "defective"}
TRAINED = [("bdms", "recipe=paper", {}), ("bdms", "recipe=scratch", EXTRAS)]
# The paper's optimizer with the augmentation of scratch; the optimizer that Muon leaves all but kernels to; the paper's
# recipe with the other network; and what the README's first command and its tests train anyway.
AGAIN = [("bdms", "recipe=sgd"), ("bdms", "recipe=adamw"), ("sdms", None), ("quickstart", None)]


def tiny(name: str, argument: str | None, monkeypatch: pytest.MonkeyPatch, **fields: Any) -> ConfigDict:
    monkeypatch.setitem(SIZES, "small", SIZE)
    config = importlib.import_module(f"configs.{name}").get_config(argument)
    config.update_from_flattened_dict(fields)
    config.model.size, config.model.schedule = "small", ("HF",)
    config.batch_size, config.data.image_size = 4, 32
    return config


def test_every_recipe_is_trained_or_traced() -> None:
    arguments = {argument for _, argument, *_ in (*TRAINED, *AGAIN)}
    assert {f"recipe={name}" for name in defaults.RECIPES} == arguments - {None}


@pytest.mark.parametrize(("name", "argument"), AGAIN)
def test_the_step_of_every_other_recipe_can_be_traced(
    name: str, argument: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "compile_recorded", lambda step, mesh, *arguments, **_: step.eval_shape(*arguments))
    config = tiny(name, argument, monkeypatch)
    mesh = data_mesh(jax.devices()[:1])
    model = build.build_model(config, 3, DATA_AXIS)
    optimizer = create_optimizer(build.optimizer_config(config), config.steps)
    state = abstract_state(model, optimizer, mesh, average=config.average_decay > 0)
    after: Any = build.compile_train_step(config, model, optimizer, mesh, state)
    assert jax.tree.map(jnp.shape, after.params) == jax.tree.map(jnp.shape, state.params)


@pytest.mark.parametrize(
    ("name", "argument", "fields"),
    [
        *TRAINED,
        *(pytest.param(name, argument, {}, marks=pytest.mark.slow) for name, argument in AGAIN),
    ],
)
def test_every_recipe_trains_a_step(
    name: str, argument: str | None, fields: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny(name, argument, monkeypatch, **fields)
    mesh = data_mesh(jax.devices()[:1])
    model = build.build_model(config, 3, DATA_AXIS)
    optimizer = create_optimizer(build.optimizer_config(config), config.steps)
    average = config.average_decay > 0
    state = replicate(drawn_state(model, optimizer, average=average), mesh)
    before = jax.device_get(state.params)
    batches = read_training_batches(config, SimpleNamespace(train=(source(0, 6),)))
    try:
        step = build.compile_train_step(config, model, optimizer, mesh, state)
        state = jax.device_get(step(state, shard_batch(build.with_seed(config, next(batches)), mesh)))
    finally:
        batches.close()
    assert np.isfinite(state.metrics["loss"].total)
    moved = jax.tree.map(lambda a, b: float(np.abs(np.asarray(a) - b).max()), state.params, before)
    assert all(np.isfinite(leaf) for leaf in jax.tree.leaves(moved))
    assert moved["backbone"]["stem_conv"]["kernel"] > 0


def test_the_step_is_compiled_once_for_all_seeds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SIZES, "small", SIZE)
    # What JAX's cache looks a program up by, but for the options and the device.
    monkeypatch.setattr(build, "compile_recorded", lambda step, mesh, *arguments, **_: step.lower(*arguments).as_text())
    config = importlib.import_module("configs.bdms").get_config("recipe=scratch,size=small")
    config.model.schedule = ("HF",)
    config.batch_size, config.data.image_size = 2, 32
    mesh = data_mesh(jax.devices()[:1])
    model = build.build_model(config, 3, DATA_AXIS)
    optimizer = create_optimizer(build.optimizer_config(config), config.steps)
    state = abstract_state(model, optimizer, mesh, average=True)
    programs = []
    for seed in (0, 1):
        config.seed = seed
        programs.append(build.compile_train_step(config, model, optimizer, mesh, state))
    assert programs[0] == programs[1]
    config.average_decay = 0.9
    assert build.compile_train_step(config, model, optimizer, mesh, state) != programs[0]
