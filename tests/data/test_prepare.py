import json
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dms_jax.data.datasets import DATASETS
from dms_jax.data.datasets.base import SurfaceDefectBuilder
from dms_jax.data.datasets.mtdd import Mtdd
from dms_jax.data.examples import defective_share
from dms_jax.data.pipeline import defective_flags
from dms_jax.data.prepare import prepare
from dms_jax.errors import UsageError, UserError

SMALL = {"seed": 1, "size": 48, "images": 15}


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return str(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def data(data_dir):
    return prepare("synthetic", data_dir=data_dir, synthetic=SMALL)


@pytest.fixture
def mtdd(tmp_path):
    """Three tiles of each class, one image each, the last class last in the order of preparation."""
    for folder in ("MT_Free", "MT_Blowhole", "MT_Break", "MT_Crack", "MT_Fray", "MT_Uneven"):
        (tmp_path / "mtdd" / folder / "Imgs").mkdir(parents=True)
        for frame in (1, 1001, 2001):
            for suffix in (".jpg", ".png"):
                Image.new("L", (6, 5)).save(tmp_path / "mtdd" / folder / "Imgs" / f"exp1_num_{frame}{suffix}")
    return tmp_path / "mtdd"


def folders_with_examples(root):
    return sorted(Path(root).rglob("*.array_record-*"))


def example(source, name):
    return next(source[i] for i in range(len(source)) if source[i]["name"] == name)


class TestSource:
    def test_types(self, data):
        found = data.source("train")[0]
        assert found["image"].shape == (48, 48, 3)
        assert found["mask"].shape == (48, 48, 1)
        assert found["image"].dtype == found["mask"].dtype == np.uint8
        assert found["label"].dtype == np.int32
        assert found["label"].shape == ()
        assert type(found["name"]) is type(found["group"]) is str

    def test_agrees_with_the_decoding_of_tfds(self, data):
        ours = data.source("train")
        theirs = data.builder.as_data_source("train")
        for i in range(len(ours)):
            np.testing.assert_array_equal(ours[i]["image"], theirs[i]["image"])
            np.testing.assert_array_equal(ours[i]["mask"], theirs[i]["mask"])

    def test_pickles(self, data):
        copies = pickle.loads(pickle.dumps((data.source("test"), data)))
        for source in (copies[0], copies[1].source("test")):
            assert len(source) == 5
            for i in range(5):
                np.testing.assert_array_equal(source[i]["image"], data.source("test")[i]["image"])

    def test_is_a_sequence(self, data):
        source = data.source("test")
        names = [found["name"] for found in source]
        assert len(set(names)) == 5
        assert source[-1]["name"] == names[-1]
        assert source[np.int64(2)]["name"] == names[2]
        for index in (5, -6):
            with pytest.raises(IndexError, match="out of range for 5 examples"):
                source[index]

    def test_labels_and_masks(self, data):
        source = data.source("train")
        np.testing.assert_array_equal(source.labels(), [found["label"] for found in source])
        assert source.labels().dtype == np.int32
        for i, found in enumerate(source):
            np.testing.assert_array_equal(source.mask(i), found["mask"])

    def test_defective_share_and_flags(self, data):
        source = data.source("train")
        masks = np.stack([found["mask"] for found in source])
        assert defective_share(source) == pytest.approx((masks > 127).mean())
        np.testing.assert_array_equal(defective_flags(source), (masks > 127).any((1, 2, 3)))
        np.testing.assert_array_equal(defective_flags(source), source.labels() != data.free_class)


class TestPrepare:
    def test_second_time_reads_nothing(self, mtdd, tmp_path, monkeypatch):
        first = prepare("mtdd", split="tiles", data_dir=str(tmp_path), manual_dir=str(mtdd))
        monkeypatch.setattr(Mtdd, "_split_generators", lambda *_: pytest.fail("read again"))
        again = prepare("mtdd", split="tiles", data_dir=str(tmp_path), manual_dir="/nowhere")
        assert again == first
        assert len(again.source("test")) == 6

    def test_data_dir_may_be_relative(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        source = prepare("synthetic", data_dir="here", synthetic=SMALL).source("test")
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path / "elsewhere")
        assert pickle.loads(pickle.dumps(source))[0]["name"]

    def test_data_dir_of_the_environment(self, tmp_path):
        program = f"from dms_jax.data.prepare import prepare\nprint(prepare('synthetic', synthetic={SMALL}).directory)"
        done = subprocess.run(
            [sys.executable, "-c", program],
            env={"TFDS_DATA_DIR": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[2])},
            capture_output=True,
            text=True,
            check=True,
        )
        # The line is all there is: no progress bar, no message of TFDS, no warning.
        assert done.stdout == f"{tmp_path}/synthetic/seed1-size48-images15/1.1.0\n"
        assert done.stderr == ""

    def test_failure_midway_leaves_nothing_that_looks_whole(self, mtdd, tmp_path):
        # The truncated image is met after others have been written.
        victim = mtdd / "MT_Uneven/Imgs/exp1_num_2001.jpg"
        whole = victim.read_bytes()
        victim.write_bytes(whole[: len(whole) // 2])
        out = tmp_path / "out"
        with pytest.raises(UserError, match=r"exp1_num_2001\.jpg cannot be read") as caught:
            prepare("mtdd", split="tiles", data_dir=str(out), manual_dir=str(mtdd))
        assert type(caught.value) is UserError
        assert len(str(caught.value).splitlines()) == 1
        assert folders_with_examples(out) == []
        assert not list(out.rglob("*incomplete*"))
        victim.write_bytes(whole)
        assert prepare("mtdd", split="tiles", data_dir=str(out), manual_dir=str(mtdd)).sizes["test"] == 6

    def test_bad_files_can_be_skipped(self, mtdd, tmp_path):
        for name in ("MT_Uneven/Imgs/exp1_num_2001.jpg", "MT_Free/Imgs/exp1_num_1.png"):
            (mtdd / name).write_text("no image")
        options = {"split": "tiles", "data_dir": str(tmp_path / "out"), "manual_dir": str(mtdd)}
        data = prepare("mtdd", **options, skip_bad=True)
        assert sum(data.sizes.values()) == 18 - 2
        assert ["exp1_num_1.png cannot be read" in sentence for sentence in sorted(data.skipped)] == [True, False]
        assert ["exp1_num_2001.jpg cannot be read" in sentence for sentence in sorted(data.skipped)] == [False, True]
        assert prepare("mtdd", **options, skip_bad=True).skipped == data.skipped
        with pytest.raises(UserError, match=r"prepared with skip_bad, which left out 2 file\(s\) \(the first: "):
            prepare("mtdd", **options)

    def test_interrupt_leaves_nothing(self, tmp_path, monkeypatch):
        def interrupt(*_):
            raise KeyboardInterrupt

        monkeypatch.setattr("dms_jax.data.datasets.synthetic.draw", interrupt)
        with pytest.raises(KeyboardInterrupt):
            prepare("synthetic", data_dir=str(tmp_path), synthetic=SMALL)
        assert folders_with_examples(tmp_path) == []
        assert not list(tmp_path.rglob("*incomplete*"))

    def test_killed_run_is_not_taken_for_whole(self, tmp_path):
        # What a killed process leaves: the folder that TFDS would have renamed at the end.
        left = tmp_path / "synthetic" / "seed1-size48-images15" / "incomplete.ABC123_1.1.0"
        left.mkdir(parents=True)
        (left / "synthetic-train.array_record-00000-of-00001").write_bytes(b"half")
        assert prepare("synthetic", data_dir=str(tmp_path), synthetic=SMALL).sizes["train"] == 5

    def test_another_process_was_first(self, tmp_path, monkeypatch):
        """Where there are no locks: its folder then is there before ours is renamed."""
        elsewhere = prepare("synthetic", data_dir=str(tmp_path / "elsewhere"), synthetic=SMALL).directory
        original = SurfaceDefectBuilder._generate_splits

        def overtaken(builder, *arguments):
            result = original(builder, *arguments)
            shutil.copytree(elsewhere, tmp_path / "here" / elsewhere.relative_to(tmp_path / "elsewhere"))
            return result

        monkeypatch.setattr(SurfaceDefectBuilder, "_generate_splits", overtaken)
        data = prepare("synthetic", data_dir=str(tmp_path / "here"), synthetic=SMALL)
        assert len(data.source("train")) == 5
        assert not list(tmp_path.rglob("*incomplete*"))

    def test_damaged_folder_is_named(self, tmp_path):
        data = prepare("synthetic", data_dir=str(tmp_path), synthetic=SMALL)
        next(data.directory.glob("*validation*")).unlink()
        with pytest.raises(UserError, match=r"images15/1\.1\.0 is damaged: remove that folder"):
            prepare("synthetic", data_dir=str(tmp_path), synthetic=SMALL)

    def test_truncated_folder_is_named(self, tmp_path):
        data = prepare("synthetic", data_dir=str(tmp_path), synthetic=SMALL)
        shard = next(data.directory.glob("*train.array_record*"))
        shard.write_bytes(shard.read_bytes()[:-100])
        with pytest.raises(UserError, match=r"images15/1\.1\.0 is damaged: remove that folder, .* --overwrite\.$"):
            prepare("synthetic", data_dir=str(tmp_path), synthetic=SMALL)
        again = prepare("synthetic", data_dir=str(tmp_path), synthetic=SMALL, overwrite=True)
        assert again == data
        assert len(again.source("train")) == 5

    def test_garbled_records_are_named_when_they_are_read(self, tmp_path):
        data = prepare("synthetic", data_dir=str(tmp_path), synthetic=SMALL)
        shard = next(data.directory.glob("*train.array_record*"))
        whole = shard.read_bytes()
        for text in (whole[:50000], whole[:70000] + bytes(99), whole[:1000] + bytes(5000) + whole[6000:], b""):
            shard.write_bytes(text)
            with pytest.raises(UserError, match=r"images15/1\.1\.0 is damaged: remove that folder"):
                list(data.source("train"))

    def test_folder_of_an_earlier_version_is_opened(self, tmp_path):
        data = prepare("synthetic", data_dir=str(tmp_path), synthetic=SMALL)
        (data.directory / "summary.json").unlink()
        metadata = json.loads((data.directory / "metadata.json").read_text())
        assert sum(metadata.pop("file_sizes").values()) == sum(
            path.stat().st_size for path in data.directory.glob("*.array_record*")
        )
        (data.directory / "metadata.json").write_text(json.dumps(metadata))
        assert prepare("synthetic", data_dir=str(tmp_path), synthetic=SMALL) == data

    def test_what_is_overwritten_stays_where_the_new_one_fails(self, tmp_path, monkeypatch):
        data = prepare("synthetic", data_dir=str(tmp_path), synthetic=SMALL)
        inode = data.directory.stat().st_ino
        monkeypatch.setattr("dms_jax.data.datasets.synthetic.draw", lambda *_: pytest.fail("as a killed disk"))
        with pytest.raises(pytest.fail.Exception):
            prepare("synthetic", data_dir=str(tmp_path), synthetic=SMALL, overwrite=True)
        assert data.directory.stat().st_ino == inode
        monkeypatch.undo()
        assert len(prepare("synthetic", data_dir=str(tmp_path), synthetic=SMALL).source("train")) == 5
        assert prepare("synthetic", data_dir=str(tmp_path), synthetic=SMALL, overwrite=True) == data
        assert data.directory.stat().st_ino != inode
        assert [path.name for path in data.directory.parent.iterdir()] == ["1.1.0"]

    def test_full_disk_is_a_sentence(self, tmp_path):
        program = (
            "import resource, sys\nfrom dms_jax.cli import main\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)\n"
            "sys.exit(main(['prepare', '--dataset=synthetic', '--data-dir', sys.argv[2]]))"
        )
        done = subprocess.run(
            [sys.executable, "-c", program, "100000", str(tmp_path)],
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
        )
        assert done.returncode == 1
        assert done.stderr.startswith(f"dms-jax: synthetic cannot be prepared in {tmp_path} (")
        assert len(done.stderr.splitlines()) == 1
        assert not [path for path in tmp_path.rglob("*") if path.is_file()]

    def test_several_at_once(self, tmp_path):
        program = f"from dms_jax.data.prepare import prepare\nprint(prepare('synthetic', synthetic={SMALL}).sizes)"
        runs = [
            subprocess.Popen(
                [sys.executable, "-c", program],
                env={"TFDS_DATA_DIR": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[2])},
                stdout=subprocess.PIPE,
                text=True,
            )
            for _ in range(3)
        ]
        expected = "{'train': 5, 'validation': 5, 'test': 5}\n"
        assert [run.communicate()[0] for run in runs] == [expected] * 3
        assert not list(tmp_path.glob(".*.lock"))

    def test_folder_without_a_description_is_named(self, tmp_path):
        (tmp_path / "synthetic" / "seed1-size48-images15" / "1.1.0").mkdir(parents=True)
        with pytest.raises(UserError, match=r"images15/1\.1\.0 is damaged"):
            prepare("synthetic", data_dir=str(tmp_path), synthetic=SMALL)

    @pytest.mark.parametrize("text", ["", "{", "{}"])
    def test_unreadable_description_is_named(self, tmp_path, text):
        data = prepare("synthetic", data_dir=str(tmp_path), synthetic=SMALL)
        (data.directory / "dataset_info.json").write_text(text)
        with pytest.raises(UserError, match="synthetic/seed1-size48-images15 is damaged: remove that folder"):
            prepare("synthetic", data_dir=str(tmp_path), synthetic=SMALL)

    def test_data_dir_that_is_a_file(self, tmp_path):
        (tmp_path / "file").touch()
        with pytest.raises(UserError, match=r"cannot be prepared in .*file .*choose another data_dir"):
            prepare("synthetic", data_dir=str(tmp_path / "file"), synthetic=SMALL)


class TestUsage:
    def test_unknown_dataset(self, data_dir):
        with pytest.raises(
            UsageError, match=r"dataset 'mvtec' is unknown: it is one of mtdd, .*synthetic, or your own as MODULE:NAME"
        ):
            prepare("mvtec", data_dir=data_dir)

    @pytest.mark.parametrize(
        "dataset", ["mtdd", "neu_seg", "neu_det", "crackforest", "rsdds", "kolektor_sdd2", "synthetic"]
    )
    def test_unknown_split(self, data_dir, dataset):
        with pytest.raises(UsageError, match="split 'random'"):
            prepare(dataset, split="random", data_dir=data_dir)

    def test_unknown_key(self, data_dir):
        with pytest.raises(UsageError, match="'sed' of the synthetic dataset is unknown: it is one of seed,"):
            prepare("synthetic", data_dir=data_dir, synthetic={"sed": 1})

    def test_unknown_split_of_the_source(self, data):
        with pytest.raises(UsageError, match="'val' is unknown: it is one of train, validation, test"):
            data.source("val")


def test_registry_knows_builders_by_their_names():
    for name, builder in DATASETS.items():
        assert builder.name == name
        assert builder.FREE_CLASS is None or builder.FREE_CLASS in builder.CLASS_NAMES


def test_tensorflow_is_not_imported():
    program = "import sys, dms_jax.data.prepare; print([m for m in sys.modules if m.startswith('tensorflow.')])"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[]\n"
    assert done.stderr == ""
