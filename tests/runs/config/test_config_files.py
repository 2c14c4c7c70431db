"""The files of `configs/`, and the networks that they describe."""

import functools
import importlib
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest
from configurations import changed, get_config
from ml_collections import ConfigDict

from dms_jax.data.datasets import DATASETS
from dms_jax.errors import UsageError
from dms_jax.runs.config import build, defaults
from dms_jax.runs.config.build import build_model
from dms_jax.runs.config.checks import check
from dms_jax.runs.config.fields import flatten

CONFIGS = sorted(path.stem for path in (Path(__file__).parents[3] / "configs").glob("[!_]*.py"))


def documented_arguments(name):
    """The `key=value|value` pairs in the description of a configuration, as `key=value` each."""
    text = importlib.import_module(f"configs.{name}").__doc__
    if "arguments are those of `configs/bdms.py`" in text:
        return documented_arguments("bdms")
    if "Arguments:" not in text:
        return []
    keys = re.findall(r"\b(\w+)=(\w+(?:\|\w+)+)", text.partition("Arguments:")[2])
    assert keys, text
    return [f"{key}={value}" for key, values in keys for value in values.split("|")]


COMMANDS = [(name, argument) for name in CONFIGS for argument in (None, *documented_arguments(name))]


@functools.cache
def shapes(model):
    """Shapes of the answer and number of parameters, without computing anything."""
    images = jnp.zeros((1, 64, 64, 3))
    outputs, variables = jax.eval_shape(lambda key: model.init_with_output(key, images, train=False), jax.random.key(0))
    count = sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
    return [s.shape for s in outputs.saliency], [c.shape for c in outputs.classes], count


def difference(before, after):
    """The fields of the second configuration that the first has otherwise."""
    before, after = flatten(before), flatten(after)
    return {name: after[name] for name in after if after[name] != before[name]}


