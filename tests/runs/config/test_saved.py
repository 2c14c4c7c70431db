"""The configuration that a run keeps, and which of its fields may change when it is resumed."""

import json
import re
import shlex
from pathlib import Path

import pytest
from configurations import changed, get_config

from dms_jax.errors import UserError
from dms_jax.runs.config import build, defaults, saved
from dms_jax.runs.config.checks import check
from dms_jax.runs.config.fields import flatten
from dms_jax.runs.config.flags import parse
from dms_jax.runs.config.saved import CHANGEABLE, check_resumes, load, save

# All that a configuration had by then.
EARLIER_FIELDS = """
augment.brightness augment.contrast augment.horizontal_flip augment.paste augment.rotation augment.scale augment.shift
augment.vertical_flip average_decay batch_size checkpoint_every deterministic dtype evaluate_every keep_checkpoints
log_every report seed steps tensorboard_images data.balance data.cache data.data_dir data.dataset data.fold data.folds
data.image_size data.manual_dir data.mask_share data.mask_values data.overfit data.resize data.select_on data.skip_bad
data.split data.threads data.tile_overlap data.tile_size data.train_images data.value_range data.without data.workers
data.synthetic.images data.synthetic.seed data.synthetic.size evaluation.max_false_alarms evaluation.metrics
init.backbone init.checkpoint init.skip loss.class_weight loss.edge_weight loss.iou_on loss.iou_weight
loss.output_weights loss.pasted_weight loss.saliency_weight loss.ssim_weight model.ablation model.backbone
model.class_pooling model.feature_growth model.frozen_statistics model.network model.options model.remat
model.saliency_prior model.schedule model.shared_statistics model.size model.zero_init_residual
optimizer.backbone_multiplier optimizer.clip_norm optimizer.double_bias_rate optimizer.learning_rate
optimizer.momentum optimizer.name optimizer.power optimizer.warmup_steps optimizer.weight_decay
"""


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

    def test_a_run_of_november_2026_can_be_opened_and_resumed(self, tmp_path):
        """Whatever fields have been added since."""
        config = defaults.default_config()
        fields = config.to_dict()
        for name in flatten(config).keys() - set(EARLIER_FIELDS.split()):
            section, _, field = name.rpartition(".")
            del (fields[section] if section else fields)[field]
        (tmp_path / "config.json").write_text(json.dumps(fields))
        found = load(tmp_path)
        check(found)
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
        # As another host may have it.
        check_resumes(now, earlier, tmp_path, elsewhere=True)

    def test_lists_among_the_options_of_a_network(self, tmp_path):
        config = changed()
        config.model.options = {"sizes": [1, [2]], "rates": {"a": [3]}}
        check_resumes(config, saved_and_loaded(config, tmp_path), tmp_path)

    @pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")  # ml_collections, Python 3.11
    def test_what_is_told_of_options_that_are_missing_now_goes_on_with_the_run(self, tmp_path):
        command = ["train.py", "--config=quickstart", "--config.model.options.unused=3"]
        options = [f"--config.model.options.{option}" for option in ("width=8", "kind='8'", "sizes=('a', 2)")]
        earlier = saved_and_loaded(parse([*command, *options], "")[0], tmp_path)
        with pytest.raises(UserError) as caught:
            check_resumes(parse(command, "")[0], earlier, tmp_path)
        told = str(caught.value).partition(" one give ")[2].partition(", or choose ")[0]
        check_resumes(parse([*command, *shlex.split(told)], "")[0], earlier, tmp_path)

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
        # As the recipe was before its class heads saw the defect, and before its rate and its images became larger.
        earlier = get_config(network, "recipe=scratch,split=tiles")
        earlier.data.image_size, earlier.optimizer.learning_rate = 300, 1e-3
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
