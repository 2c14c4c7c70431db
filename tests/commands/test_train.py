import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from dms_jax.commands.train import launch
from dms_jax.errors import UserError
from dms_jax.runs import loop
from dms_jax.runs.config import saved
from dms_jax.runs.config.flags import default_workdir, parse

ROOT = Path(__file__).parents[2]
QUICKSTART = str(ROOT / "configs" / "quickstart.py")
BDMS = str(ROOT / "configs" / "bdms.py")

pytestmark = pytest.mark.filterwarnings(
    # ml_collections reads configuration files in a way that Python will drop one day.
    r"ignore:the load_module\(\) method is deprecated:DeprecationWarning"
)


@pytest.fixture(autouse=True)
def no_training(monkeypatch):
    """A mistake that is not noticed must not cost minutes."""

    def reached(config, workdir):
        raise AssertionError("the mistake was not noticed")

    monkeypatch.setattr(saved, "save", reached)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """Everything that a mistake might leave behind lands in an empty folder."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HOME", str(folder))
    return folder


@pytest.fixture
def fails(home, tmp_path, capsys):
    """Launches with wrong arguments; checks the form of the failure and gives its sentence."""

    def run(*arguments, exit_code=2, workdir=True, announced=False):
        places = [f"--config.data.data_dir={home / 'data'}"]
        if workdir:
            places.append(f"--workdir={home / 'run'}")
        code = launch(QUICKSTART, ["train.py", *places, *arguments])
        printed = capsys.readouterr()
        assert code == exit_code, printed.err
        assert printed.out == ""
        assert "Traceback" not in printed.err
        *before, sentence = printed.err.splitlines()
        assert sentence.startswith("train.py: ")
        # What the devices are may stand before a failure of the dataset.
        assert all(announced and ("device(s)" in line or "NO ACCELERATOR" in line) for line in before)
        assert list(home.iterdir()) == []
        return sentence.removeprefix("train.py: ")

    return run


def write(folder, text, name="own.py"):
    path = folder / name
    path.write_text(text)
    return path


class TestWrongUsage:
    @pytest.mark.parametrize(
        ("argument", "message"),
        [
            (
                "--config.colour=1",
                r"^config\.colour is unknown; known are config\.augment\.\*, config\.average_decay, .*\.data\.\*, "
                r".*config\.steps, .*config\.tensorboard_images\.$",
            ),
            (
                "--config.data.colour=1",
                r"^config\.data\.colour is unknown; known are config\.data\.balance, config\.data\.cache, ",
            ),
            ("--config.data.color=1", r"config\.data\.split, config\.data\.synthetic\.\*, .*config\.data\.workers\.$"),
            ("--config.data.synthetic.colour=1", r"known are config\.data\.synthetic\.images, .*seed.*size\.$"),
            ("--config.colour.red=1", r"^config\.colour\.red is unknown; known are "),
            ("--config.model=bdms", r"^config\.model is unknown; known are config\.model\.ablation, "),
            ("--config.model.colour=1", r", config\.model\.options\.\*, config\.model\.remat, "),
            (
                "--config.model.options={}",
                r"^config\.model\.options is unknown; known are config\.model\.options\.NAME\.$",
            ),
            ("--config.model.options.=1", r"^config\.model\.options\. is unknown"),
            *(
                (f"--config.model.options.sizes={value}", r"^config\.model\.options\.sizes=.* cannot be kept with a ")
                for value in ("{1, 2}", "b'x'", "1e999", "{1: 2}", "{'a.b': 1}", "[{3}]")
            ),
            (
                "--config.batch_size.x=1",
                r"^config\.batch_size\.x is unknown \(did you mean config\.batch_size\?\); known are ",
            ),
            (
                "--config.bach_size=8",
                r"^config\.bach_size is unknown \(did you mean config\.batch_size\?\); known are ",
            ),
            ("--config.data.imagesize=96", r"is unknown \(did you mean config\.data\.image_size\?\); known are "),
            ("--config.learning_rate=1", r"is unknown \(did you mean config\.optimizer\.learning_rate\?\); known are "),
            ("--config.=1", r"^config\. is unknown"),
            ("-config.colour=1", r"^config\.colour is unknown"),
        ],
    )
    def test_unknown_field(self, fails, argument, message):
        assert_matches(fails(argument), message)

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("batch_size", "many"),
            ("batch_size", "4.5"),
            ("batch_size", ""),
            ("batch_size", "true"),
            ("steps", "1e3"),
            ("optimizer.learning_rate", "fast"),
            ("model.saliency_prior", "maybe"),
            ("augment.scale", "wide"),
            ("augment.scale", "(1.0"),
        ],
    )
    def test_value_of_the_wrong_type(self, fails, field, value):
        assert f"config.{field}=" in fails(f"--config.{field}={value}")

    @pytest.mark.parametrize(
        ("field", "value", "kind"),
        [
            ("batch_size", "eight", "a whole number"),
            ("optimizer.learning_rate", "fast", "a number"),
            ("model.saliency_prior", "maybe", "true or false"),
        ],
    )
    def test_value_of_the_wrong_type_is_told_in_plain_words(self, fails, field, value, kind):
        assert fails(f"--config.{field}={value}") == f"config.{field}={value} is not {kind}."

    def test_field_without_a_value(self, fails):
        assert fails("--config.batch_size") == "--config.batch_size has no value: write --config.batch_size=VALUE."
        # Of its value after a space, too, which is not to blame.
        assert fails("--config.batch_size", "8") == fails("--config.batch_size")

    @pytest.mark.parametrize(
        ("argument", "message"),
        [
            (
                "sise=full",
                r"^config argument 'sise' is unknown; known keys are dataset, split, size, backbone, ablation",
            ),
            ("size=big", r"^config argument size='big' is unknown; known are full, lite, medium, small\.$"),
            ("size", r"^config argument 'size' is not key=value"),
            ("size=full,size=lite", r"^config argument 'size' is given twice\.$"),
        ],
    )
    def test_config_argument(self, fails, argument, message):
        assert_matches(fails(f"--config={BDMS}:{argument}"), message)

    @pytest.mark.parametrize("file", ["absent.py", "configs/absent.py", "configs", "", "."])
    def test_missing_config_file(self, fails, file):
        assert (
            fails(f"--config={file}")
            == f"--config={file} cannot be read: name a file, or one of bdms, compare, quickstart, sdms."
        )

    def test_the_last_config_file_counts(self, fails):
        assert "--config=absent.py cannot" in fails(f"--config={BDMS}", "--config=absent.py")

    @pytest.mark.parametrize("arguments", [["--config"], ["--config", BDMS], ["-config", BDMS]])
    def test_config_without_an_equals_sign(self, fails, arguments):
        assert fails(*arguments) == "--config takes its value after an equals sign: write --config=FILE."

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("def get_config(:", "SyntaxError: invalid syntax"),
            ("import nowhere_to_be_found", "ModuleNotFoundError: No module named 'nowhere_to_be_found'"),
            ("def get_config(argument=None): return {}['absent']", "KeyError: 'absent'"),
            ("def get_config(argument=None): return int('one')", "ValueError: invalid literal"),
            ("def get_config(argument=None): return 1 / 0", "ZeroDivisionError: division by zero"),
            ("def get_config(argument=None): return 3", "'int' object has no attribute"),
        ],
    )
    def test_a_config_file_that_fails(self, fails, tmp_path, text, reason):
        sentence = fails(f"--config={write(tmp_path, text)}")
        assert f"--config={tmp_path}/own.py fails with " in sentence
        assert reason in sentence

    @pytest.mark.parametrize(
        ("line", "message"),
        [
            (
                "config.optimizer.learning_rat = 0.1",
                r"own\.py: config\.optimizer\.learning_rat is unknown \(did you mean config\.optimizer\.learning_rate",
            ),
            ("config.data.imagesize = 96", r"own\.py: config\.data\.imagesize is unknown \(did you mean config"),
            ("config.colour = 'red'", r"own\.py: config\.colour is unknown; known are config\.augment\.\*, "),
            ("config.model.options.colour = 1; del config.seed", r"own\.py lacks config\.seed: begin with dms_jax\."),
            ("del config.data", r"own\.py lacks config\.data\.balance, .* and \d+ more: begin "),
        ],
    )
    def test_a_config_file_with_other_fields(self, fails, tmp_path, line, message):
        text = "from dms_jax.runs.config import defaults\ndef get_config():\n    config = defaults.default_config()\n"
        assert_matches(fails(f"--config={write(tmp_path, f'{text}    {line}; return config')}"), message)

    def test_an_argument_for_a_config_that_takes_none(self, fails, tmp_path):
        text = "from dms_jax.runs.config import defaults\ndef get_config(): return defaults.default_config()"
        assert "own.py:size=lite fails with TypeError: get_config() takes 0" in fails(
            f"--config={write(tmp_path, text)}:size=lite"
        )

    @pytest.mark.parametrize(
        "flag", ["--colour=1", "--colour", "-x", "--Config=a.py", "--work-dir=x", "--noconfig.seed"]
    )
    def test_unknown_flag(self, fails, flag):
        assert flag.lstrip("-").partition("=")[0] in fails(flag)

    def test_flag_file(self, fails):
        assert "absent.txt" in fails("--flagfile=absent.txt")

    @pytest.mark.parametrize("arguments", [["train"], [BDMS], ["config.batch_size=4"], ["--", "train"]])
    def test_positional_argument(self, fails, arguments):
        assert fails(*arguments) == f"argument {arguments[-1]!r} is not understood: flags begin with --."

    def test_empty_workdir(self, fails):
        assert fails("--workdir=", workdir=False) == "--workdir is empty: name a folder, or leave the flag out."
        assert "--workdir" in fails("--workdir", workdir=False)

    @pytest.mark.parametrize(
        ("argument", "message"),
        [
            ("batch_size=-4", "config.batch_size=-4 is too small: it must be at least 1."),
            ("batch_size=6", "config.batch_size=6 cannot be divided among 4 devices: choose a multiple of 4."),
            ("seed=4294967296", "config.seed=4294967296 must be at least 0 and below 4294967296."),
            ("optimizer.learning_rate=nan", "config.optimizer.learning_rate=nan is not a finite number."),
            (
                "model.size=big",
                "config.model.size='big' is unknown: it must be one of 'full', 'lite', 'medium', 'small'.",
            ),
            (
                "model.backbone=bad.Four",
                "config.model.backbone='bad.Four' is unknown: it must be one of '', 'resnext101_32x4d', "
                "'resnext101_32x8d', 'resnext101_64x4d', 'resnext50_32x4d', 'resnet50', 'resnet101', "
                "or your own as MODULE:NAME or FILE.py:NAME.",
            ),
            (
                "loss.output_weights=(1,2)",
                "config.loss.output_weights=(1, 2) must have 6 weights, one for each output.",
            ),
            ("loss.output_weights=('a',)", "config.loss.output_weights=('a',) must hold numbers only."),
            ("model.schedule=('HF',2)", "config.model.schedule=('HF', 2) must hold texts only."),
            ("evaluation.metrics=(1,)", "config.evaluation.metrics=(1,) must hold texts only."),
            (
                "evaluation.metrics=recall",
                "config.evaluation.metrics=recall names no code of your own: write MODULE:NAME or FILE.py:NAME.",
            ),
        ],
    )
    def test_value_out_of_range(self, fails, argument, message):
        assert fails(f"--config.{argument}") == message

    @pytest.mark.parametrize(
        ("argument", "message"),
        [
            ("synthetic.size=4", "size of the synthetic dataset must be a whole number from 48 to 1024, not 4."),
            ("synthetic.images=-1", "images of the synthetic dataset must be .* not -1"),
            ("dataset=coco", "dataset 'coco' is unknown: it is one of .*synthetic"),
            ("split=tiles", "split 'tiles' is unknown"),
        ],
    )
    def test_dataset_that_does_not_exist(self, fails, argument, message):
        assert_matches(fails(f"--config.data.{argument}", announced=True), message)

    def test_split_that_does_not_exist(self, fails):
        assert_matches(
            fails(f"--config={BDMS}:split=thirds", announced=True), "'thirds' of dataset mtdd .* paper, tiles"
        )


class TestFailure:
    @pytest.mark.parametrize("kind", ["absent", "empty", "file"])
    def test_manual_dir(self, fails, tmp_path, kind):
        manual = tmp_path / "manual"
        if kind == "empty":
            manual.mkdir()
        elif kind == "file":
            manual.touch()
        sentence = fails(f"--config={BDMS}", f"--config.data.manual_dir={manual}", exit_code=1, announced=True)
        assert sentence == f"manual_dir {manual} is not a folder with files: give the folder of the dataset."

    def test_manual_dir_of_something_else(self, tmp_path, capsys):
        (tmp_path / "manual").mkdir()
        (tmp_path / "manual" / "notes.txt").touch()
        self.check_mtdd(tmp_path, capsys, "manual")

    def test_manual_dir_with_a_damaged_image(self, tmp_path, capsys):
        for folder in ("MT_Free", "MT_Blowhole", "MT_Break", "MT_Crack", "MT_Fray", "MT_Uneven"):
            images = tmp_path / "manual" / folder / "Imgs"
            images.mkdir(parents=True)
            for frame in range(1, 5001, 1000):
                for suffix in (".jpg", ".png"):
                    Image.new("L", (6, 5)).save(images / f"exp1_num_{frame}{suffix}")
        damaged = tmp_path / "manual" / "MT_Uneven" / "Imgs" / "exp1_num_1.jpg"
        damaged.write_bytes(damaged.read_bytes()[:30])
        self.check_mtdd(tmp_path, capsys, "exp1_num_1.jpg", "--config.data.split=tiles")

    def check_mtdd(self, tmp_path, capsys, named, *arguments):
        data, workdir = tmp_path / "data", tmp_path / "run"
        flags = [f"--config.data.data_dir={data}", f"--config.data.manual_dir={tmp_path / 'manual'}"]
        code = launch(QUICKSTART, ["train.py", f"--config={BDMS}", f"--workdir={workdir}", *flags, *arguments])
        printed = capsys.readouterr()
        sentences = [line for line in printed.err.splitlines() if line.startswith("train.py: ")]
        assert code == 1, printed.err
        assert "Traceback" not in printed.err
        assert len(sentences) == 1
        assert printed.err.endswith(sentences[0] + "\n")
        assert named in sentences[0]
        assert not workdir.exists()
        assert [path for path in data.rglob("*") if path.is_file() or "incomplete" in path.name] == []

    @pytest.mark.parametrize("kept", ["checkpoints", "best"])
    def test_workdir_of_another_run(self, home, capsys, kept):
        (home / "run" / kept / "3").mkdir(parents=True)
        (home / "run" / "config.json").write_text('{"seed": 0, "steps": 3, "data": {"dataset": "mtdd"}}')
        code = launch(QUICKSTART, ["train.py", "--workdir=run", f"--config.data.data_dir={home / 'data'}"])
        [sentence] = capsys.readouterr().err.splitlines()
        assert code == 1
        assert sentence.startswith("train.py: run holds another run, which differs in config.augment.brightness (was")
        assert "config.steps" not in sentence
        # The rest is counted, as where --config is forgotten.
        assert sentence.count("(was ") == 5
        assert re.search(r" and \d+ more: give the --config and the fields ", sentence)
        assert {path.name for path in home.rglob("*")} == {"run", kept, "3", "config.json"}

    @pytest.mark.parametrize("text", ['{"model_type": "resnet"}', '{"data": "here"}', '{"data": {"path": "here"}}'])
    def test_workdir_of_another_program(self, home, capsys, text):
        (home / "run").mkdir()
        (home / "run" / "config.json").write_text(text)
        assert launch(QUICKSTART, ["train.py", "--workdir=run", f"--config.data.data_dir={home / 'data'}"]) == 1
        message = "train.py: run/config.json is of another program: choose another --workdir.\n"
        assert capsys.readouterr().err == message
        assert (home / "run" / "config.json").read_text() == text

    def test_workdir_that_is_a_file(self, home, capsys):
        (home / "run").touch()
        small = ["--config.data.synthetic.size=48", "--config.data.synthetic.images=15"]
        data = f"--config.data.data_dir={home / 'data'}"
        assert launch(QUICKSTART, ["train.py", "--workdir=run", data, *small]) == 1
        printed = capsys.readouterr().err
        assert "Traceback" not in printed
        assert printed.splitlines()[-1] == "train.py: run cannot be written (File exists): choose another --workdir."

    def test_other_failures_that_the_user_can_fix(self, monkeypatch, capsys):
        def train(config, workdir, started, processes):
            raise UserError("the disk is full: empty it.")

        monkeypatch.setattr(loop, "train", train)
        assert launch(QUICKSTART, ["train.py"]) == 1
        assert capsys.readouterr().err == "train.py: the disk is full: empty it.\n"

    def test_interrupted(self, monkeypatch, capsys):
        def train(config, workdir, started, processes):
            raise KeyboardInterrupt

        monkeypatch.setattr(loop, "train", train)
        assert launch(QUICKSTART, ["train.py"]) == 130
        assert capsys.readouterr().err.startswith("train.py: interrupted: run the same command")

    def test_bugs_are_not_hidden(self, monkeypatch):
        def train(config, workdir, started, processes):
            raise KeyError("a bug")

        monkeypatch.setattr(loop, "train", train)
        with pytest.raises(KeyError, match="a bug"):
            launch(QUICKSTART, ["train.py"])


class TestHandsOver:
    @pytest.fixture
    def trained(self, monkeypatch):
        calls = []
        monkeypatch.setattr(loop, "train", lambda config, workdir, started, processes: calls.append((config, workdir)))
        return calls

    def test_config_and_workdir(self, trained, capsys):
        arguments = [
            f"--config={BDMS}:size=lite,split=tiles",
            "--workdir=somewhere",
            "--config.batch_size=32",
            "--config.augment.scale=(0.5, 2.0)",
            "--config.loss.output_weights=1,1,1,1,1,2",
            "--config.model.saliency_prior=false",
            "--config.optimizer.learning_rate=1",
        ]
        assert launch(QUICKSTART, ["train.py", *arguments]) == 0
        [(config, workdir)] = trained
        assert workdir == Path("somewhere")
        assert (config.model.size, config.data.split, config.batch_size) == ("lite", "tiles", 32)
        assert config.augment.scale == (0.5, 2.0)
        assert config.loss.output_weights == (1, 1, 1, 1, 1, 2)
        assert config.model.saliency_prior is False
        assert type(config.optimizer.learning_rate) is float
        assert capsys.readouterr() == ("", "")

    def test_options_of_the_network(self, trained):
        options = [
            "width=8",
            "rate=0.5",
            "name=wide",
            "sizes=(1, 2)",
            "deep=true",
            "flat=False",
            "like={[]:1}",
            r"digits='\d'",
        ]
        arguments = [f"--config.model.options.{option}" for option in options]
        assert launch(QUICKSTART, ["train.py", *arguments, f"--config={BDMS}"]) == 0
        expected = {"width": 8, "rate": 0.5, "name": "wide", "sizes": (1, 2), "deep": True, "flat": False}
        expected |= {"like": "{[]:1}", "digits": r"\d"}
        assert trained[0][0].model.options.to_dict() == expected

    def test_an_option_that_the_file_sets(self, trained):
        file = f"{ROOT}/configs/compare.py:method=dss,norm=none"
        assert launch(QUICKSTART, ["train.py", f"--config={file}", "--config.model.options.batch_norm=true"]) == 0
        assert trained[0][0].model.options.to_dict() == {"batch_norm": True}

    @pytest.mark.parametrize(
        ("option", "expected"),
        [
            *(("sizes=[3]", (3,)), ("sizes=(3, [4])", (3, (4,))), ("depth=2", 2), ("rates=7", 7)),
            ("rates={'a': 2}", {"a": 2}),
        ],
    )
    def test_an_option_of_a_kind_that_only_python_can_tell(self, option, expected, trained, tmp_path):
        file = tmp_path / "mine.py"
        file.write_text(
            "from dms_jax.runs.config.defaults import default_config\n"
            "def get_config():\n    config = default_config()\n"
            "    config.model.options = {'sizes': [1, 2], 'depth': None, 'rates': {'a': 1}}\n    return config\n"
        )
        assert launch(QUICKSTART, ["train.py", f"--config={file}", f"--config.model.options.{option}"]) == 0
        assert trained[0][0].model.options.to_dict()[option.partition("=")[0]] == expected

    def test_the_time_counts_from_the_programs_start(self, monkeypatch):
        starts = []
        monkeypatch.setattr(loop, "train", lambda config, workdir, started, processes: starts.append(started))
        launch(QUICKSTART, ["train.py"], started=1.5)
        before = time.monotonic()
        launch(QUICKSTART, ["train.py"])
        assert starts[0] == 1.5
        assert before <= starts[1] <= time.monotonic()

    def test_the_order_of_the_arguments_does_not_matter(self, trained):
        launch(QUICKSTART, ["train.py", "--config.steps=7", f"--config={BDMS}", "--workdir=x"])
        launch(QUICKSTART, ["train.py", "--workdir=x", f"--config={BDMS}", "--config.steps=7"])
        assert trained[0] == trained[1]
        assert trained[0][0].steps == 7

    def test_the_default(self, trained):
        assert launch(QUICKSTART, ["train.py"]) == 0
        [(config, workdir)] = trained
        assert config.data.dataset == "synthetic"
        assert workdir == Path("runs/quickstart")

    def test_a_home_folder(self, home):
        _, workdir = parse(["train.py", "--workdir=~/runs/a"], QUICKSTART)
        assert workdir == home / "runs" / "a"

    @pytest.mark.parametrize(
        ("file", "folder"),
        [
            ("configs/bdms.py", "runs/bdms"),
            ("configs/bdms.py:", "runs/bdms"),
            ("/elsewhere/mine.py", "runs/mine"),
            ("configs/bdms.py:size=lite,split=tiles", "runs/bdms-size=lite,split=tiles"),
            ("configs/folder.py:path=../a b", "runs/folder-path=.._a_b"),
        ],
    )
    def test_default_workdir(self, file, folder):
        assert default_workdir(file) == Path(folder)

    def test_another_argument_is_another_run(self):
        found = [parse(["train.py", f"--config={BDMS}:{a}"], QUICKSTART)[1] for a in ("", "size=lite", "split=tiles")]
        assert len(set(found)) == 3

    @pytest.mark.parametrize("flag", ["--help", "-h", "-help"])
    def test_help(self, trained, capsys, flag):
        assert launch(QUICKSTART, ["train.py", "--config=absent.py", flag]) == 0
        printed = capsys.readouterr()
        assert printed.out.startswith("usage: train.py")
        assert QUICKSTART in printed.out
        assert printed.err == ""
        assert trained == []


class TestProgram:
    def run(self, home, *arguments):
        command = [sys.executable, str(ROOT / "train.py"), *arguments]
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        return subprocess.run(command, cwd=home, env=environment, capture_output=True, text=True, timeout=60)

    def test_help(self, home):
        done = self.run(home, "--help")
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith("usage: train.py")
        assert "configs/quickstart.py" in done.stdout

    def test_wrong_flag(self, home):
        done = self.run(home, "--config.colour=1")
        assert (done.returncode, done.stdout) == (2, "")
        [sentence] = done.stderr.splitlines()
        assert sentence.startswith("train.py: config.colour is unknown; known are ")
        assert list(home.iterdir()) == []


def assert_matches(sentence, pattern):
    with pytest.raises(AssertionError, match=pattern):
        raise AssertionError(sentence)
