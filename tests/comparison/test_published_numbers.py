"""The numbers of the paper's Table 4 that stand beside a row, by the row's name."""

import pytest

from dms_jax.comparison.deep import DEEP_NETWORKS
from dms_jax.comparison.report import published_numbers
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
