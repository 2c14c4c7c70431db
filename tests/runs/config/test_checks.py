import functools
import importlib
import itertools
import json
import re
import shlex
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest
from ml_collections import ConfigDict

from dms_jax.data.datasets import DATASETS
from dms_jax.errors import UsageError, UserError
from dms_jax.runs.config import build, checks, defaults, saved
from dms_jax.runs.config.build import build_model
from dms_jax.runs.config.checks import check
from dms_jax.runs.config.fields import flatten
from dms_jax.runs.config.flags import parse
from dms_jax.runs.config.saved import CHANGEABLE, check_resumes, load, save

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


def get_config(name, argument=None):
    return importlib.import_module(f"configs.{name}").get_config(argument)


def changed(**fields):
    """The default configuration with other values, for names with __ for dots."""
    config = defaults.default_config()
    with config.unlocked():
        for name, value in fields.items():
            config.update_from_flattened_dict({name.replace("__", "."): value})
    return config


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
            "model.class_pooling": "saliency",
            "model.zero_init_residual": True,
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
            ("bdms", "dataset=coco", "dataset='coco' is unknown"),
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


REFUSED = [
    *itertools.product(["seed"], [-1, 2**32]),
    *itertools.product(["batch_size", "steps", "log_every", "evaluate_every", "checkpoint_every"], [0, -4]),
    *itertools.product(["keep_checkpoints", "data.threads"], [0, -1]),
    *itertools.product(["data.overfit", "data.workers", "data.cache", "data.train_images"], [-1]),
    *itertools.product(["data.image_size"], [0, -300, 31]),
    *itertools.product(["data.tile_size"], [-1, 1, 15]),
    *itertools.product(["data.tile_overlap"], [-0.1, 0.91, float("nan")]),
    *itertools.product(["data.balance", "average_decay"], [-0.1, 1.0, 1.5, float("nan")]),
    *itertools.product(["data.mask_share", "evaluation.max_false_alarms"], [-0.1, 1.1, float("nan")]),
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
]


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
        limited = {*checks._AT_LEAST, *checks._ONE_OF, *checks._WITHIN, *checks._UP_TO, *CHANGEABLE}
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
            ({"folds": 4, "fold": 4}, r"fold=4 is no fold: it must be below config\.data\.folds=4"),
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


class TestFile:
    @pytest.mark.parametrize(("name", "argument"), [("bdms", "recipe=scratch"), ("sdms", None), ("quickstart", None)])
    def test_comes_back_as_it_was(self, name, argument, tmp_path):
        config = get_config(name, argument)
        save(config, tmp_path)
        found = load(tmp_path)
        assert found == config
        assert found.augment.scale == config.augment.scale
        assert type(found.augment.scale) is type(found.loss.output_weights) is tuple
        assert [path.name for path in tmp_path.iterdir()] == ["config.json"]

    def test_what_comes_back_can_be_used(self, tmp_path):
        save(changed(loss__output_weights=(1.0, 2.0, 3.0, 4.0, 5.0, 6.0)), tmp_path)
        found = load(tmp_path)
        check(found)
        assert build.loss_config(found).output_weights == (1.0, 2.0, 3.0, 4.0, 5.0, 6.0)
        assert hash(build.loss_config(found)) == hash(build.loss_config(found))

    def test_a_run_of_an_earlier_version_resumes_as_it_was(self, tmp_path):
        config = defaults.default_config()
        fields = config.to_dict()
        for name in saved._ADDED:
            section, _, field = name.rpartition(".")
            del (fields[section] if section else fields)[field]
        (tmp_path / "config.json").write_text(json.dumps(fields))
        found = load(tmp_path)
        check(found)
        assert (found.deterministic, found.data.cache, found.model.shared_statistics) == (False, 0.0, True)
        assert (found.optimizer.name, found.optimizer.clip_norm) == ("sgd", 0.0)
        for describe in (build.augment_config, build.loss_config, build.optimizer_config):
            assert describe(found) == describe(config)
        saved.check_resumes(config, found, tmp_path)

    def test_none_where_there_is_no_run(self, tmp_path):
        assert load(tmp_path) is None
        assert load(tmp_path / "absent") is None

    @pytest.mark.parametrize("text", [b"", b'{"seed": 0', b"\xff\xfe", b"[1]", b"null", b"3"])
    def test_damaged_file(self, tmp_path, text):
        (tmp_path / "config.json").write_bytes(text)
        with pytest.raises(UserError, match=r"config\.json is not valid.*--workdir") as caught:
            load(tmp_path)
        assert caught.value.exit_code == 1

    def test_a_folder_in_its_place(self, tmp_path):
        (tmp_path / "config.json").mkdir()
        with pytest.raises(UserError, match=r"config\.json"):
            load(tmp_path)


