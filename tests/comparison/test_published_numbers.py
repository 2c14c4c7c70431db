"""The numbers of the paper's Table 4 that stand beside a row, by the row's name."""

import pytest

from dms_jax.comparison.deep import DEEP_NETWORKS
from dms_jax.comparison.report import comparison_json, comparison_text, published_numbers
from dms_jax.comparison.rows import Row
from dms_jax.comparison.table4 import TABLE_4


@pytest.mark.parametrize("name", ["FCN", "FCN-8s", "fcn8s", "FCN 8s", "fcn_8s"])
def test_fcn_is_known_by_its_full_name_too(name: str) -> None:
    assert published_numbers(name, True) == TABLE_4["FCN"]


def test_networks_are_known_by_the_names_that_configurations_and_tables_have() -> None:
    for name, network in DEEP_NETWORKS.items():
        of_name = published_numbers(name, True)
        assert of_name is not None, name
        assert of_name == published_numbers(network.title, True)
    assert published_numbers("unet", True) == TABLE_4["U-Net"]


def test_every_line_has_numbers_of_its_own() -> None:
    assert [published_numbers(name.lower(), True) for name in TABLE_4] == list(TABLE_4.values())


@pytest.mark.parametrize("name", ["U-Net++", "FCN-16s", "BDMS lite", "SR (mine)", "", "-"])
def test_other_methods_have_none(name: str) -> None:
    assert published_numbers(name, True) is None


def test_other_images_have_none() -> None:
    assert published_numbers("FCN", False) is None


@pytest.mark.parametrize(("name", "images"), [("SR", "defective"), ("DSS", "all")])
def test_a_row_is_compared_on_the_images_that_the_paper_measured_it_on(name: str, images: str) -> None:
    paper = TABLE_4[name]
    near = {"mae": paper.mae + 0.25, "max_f": paper.max_f - 0.125}
    others = {"mae": 0.75, "max_f": 0.875}
    on_all, on_defective = (near, others) if images == "all" else (others, near)
    counts = {"images": 226, "max_f_threshold": 9}
    metrics = {**counts, **on_all, "defective": {**counts, **on_defective}}
    row = Row(name, {**metrics, "all_black": metrics})
    (compared,) = comparison_json([row], paper_split=True)
    assert compared["paper"] == {"mae": paper.mae, "max_f": paper.max_f, "images": images}
    assert compared["difference"] == {"mae": pytest.approx(0.25), "max_f": pytest.approx(-0.125)}
    shown = comparison_text([row], paper_split=True).splitlines()[2]
    assert shown.split()[-3:] == ["0.2500", "-0.1250", "n/a"]
    (elsewhere,) = comparison_json([row], paper_split=False)
    assert (elsewhere["paper"], elsewhere["difference"]) == (None, None)
