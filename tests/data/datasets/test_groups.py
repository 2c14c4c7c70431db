from collections import Counter

import pytest

from dms_jax.data.datasets.groups import chain_frames, hash_split


def test_chain_of_frames():
    assert chain_frames([400, 5, 205, 601, 5, 1000], gap=200) == {
        5: 5, 205: 5, 400: 5, 601: 601, 1000: 1000,
    }  # fmt: skip


def test_chain_of_nothing():
    assert chain_frames([], gap=1) == {}


@pytest.mark.parametrize(("count", "taken"), [(1, 0), (2, 1), (4, 1), (10, 1), (14, 1), (15, 2), (100, 10)])
def test_hash_split_takes_a_share_of_each_class(count, taken):
    classes = {"a": [f"a{i}" for i in range(count)], "b": [f"b{i}" for i in range(30)]}
    chosen = hash_split(classes, 0.1, "salt")
    assert Counter(name[0] for name in chosen) == Counter({"a": taken, "b": 3})


def test_hash_split_depends_on_names_and_salt_alone():
    names = [f"g{i}" for i in range(200)]
    chosen = hash_split({"a": names}, 0.2, "x")
    assert hash_split({"b": reversed(names + names)}, 0.2, "x") == chosen
    other = hash_split({"a": names}, 0.2, "y")
    assert 0 < len(other & chosen) < 20  # 8 expected by chance


def test_hash_split_refuses_a_share_beyond_one():
    with pytest.raises(ValueError, match="between 0 and 1"):
        hash_split({"a": ["x", "y"]}, 1.0, "")
