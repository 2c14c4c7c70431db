"""Values of a configuration that are refused, and what becomes of those that are not."""

import itertools

import jax
import jax.numpy as jnp
import pytest
from configurations import changed
from flax import linen as nn
from own_network import OwnNetwork

from dms_jax.errors import UsageError
from dms_jax.models import SaliencyOutput
from dms_jax.runs.config import build, checks, defaults
from dms_jax.runs.config.checks import check
from dms_jax.runs.config.fields import flatten
from dms_jax.runs.config.saved import CHANGEABLE
from dms_jax.runs.setup import finished_results

REFUSED = [
    *itertools.product(["seed"], [-1, 2**32]),
    *itertools.product(["batch_size", "steps", "log_every", "evaluate_every", "checkpoint_every"], [0, -4]),
    *itertools.product(["keep_checkpoints", "data.threads"], [0, -1]),
    *itertools.product(["data.overfit", "data.workers", "data.cache", "data.train_images"], [-1]),
    *itertools.product(["data.image_size"], [0, -300, 31]),
    *itertools.product(["data.tile_size"], [-1, 1, 15]),
    *itertools.product(["data.tile_overlap"], [-0.1, 0.91, float("nan")]),
    *itertools.product(["data.balance", "average_decay"], [-0.1, 1.0, 1.5, float("nan")]),
    *itertools.product(
        ["data.mask_balance", "data.mask_share", "evaluation.max_false_alarms"], [-0.1, 1.1, float("nan")]
    ),
    *itertools.product(["dtype"], ["", "float16", "half"]),
    *itertools.product(["model.network", "model.size"], ["", "BDMS"]),
    ("model.ablation", "f"),
    ("model.feature_growth", "grow"),
    ("data.select_on", "train"),
    *itertools.product(["augment.rotation"], [-1.0, 181.0, float("inf"), float("nan")]),
    *itertools.product(
        ["augment.shift", "augment.brightness", "augment.contrast", "augment.paste"], [-0.1, 1.1, float("nan")]
    ),
    *itertools.product(
        ["augment.scale"],
        [(), (1.0,), (1.0, 1.1, 1.2), (0.0, 1.0), (1.2, 1.0), (1.0, float("inf")), ("a", "b"), (1.0, None)],
    ),
    *itertools.product(["loss.saliency_weight", "loss.class_weight"], [-0.01, float("nan"), float("inf")]),
    *itertools.product(
        ["loss.output_weights"],
        [(1.0,), (1.0,) * 3, (1.0,) * 7, (-1.0, *[1.0] * 5), (float("nan"), *[1.0] * 5), ("1",) * 6, ((1.0,),) * 6],
    ),
    *itertools.product(["loss.iou_weight", "loss.ssim_weight"], [-0.01, float("nan"), float("inf")]),
    *itertools.product(["loss.iou_on"], ["", "free"]),
    *itertools.product(["optimizer.name"], ["", "adam", "SGD"]),
    *itertools.product(["optimizer.clip_norm"], [-1.0, float("nan")]),
    *itertools.product(["optimizer.learning_rate"], [0.0, -1e-3, float("nan"), float("inf")]),
    *itertools.product(["optimizer.momentum"], [-0.1, 1.0]),
    *itertools.product(["optimizer.weight_decay", "optimizer.power"], [-0.1]),
    ("optimizer.warmup_steps", -1),
    *itertools.product(["model.schedule", "evaluation.metrics"], [(1,), ("HF", 2)]),
    ("evaluation.metrics", ("recall",)),
]


class OfOneSize(OwnNetwork):
    """A backbone of one layer, and a parameter for each pixel."""

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool) -> SaliencyOutput:
        maps = nn.Conv(1, (1, 1), name="backbone")(images) + self.param("bias", nn.initializers.zeros, (1, 96, 96, 1))
        return SaliencyOutput((maps.astype(jnp.float32),), (), {})


