"""What a run starts from: its own checkpoint, another run's, a backbone, random numbers, in this order."""

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from configs import bdms, compare
from dms_jax.checkpoints.backbone import BackboneDescription, save_backbone
from dms_jax.checkpoints.manager import Checkpoints
from dms_jax.errors import UsageError, UserError
from dms_jax.models import BDMS
from dms_jax.models.dms import SIZES
from dms_jax.runs.config import checks
from dms_jax.runs.config.build import build_model
from dms_jax.runs.config.flags import parse
from dms_jax.runs.initialization import NO_WEIGHTS, RANDOM, check_sources, initial_variables, starting_state
from dms_jax.runtime.devices import data_mesh
from dms_jax.training.optimizer import OptimizerConfig, create_optimizer

CLASSES = 4


def small(num_classes: int = CLASSES) -> BDMS:
    return BDMS(num_classes=num_classes, **SIZES["small"])


def filled(value: float, num_classes: int = CLASSES) -> dict[str, Any]:
    """Variables of the network, all of one value."""
    model = small(num_classes)
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), jnp.zeros((1, 64, 64, 3)), train=False))
    return jax.tree.map(lambda x: np.full(x.shape, value, x.dtype), dict(shapes))


def config_with(**init: Any) -> ConfigDict:
    config = bdms.get_config("size=small")
    config.init.update({name: str(value) for name, value in init.items()})
    return config


def values(tree: Any) -> set[float]:
    return {float(value) for leaf in jax.tree.leaves(tree) for value in np.unique(leaf)}


@pytest.fixture(scope="module")
def earlier_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with three classes, whose best network is 2 everywhere."""
    workdir = tmp_path_factory.mktemp("earlier")
    with Checkpoints(workdir) as checkpoints:
        checkpoints.save_best(7, filled(2.0, num_classes=3), 0.5)
    return workdir


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backbone that is 3 everywhere."""
    folder = tmp_path_factory.mktemp("backbones") / "small"
    whole = filled(3.0)
    save_backbone(folder, {kind: whole[kind]["backbone"] for kind in whole}, description_of(small()))
    return folder


def description_of(model: BDMS) -> BackboneDescription:
    fields = ("stage_sizes", "groups", "width_per_group", "base_channels")
    return BackboneDescription({name: getattr(model, name) for name in fields}, "weights.pth")


def test_without_a_source_everything_is_random_and_said_so() -> None:
    variables, sentences = initial_variables(filled(1.0), config_with())
    assert values(variables) == {1.0}
    assert sentences == (NO_WEIGHTS,)


@pytest.mark.parametrize("recipe", ["paper", "scratch", "adamw", "sgd"])
@pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")  # ml_collections, Python 3.11
def test_a_recipe_for_random_weights_is_told_of_no_others(recipe: str) -> None:
    command = ["train.py", f"--config=bdms:size=small,recipe={recipe}", "--config.optimizer.warmup_steps=7"]
    expected = NO_WEIGHTS if recipe == "paper" else RANDOM
    assert initial_variables(filled(1.0), parse(command, "")[0])[1] == (expected,)


def test_of_a_network_without_a_backbone_nothing_is_said_of_one() -> None:
    fresh = {"params": {"convolution": {"kernel": np.ones(3, np.float32)}}, "batch_stats": {}}
    assert initial_variables(fresh, config_with())[1] == ("this run starts from random weights",)


@pytest.mark.parametrize("field", ["network", "backbone"])
def test_of_ones_own_nothing_is_said_of_the_papers_backbone(field: str) -> None:
    config = config_with()
    config.model[field] = "mine.py:Mine"
    assert initial_variables(filled(1.0), config)[1] == (RANDOM,)


