import doctest

import numpy as np
import pytest

from dms_jax import tables
from dms_jax.tables import format_table


def test_table_aligns_numbers_right_and_text_left():
    table = format_table(
        ["class", "MAE", "images"],
        [["blowhole", 0.25, 7], ["free", None, 1234], ["all", np.float32(12.5), np.int64(5)]],
        precision=2,
    )
    assert table.splitlines() == [
        "class       MAE  images",
        "--------  -----  ------",
        "blowhole   0.25       7",
        "free        n/a    1234",
        "all       12.50       5",
    ]


def test_default_precision_is_four_decimals():
    assert format_table(["maxF"], [[0.929494]]).splitlines()[-1] == "0.9295"


def test_column_of_nothing_is_on_the_right():
    assert format_table(["accuracy"], [[None]]).splitlines()[-1] == "     n/a"


def test_nan_stays_visible_because_it_is_not_a_missing_metric():
    assert format_table(["loss"], [[float("nan")]]).splitlines()[-1] == " nan"


def test_booleans_are_words():
    assert format_table(["finished", "steps"], [[True, 1]]).splitlines()[-1] == "True          1"


def test_headers_alone():
    assert format_table(["class", "MAE"], []) == "class  MAE\n-----  ---"


def test_no_line_ends_in_spaces():
    table = format_table(["steps", "name"], [[1, "a"], [2, "longer"]])
    assert all(line == line.rstrip() for line in table.splitlines())


@pytest.mark.parametrize("row", [[1], [1, 2, 3]])
def test_ragged_row_is_refused(row):
    with pytest.raises(ValueError, match=f"a row of {len(row)} cells under 2 headers"):
        format_table(["a", "b"], [row])


def test_examples_in_the_docstrings():
    failed, attempted = doctest.testmod(tables)
    assert attempted > 0
    assert failed == 0