class TestCheck:
    @pytest.mark.parametrize(("name", "value"), REFUSED)
    def test_refuses_and_names_the_field(self, name, value):
        with pytest.raises(UsageError) as caught:
            check(changed(**{name.replace(".", "__"): value}))
        message = str(caught.value)
        section, _, field = name.rpartition(".")
        # The section's own class says "config.augment: scale must ...".
        assert f"config.{name}=" in message or f"config.{section}: {field} " in message
        assert "\n" not in message
        assert message.endswith(".")
        assert caught.value.exit_code == 2

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("seed", 2**32 - 1),
            ("batch_size", 1),
            ("steps", 1),
            ("data.image_size", 32),
            ("data.workers", 0),
            ("data.balance", 0.999),
            ("data.mask_share", 0.0),
            ("data.mask_balance", 1.0),
            ("data.train_images", 1),
            ("data.tile_size", 16),
            ("data.tile_overlap", 0.9),
            ("average_decay", 0.9999),
            ("augment.rotation", 180.0),
            ("augment.scale", (1, 2)),
            ("augment.shift", 1.0),
            ("augment.paste", 1.0),
            ("loss.class_weight", 0.0),
            ("loss.iou_on", "defective"),
            ("optimizer.name", "adamw"),
            ("optimizer.name", "muon"),
            ("loss.output_weights", (0.0, 0, 1, 1.0, 2, 3)),
            ("optimizer.momentum", 0.0),
            ("optimizer.power", 0.0),
        ],
    )
    def test_lets_the_ends_of_the_ranges_through(self, name, value):
        check(changed(**{name.replace(".", "__"): value}))

    def test_every_field_of_a_limit_exists(self):
        limited = {*checks._AT_LEAST, *checks._ONE_OF, *checks._WITHIN, *checks._UP_TO, *checks._OF_TEXTS, *CHANGEABLE}
        assert limited <= flatten(defaults.default_config()).keys()

    def test_the_weights_are_as_many_as_the_outputs_of_the_network(self):
        check(changed(model__network="sdms", loss__output_weights=(1.0,) * 3))
        with pytest.raises(UsageError, match="must have 3 weights"):
            check(changed(model__network="sdms", loss__output_weights=(1.0,) * 6))

    @pytest.mark.parametrize(
        ("text", "metrics", "message"),
        [
            ("", ["absent"], "has no absent"),
            ("one = 1", ["one"], "is not a function"),
            ("def f(saliency_map, mask): ...", ["f", "f"], "has the name of another metric"),
            ("def iou(saliency_map, mask): ...", ["iou"], "has the name of another metric"),
        ],
    )
    def test_a_metric_that_cannot_be_had_is_refused_before_training(self, text, metrics, message, tmp_path):
        file = tmp_path / "metric.py"
        file.write_text(text)
        with pytest.raises(UsageError, match=rf"config\.evaluation\.metrics.*{message}"):
            check(changed(evaluation__metrics=tuple(f"{file}:{name}" for name in metrics)))

    @pytest.mark.parametrize(
        ("fields", "message"),
        [
            ({"folds": 1}, r"folds=1 leaves nothing to learn from: it must be at least 2, or 0"),
            ({"folds": -1}, r"folds=-1 is too small"),
            ({"folds": 4, "fold": -1}, r"fold=-1 is too small"),
            ({"folds": 4, "fold": 4}, r"fold=4 is no fold: with config\.data\.folds=4 they are 0 to 3"),
            ({"fold": 1}, r"fold=1 is no fold: say how many there are: config\.data\.folds"),
            (
                {"folds": 4, "select_on": "none"},
                r"folds=4 is about validation, and config\.data\.select_on=none learns",
            ),
            (
                {"folds": 4, "select_on": "test"},
                r"folds=4 is about validation, and config\.data\.select_on=test learns",
            ),
        ],
    )
    def test_folds_that_cannot_be(self, fields, message):
        check(changed(data__folds=4, data__fold=3))
        with pytest.raises(UsageError, match=rf"config\.data\.{message}"):
            check(changed(**{f"data__{name}": value for name, value in fields.items()}))

    @pytest.mark.parametrize(
        ("name", "value"), [("train_images", 9), ("mask_share", 0.5), ("without", "crack"), ("folds", 3)]
    )
    def test_few_images_learnt_by_heart_are_not_made_fewer(self, name, value):
        check(changed(**{f"data__{name}": value}))
        with pytest.raises(UsageError, match=rf"config\.data\.{name}={value!r} is not for config\.data\.overfit"):
            check(changed(**{f"data__{name}": value, "data__overfit": 4}))

    @pytest.mark.parametrize(("batch", "devices"), [(16, 3), (6, 4), (2, 4)])
    def test_a_batch_that_the_devices_cannot_share(self, batch, devices):
        with pytest.raises(UsageError, match=rf"config\.batch_size={batch} .* multiple of {devices}\.$"):
            check(changed(batch_size=batch), devices)

    @pytest.mark.parametrize(("network", "has_backbone"), [("bdms", True), ("r3net", True), ("unet", False)])
    def test_a_rate_of_a_backbone_that_the_network_does_not_have(self, network, has_backbone, tmp_path):
        config = changed(model__network=network, model__size="small", optimizer__backbone_multiplier=0.1)
        if has_backbone:
            assert finished_results(config, tmp_path) is None
        else:
            with pytest.raises(UsageError, match=r"config\.optimizer\.backbone_multiplier=0\.1 is not for unet"):
                finished_results(config, tmp_path)

    @pytest.mark.parametrize("multiplier", [1.0, 0.1])
    def test_a_rate_of_the_backbone_of_a_network_for_one_size(self, multiplier, tmp_path):
        config = changed(optimizer__backbone_multiplier=multiplier, data__image_size=96)
        config.model.network = f"{__name__}:OfOneSize"
        assert finished_results(config, tmp_path) is None

    @pytest.mark.parametrize("section", ["augment", "loss", "optimizer"])
    def test_an_unknown_field_of_a_section(self, section):
        config = defaults.default_config()
        config[section].colour = 1
        with pytest.raises(UsageError, match=rf"config\.{section}: .*colour"):
            check(config)


class TestSections:
    def test_values_reach_the_objects(self):
        config = changed(
            augment__rotation=3.0,
            augment__scale=(0.5, 2.0),
            augment__vertical_flip=True,
            loss__class_weight=0.5,
            loss__output_weights=(6.0, 5.0, 4.0, 3.0, 2.0, 1.0),
            optimizer__learning_rate=0.25,
            optimizer__double_bias_rate=True,
        )
        augment = build.augment_config(config)
        assert (augment.rotation, augment.scale, augment.vertical_flip) == (3.0, (0.5, 2.0), True)
        loss = build.loss_config(config)
        assert (loss.class_weight, loss.output_weights) == (0.5, (6.0, 5.0, 4.0, 3.0, 2.0, 1.0))
        optimizer = build.optimizer_config(config)
        assert (optimizer.learning_rate, optimizer.double_bias_rate) == (0.25, True)

    def test_the_defaults_are_those_of_the_objects(self):
        config = defaults.default_config()
        for section, describe in (
            ("augment", build.augment_config),
            ("loss", build.loss_config),
            ("optimizer", build.optimizer_config),
        ):
            assert describe(config) == type(describe(config))()
            assert set(config[section]) == set(type(describe(config)).__dataclass_fields__)
