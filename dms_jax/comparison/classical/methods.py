"""The classic methods of Table 4, set as its numbers need it."""

from __future__ import annotations

from functools import partial

from dms_jax.comparison.classical.ac import ac
from dms_jax.comparison.classical.bms import bms
from dms_jax.comparison.classical.ft import ft
from dms_jax.comparison.classical.hc import hc
from dms_jax.comparison.classical.itti import itti
from dms_jax.comparison.classical.lc import lc
from dms_jax.comparison.classical.mbp import mbp
from dms_jax.comparison.classical.mss import mss
from dms_jax.comparison.classical.phot import phot
from dms_jax.comparison.classical.rc import rc
from dms_jax.comparison.classical.scikit_image import segmentation
from dms_jax.comparison.classical.sf import sf
from dms_jax.comparison.classical.sr import sr
from dms_jax.comparison.method import Method, image_by_image

METHODS: tuple[Method, ...] = (
    Method(
        "ITTI",
        image_by_image(partial(itti, level=6, promote=False)),
        "Itti, Koch and Niebur, PAMI 1998",
        "maps are added at level 6 of the pyramid, and none is promoted",
        "at level 4 and promoted, as in its paper, MAE 0.301 and maxF 0.175",
    ),
    Method(
        "LC",
        image_by_image(partial(lc, power=2, over_all_levels=True)),
        "Zhai and Shah, ACM MM 2006",
        "differences are squared, and the contrast of all 256 levels is stretched",
        "as in its paper, MAE 0.205 and maxF 0.149",
    ),
    Method("SR", image_by_image(sr), "Hou and Zhang, CVPR 2007"),
    Method(
        "AC",
        image_by_image(partial(ac, power=2, short_sums=True)),
        "Achanta, Estrada, Wils and Suesstrunk, ICVS 2008",
        "distances are squared, and each box's sum lacks a row and a column",
        "as in its paper, MAE 0.183 and maxF 0.199",
    ),
    Method(
        "FT",
        image_by_image(ft),
        "Achanta, Hemami, Estrada and Suesstrunk, CVPR 2009",
        "distances are squared",
        "the MAE is the table's, whose maxF is the one that it has for HC too, and perhaps a slip",
    ),
    Method(
        "MSS",
        image_by_image(partial(mss, short_sums=True)),
        "Achanta and Suesstrunk, ICIP 2010",
        "each box's sum lacks a row and a column",
        "as in its paper, MAE 0.135 and maxF 0.190",
    ),
    Method(
        "PHOT",
        image_by_image(phot),
        "Aiger and Talbot, CVPR 2010",
        "at 256 x 256, and the Mahalanobis distance is squared",
        "at the image's own size, squared and neither smoothed nor measured from the mean, MAE 0.109 and maxF 0.128",
    ),
    Method(
        "HC",
        image_by_image(partial(hc, coverage=1.0, blurred=True)),
        "Cheng, Zhang, Mitra, Huang and Hu, CVPR 2011",
        "all colours of the 12 levels are kept, and the map is blurred",
        "as in its paper, MAE 0.292 and maxF 0.147",
    ),
    Method(
        "RC",
        image_by_image(rc),
        "Cheng, Zhang, Mitra, Huang and Hu, CVPR 2011",
        "the segmentation is scikit-image's, and its scale decides",
        "with scales of 50 to 200, MAE 0.22 to 0.31 and maxF 0.15 to 0.19",
        partial(segmentation, "RC"),
    ),
    Method(
        "SF",
        image_by_image(partial(sf, saturated=0.05)),
        "Perazzi, Kraehenbuehl, Pritch and Hornung, CVPR 2012",
        "the map is stretched until 5 % of the pixels are at 1",
        "not stretched so, MAE 0.159 and maxF 0.130",
        partial(segmentation, "SF"),
    ),
    Method(
        "BMS",
        image_by_image(partial(bms, normalise=False)),
        "Zhang and Sclaroff, ICCV 2013",
        "regions are added up without division by their L2 norm",
        "with it, MAE 0.147 and maxF 0.223",
    ),
    Method(
        "MBP",
        image_by_image(mbp),
        "Zhang, Sclaroff, Lin, Shen, Price and Mech, ICCV 2015",
        "barrier distances alone, without the colours of the border, with the contrast raised about the mean",
        "not raised, MAE 0.276 and maxF 0.291",
    ),
)