class TestConfigFiles:
    def test_are_found(self):
        assert {"bdms", "sdms", "quickstart"} <= set(CONFIGS)
        assert ("sdms", "size=lite") in COMMANDS
        assert ("bdms", "ablation=baseline") in COMMANDS

    @pytest.mark.parametrize(("name", "argument"), COMMANDS)
    def test_builds_and_passes(self, name, argument):
        config = get_config(name, argument)
        assert isinstance(config, ConfigDict)
        # With the fields of the defaults, no more and no fewer, and of their types.
        assert {name: type(value) for name, value in flatten(config).items()} == {
            name: type(value) for name, value in flatten(defaults.default_config()).items()
        }
        for devices in (1, 2, 4, 8):
            check(config, devices)
        dataset = DATASETS[config.data.dataset]
        if config.data.split and config.data.dataset != "synthetic":
            assert config.data.split in {known.name for known in dataset.BUILDER_CONFIGS}

    @pytest.mark.parametrize(("name", "argument"), [command for command in COMMANDS if command[1]])
    def test_the_argument_has_an_effect_unless_it_is_the_default(self, name, argument):
        # What U-Net's paper has for a loss is ours with a single output.
        defaults = {"dataset=mtdd", "size=full", "recipe=paper", "method=unet", "loss=shared", "loss=published"}
        assert (get_config(name, argument) == get_config(name)) == (argument in defaults)

    @pytest.mark.parametrize(("name", "argument"), COMMANDS)
    def test_its_model_builds(self, name, argument):
        config = get_config(name, argument)
        if "ablation" in (argument or ""):
            config.model.size = "small"  # quicker; the ablations change what comes after the backbone
        model = build_model(config, num_classes=6)
        saliency, classes, _ = shapes(model)
        outputs = model.num_outputs
        if name != "compare":
            assert outputs == (3 if name == "sdms" else 6)
        assert saliency == [(1, 64, 64, 1)] * outputs
        without_heads = name == "compare" or config.model.ablation in ("b", "baseline")
        assert classes == ([] if without_heads else [(1, 6)] * outputs)

    def test_arguments_go_together(self):
        config = get_config("bdms", "size=lite,split=tiles,recipe=scratch,ablation=c")
        assert (config.model.size, config.data.split, config.model.ablation) == ("lite", "tiles", "c")
        assert config.optimizer.learning_rate == get_config("bdms", "recipe=scratch").optimizer.learning_rate

    def test_recipes(self):
        paper, scratch, adamw, sgd = (
            get_config("bdms", f"recipe={name}") for name in ("paper", "scratch", "adamw", "sgd")
        )
        assert paper == get_config("bdms")
        assert (adamw.optimizer.name, sgd.optimizer.name, paper.optimizer.name) == ("adamw", "sgd", "sgd")
        assert difference(adamw, scratch) == {
            "data.image_size": 384,
            "model.class_pooling": "saliency",
            "model.zero_init_residual": True,
            "optimizer.learning_rate": 4e-3,
            "optimizer.name": "muon",
            "steps": 3500,
        }
        assert difference(sgd, adamw) == {
            "augment.paste": 0.5,
            "loss.iou_weight": 1.0,
            "optimizer.clip_norm": 1.0,
            "optimizer.learning_rate": 1e-3,
            "optimizer.name": "adamw",
            "optimizer.warmup_steps": 500,
            "optimizer.weight_decay": 0.05,
        }

    @pytest.mark.parametrize(
        ("name", "argument", "message"),
        [
            ("bdms", "sise=full", "'sise' is unknown; known keys are dataset, split, size, backbone, ablation"),
            ("sdms", "full", "'full' is not key=value"),
            ("bdms", "size=full,size=lite", "'size' is given twice"),
            ("bdms", "size=big", "size='big' is unknown; known are full, lite, medium, small"),
            ("bdms", "size=", "size='' is unknown"),
            ("sdms", "ablation=f", "ablation='f' is unknown"),
            ("sdms", "recipe=best", "recipe='best' is unknown"),
            ("bdms", "dataset=coco", ", synthetic, or your own as MODULE:NAME or FILE.py:NAME."),
            ("bdms", "backbone=bad.Four", ", resnet101, or your own as MODULE:NAME or FILE.py:NAME."),
            ("quickstart", "size=full", "this configuration takes none"),
        ],
    )
    def test_wrong_arguments(self, name, argument, message):
        with pytest.raises(UsageError, match=re.escape(message)):
            get_config(name, argument)


class TestBuildModel:
    # The counts of the two networks at six classes, with and without all channels kept.
    @pytest.mark.parametrize(
        ("name", "size", "count"),
        [
            ("sdms", "full", 65_431_141),
            ("bdms", "full", 75_327_874),
            ("sdms", "lite", 58_314_341),
            ("bdms", "lite", 62_011_778),
        ],
    )
    def test_sizes(self, name, size, count):
        _, _, found = shapes(build_model(get_config(name, f"size={size}"), num_classes=6))
        assert found == count

    def test_feature_growth_goes_before_the_size(self):
        for growth in ("concat", "reduce"):
            assert build_model(changed(model__size="lite", model__feature_growth=growth), 2).feature_growth == growth
        assert build_model(changed(model__size="lite"), 2).feature_growth == "reduce"
        assert build_model(changed(), 2).feature_growth == "concat"

    @pytest.mark.parametrize(
        ("name", "dtype"), [("auto", jnp.float32), ("float32", jnp.float32), ("bfloat16", jnp.bfloat16)]
    )
    def test_dtype(self, name, dtype):
        assert build_model(changed(dtype=name), 2).dtype == dtype

    def test_auto_is_bfloat16_on_an_accelerator(self, monkeypatch):
        monkeypatch.setattr(build.jax, "default_backend", lambda: "gpu")
        assert build_model(changed(), 2).dtype == jnp.bfloat16

    def test_axis_name(self):
        assert build_model(changed(), 2).axis_name is None
        assert build_model(changed(), 2, "data").axis_name == "data"
        assert build_model(changed(model__shared_statistics=False), 2, "data").axis_name is None