def test_a_backbone_fills_the_backbone_and_nothing_else(backbone: Path) -> None:
    variables, sentences = initial_variables(filled(1.0), config_with(backbone=backbone))
    for kind in ("params", "batch_stats"):
        assert values(variables[kind].pop("backbone")) == {3.0}
        assert values(variables[kind]) == {1.0}
    assert "weights.pth" in sentences[0]
    expected = "side_hf, side_lf, side_mf, step0, step1, step2, step3, step4, step5"
    assert sentences[1] == f"freshly initialised: {expected}"


@pytest.mark.parametrize("method", ["r3net", "poolnet", "egnet"])
def test_networks_of_the_comparison_begin_with_the_same_backbone(method: str, backbone: Path) -> None:
    config = compare.get_config(f"method={method},size=small")
    config.init.backbone = str(backbone)
    model = build_model(config, CLASSES)
    check_sources(config, model)
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), jnp.zeros((1, 64, 64, 3)), train=False))
    fresh = jax.tree.map(lambda x: np.ones(x.shape, x.dtype), dict(shapes))
    variables, _ = initial_variables(fresh, config)
    for kind in ("params", "batch_stats"):
        assert values(variables[kind].pop("backbone")) == {3.0}
        assert values(variables[kind]) == {1.0}


@pytest.mark.parametrize("method", ["unet", "dss"])
def test_a_backbone_is_refused_where_it_would_stand_nowhere(method: str, backbone: Path) -> None:
    config = compare.get_config(f"method={method}")
    config.init.backbone = str(backbone)
    with pytest.raises(UserError, match=f"is not for {method}, whose backbone is no ResNeXt: leave it out"):
        check_sources(config, build_model(config, CLASSES))


def test_a_checkpoint_stands_above_a_backbone_but_where_it_is_skipped(earlier_run: Path, backbone: Path) -> None:
    skip = "step*/classes, backbone/stage4_block1"
    config = config_with(checkpoint=earlier_run, skip=skip, backbone=backbone)
    variables, sentences = initial_variables(filled(1.0), config)
    params = variables["params"]
    assert values(params["backbone"].pop("stage4_block1")) == {3.0}
    assert values([params[f"step{i}"].pop("classes") for i in range(6)]) == {1.0}
    assert values(params) == {2.0}
    assert values(variables["batch_stats"]["backbone"].pop("stage4_block1")) == {3.0}
    assert values(variables["batch_stats"]) == {2.0}
    assert params["step0"]["saliency"]["bias"].shape == (1,)
    # What the checkpoint stands above is not counted.
    stage = jax.tree.leaves(
        {kind: filled(1.0)[kind]["backbone"]["stage4_block1"] for kind in ("params", "batch_stats")}
    )
    assert f"from weights.pth, {len(stage)} tensors, " in sentences[0]
    assert sentences[1].startswith(f"restored: step 7 of {earlier_run}, ")
    classes = ", ".join(f"step{i}/classes" for i in range(6))
    assert sentences[2] == f"skipped: backbone/stage4_block1, {classes}"
    assert sentences[3] == f"freshly initialised: {classes}"


def test_reading_either_source_logs_nothing(
    earlier_run: Path, backbone: Path, caplog: pytest.LogCaptureFixture
) -> None:
    initial_variables(filled(1.0, 3), config_with(checkpoint=earlier_run, backbone=backbone))
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_the_amount_restored_is_that_of_the_parameters(earlier_run: Path) -> None:
    variables, sentences = initial_variables(filled(1.0, 3), config_with(checkpoint=earlier_run))
    assert values(variables) == {2.0}
    tensors = len(jax.tree.leaves(variables))
    parameters = sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
    assert sentences == (f"restored: step 7 of {earlier_run}, {tensors} tensors, {parameters:,} parameters",)


def test_new_classes_must_be_skipped_by_name(earlier_run: Path) -> None:
    with pytest.raises(UserError) as caught:
        initial_variables(filled(1.0), config_with(checkpoint=earlier_run))
    message = str(caught.value)
    assert "step0/classes/kernel is [32, 3]" in message or "step0/classes/bias is [3]" in message
    assert str(earlier_run) in message
    assert message.endswith("skip the class heads with config.init.skip=step*/classes.")


