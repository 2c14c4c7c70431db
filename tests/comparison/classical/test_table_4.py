"""The numbers of the paper's Table 4, on the defective test images of its split."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from dms_jax.comparison.classical.methods import METHODS
from dms_jax.comparison.table4 import TABLE_4
from dms_jax.data.datasets.mtdd import paper_test_names
from dms_jax.data.image_files import read_image
from dms_jax.evaluation.maps.files import read_truth
from dms_jax.evaluation.measures.saliency import SaliencyAverages, score_map

REAL = Path(__file__).parents[4] / "shared" / "datasets" / "mtdd"
BY_NAME = {method.name: method for method in METHODS}

needs_real_images = pytest.mark.skipif(not REAL.is_dir(), reason="the images of MTDD are not here")


@cache
def images():
    paths = [REAL / name for name in sorted(paper_test_names()) if not name.startswith("MT_Free")]
    masks = [read_truth(path.with_suffix(".png"))[0] for path in paths]
    return [np.asarray(read_image(path)) for path in paths], masks


def measured(name):
    averages = SaliencyAverages.empty()
    pixels, masks = images()
    for saliency_map, mask in zip(BY_NAME[name].make_maps(pixels), masks, strict=True):
        averages = averages.add(score_map(saliency_map, mask))
    result = averages.compute()
    assert result.images == 74
    return result.mae, result.max_f


def test_the_table_has_the_twelve_methods_and_the_deep_ones():
    assert list(BY_NAME) == [name for name, numbers in TABLE_4.items() if numbers.defective]
    assert len(BY_NAME) == 12
    assert len(TABLE_4) == 22


@needs_real_images
@pytest.mark.parametrize("name", ["LC", "SR", "MSS", "HC"])
def test_four_methods_have_the_tables_three_digits(name):
    paper = TABLE_4[name]
    # Half a unit of the third digit, and a tenth of it for rounding.
    assert measured(name) == pytest.approx((paper.mae, paper.max_f), abs=0.00055)


@needs_real_images
@pytest.mark.slow
@pytest.mark.parametrize("name", BY_NAME)
def test_every_method_is_within_two_hundredths_of_the_table(name):
    paper = TABLE_4[name]
    assert measured(name) == pytest.approx((paper.mae, paper.max_f), abs=0.02)