def another(value):
    """Some other value of the same type."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, str):
        return value + "x"
    if isinstance(value, tuple):
        return (*value, 0.5)
    return value + 1


def saved_and_loaded(config, folder):
    save(config, folder)
    return load(folder)


FIELDS = sorted(flatten(defaults.default_config()))


class TestCheckResumes:
    def test_the_documentation_lists_what_may_change(self):
        page = (Path(__file__).parents[3] / "docs" / "training.md").read_text()
        section = page.partition("## Resuming a run, and training longer\n")[2].partition("\n## ")[0]
        cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
        assert set(re.findall(r"`([\w.]+)`", "".join(cells))) == CHANGEABLE

    @pytest.mark.parametrize("name", FIELDS)
    def test_each_field(self, name, tmp_path):
        earlier = saved_and_loaded(defaults.default_config(), tmp_path)
        was = flatten(defaults.default_config())[name]
        now = defaults.default_config()
        now.update_from_flattened_dict({name: another(was)})
        if name in CHANGEABLE:
            check_resumes(now, earlier, tmp_path)
            return
        with pytest.raises(UserError, match=re.escape(f"differs in config.{name} (was {was!r}, is ")) as caught:
            check_resumes(now, earlier, tmp_path)
        assert caught.value.exit_code == 1
        assert str(caught.value).startswith(f"{tmp_path} holds another run")
        option = shlex.quote(f"--config.{name}={was}")
        fix = f"to go on with that one give {option}, or choose another --workdir."
        assert str(caught.value).endswith(f": {fix}")
        assert str(caught.value).count("config.") == 2

    @pytest.mark.parametrize(("dataset", "refused"), [("folder", True), ("mtdd", False)])
    def test_another_folder_is_another_dataset(self, dataset, refused, tmp_path):
        earlier = saved_and_loaded(changed(data__dataset=dataset, data__manual_dir="here"), tmp_path)
        now = changed(data__dataset=dataset, data__manual_dir="there")
        if refused:
            with pytest.raises(UserError, match=r"config\.data\.manual_dir \(was 'here', is 'there'\)"):
                check_resumes(now, earlier, tmp_path)
        else:
            check_resumes(now, earlier, tmp_path)

    def test_names_every_different_field(self, tmp_path):
        earlier = saved_and_loaded(changed(seed=3, augment__scale=(0.5, 2.0)), tmp_path)
        with pytest.raises(UserError) as caught:
            check_resumes(changed(seed=4, steps=7, model__size="lite"), earlier, tmp_path)
        named = re.findall(r"config\.([\w.]+) ", str(caught.value))
        assert named == ["augment.scale", "model.size", "seed"]

    @pytest.mark.parametrize(("name", "argument"), [("bdms", "recipe=scratch"), ("quickstart", None)])
    def test_the_same_run(self, name, argument, tmp_path):
        earlier = saved_and_loaded(get_config(name, argument), tmp_path)
        check_resumes(get_config(name, argument), earlier, tmp_path)

    @pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")  # ml_collections, Python 3.11
    @pytest.mark.parametrize("network", ["bdms", "sdms"])
    def test_what_is_told_of_a_run_of_a_recipe_that_has_become_another_goes_on_with_it(self, network, tmp_path):
        earlier = get_config(network, "recipe=adamw,split=tiles")
        earlier.model.schedule = ("HF", "MF")
        del earlier.model.class_pooling
        earlier = saved_and_loaded(earlier, tmp_path)
        command = ["train.py", f"--config={network}:recipe=scratch,split=tiles"]
        with pytest.raises(UserError) as caught:
            check_resumes(parse(command, "")[0], earlier, tmp_path)
        told = str(caught.value).partition(" one give ")[2].partition(", or choose ")[0]
        assert "--config.model.class_pooling=average" in shlex.split(told)
        check_resumes(parse([*command, *shlex.split(told)], "")[0], earlier, tmp_path)

    def test_a_number_written_another_way_is_the_same(self, tmp_path):
        earlier = saved_and_loaded(changed(augment__scale=(1, 2)), tmp_path)
        check_resumes(changed(augment__scale=(1.0, 2.0)), earlier, tmp_path)

    def test_a_run_of_an_earlier_version(self, tmp_path):
        older = defaults.default_config()
        del older.deterministic
        check_resumes(defaults.default_config(), saved_and_loaded(older, tmp_path), tmp_path)
        with pytest.raises(UserError, match=r"differs in config\.deterministic \(was False, is True\):"):
            check_resumes(changed(deterministic=True), saved_and_loaded(older, tmp_path), tmp_path)

    def test_fields_that_only_one_of_them_has(self, tmp_path):
        older = defaults.default_config()
        del older.average_decay
        older.colour = 1
        with pytest.raises(UserError, match=r"config\.average_decay \(was None, is 0\.0\), config\.colour \(was 1, is"):
            check_resumes(defaults.default_config(), saved_and_loaded(older, tmp_path), tmp_path)