def test_what_either_side_lacks_is_named(earlier_run: Path) -> None:
    config = config_with(checkpoint=earlier_run)
    fresh = filled(1.0, 3)
    del fresh["params"]["step5"], fresh["batch_stats"]["step5"]
    with pytest.raises(UserError, match=r"has step5, which the network lacks: skip it with config\.init\.skip"):
        initial_variables(fresh, config)
    fresh = filled(1.0, 3)
    for kind in fresh:
        fresh[kind]["step6"] = fresh[kind]["step5"]
    with pytest.raises(UserError, match=r"lacks step6, which the network has: skip it with config\.init\.skip"):
        initial_variables(fresh, config)
    config.init.skip = "step6"
    assert values(initial_variables(fresh, config)[0]["params"]["step6"]) == {1.0}


def test_a_pattern_for_nothing_is_refused(earlier_run: Path) -> None:
    with pytest.raises(UserError, match=r"'step\*/clases' matches nothing"):
        initial_variables(filled(1.0), config_with(checkpoint=earlier_run, skip="step*/clases"))


class TestSourcesAreChecked:
    def test_a_backbone_of_another_architecture(self, tmp_path: Path) -> None:
        config = config_with(backbone=tmp_path / "b")
        save_backbone(tmp_path / "b", {"params": {"x": np.zeros(1)}}, description_of(BDMS(num_classes=1)))
        with pytest.raises(
            UserError, match=r"holds resnext101_32x4d, but the network's backbone is ResNeXt\(stage_s"
        ) as e:
            check_sources(config, small())
        assert str(e.value).endswith(": set config.model.backbone=resnext101_32x4d.")
        check_sources(config, BDMS(num_classes=1))

    def test_a_backbone_that_no_configuration_names(self, backbone: Path) -> None:
        with pytest.raises(UserError, match=r"backbone is resnext101_32x4d: import weights of that one\.$"):
            check_sources(config_with(backbone=backbone), BDMS(num_classes=1))

    @pytest.mark.parametrize("field", ["checkpoint", "backbone"])
    def test_a_folder_without_one(self, field: str, tmp_path: Path) -> None:
        for folder in (tmp_path, tmp_path / "absent"):
            with pytest.raises(UserError, match=f"config.init.{field}={folder}" if field == "checkpoint" else "import"):
                check_sources(config_with(**{field: folder}), small())

    def test_frozen_statistics_without_any(self) -> None:
        config = config_with()
        config.model.frozen_statistics = "backbone"
        with pytest.raises(UsageError, match=r"config\.init\.checkpoint or config\.init\.backbone"):
            checks.check(config)

    def test_skip_without_a_checkpoint(self) -> None:
        with pytest.raises(UsageError, match=r"config\.init\.skip"):
            checks.check(config_with(skip="step0"))


def test_a_new_state_has_the_values_wherever_they_are_kept(earlier_run: Path, tmp_path: Path) -> None:
    config = config_with(checkpoint=earlier_run)
    config.average_decay = 0.9
    model, optimizer = small(3), create_optimizer(OptimizerConfig(), 10)
    with Checkpoints(tmp_path) as checkpoints:
        state, sentences = starting_state(
            config, model, optimizer, data_mesh(jax.devices()[:1]), checkpoints, SimpleNamespace()
        )
    assert values(state.params) == values(state.batch_stats) == values(state.averaged) == {2.0}
    assert values(state.opt_state) == {0.0}
    assert int(state.step) == 0
    assert len(sentences) == 1
    # The step is given the state to reuse its memory: no array may be in it twice.
    leaves = [leaf.addressable_data(0).unsafe_buffer_pointer() for leaf in jax.tree.leaves(state) if leaf.size > 1]
    assert len(leaves) == len(set(leaves))
