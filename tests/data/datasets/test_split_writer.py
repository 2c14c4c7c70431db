import numpy as np
import pytest
import tensorflow_datasets as tfds
from tensorflow_datasets.core.hashing import Hasher
from tensorflow_datasets.core.naming import ShardedFileTemplate
from tensorflow_datasets.core.utils.shard_utils import ShardConfig

from dms_jax.data.datasets.split_writer import SplitWriter
from dms_jax.data.facts import measure

FEATURES = tfds.features.FeaturesDict({"name": tfds.features.Text(), "label": tfds.features.ClassLabel(names=["a"])})


def writer(folder, **config):
    template = ShardedFileTemplate(folder, dataset_name="d", split="train", filetype_suffix="array_record")
    return SplitWriter(FEATURES, template, ShardConfig(**config))


def test_the_order_is_that_of_tfds_whatever_the_number_of_files(tmp_path):
    keys = [f"key/{i}" for i in range(20)]
    with writer(tmp_path, num_shards=3) as opened:
        for key in keys:
            opened.add(key, {"name": key, "label": "a"}, measure(np.zeros((2, 3, 3), np.uint8), None))
        info = opened.finish()
    expected = sorted(keys, key=Hasher("train").hash_key)
    assert [facts.name for facts in opened.facts] == expected
    assert info.shard_lengths == [7, 6, 7]
    assert sorted(opened.files) == [f"d-train.array_record-0000{i}-of-00003" for i in range(3)]
    assert {path.name: path.stat().st_size for path in tmp_path.iterdir()} == opened.files


def test_examples_without_facts_are_written_all_the_same(tmp_path):
    with writer(tmp_path) as opened:
        opened.add("a", {"name": "a", "label": "a"})
        assert opened.finish().num_examples == 1
    assert opened.facts is None


def test_two_of_one_key_and_none_at_all(tmp_path):
    with writer(tmp_path) as opened, pytest.raises(ValueError, match="the split train has no examples"):
        opened.finish()
    with writer(tmp_path) as opened:
        for _ in range(2):
            opened.add("twice", {"name": "a", "label": "a"})
        with pytest.raises(ValueError, match="two examples of the split train have the key twice"):
            opened.finish()
    assert list(tmp_path.iterdir()) == []
