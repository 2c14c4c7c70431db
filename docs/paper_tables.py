"""Numbers of the paper's Tables 2, 3 and 5, for docs/results_tables.py; `dms_jax.comparison` has those of Table 4."""

from collections.abc import Mapping
from typing import Any, NamedTuple


class OfPaper(NamedTuple):
    """What the paper says of a network, over all test images, with its digits; empty where it says nothing."""

    mae: str
    max_f: str
    accuracy: str = ""


# Tables 2 and 3, the last output of each. Of SDMS-B Table 2 has a maxF of 0.9182; this is Table 3's. Of BDMS the
# accuracy stands beside its first output.
ABLATIONS: Mapping[tuple[str, str], OfPaper] = {
    ("sdms", "baseline"): OfPaper("0.0175", "0.9160"),
    ("sdms", "a"): OfPaper("0.01294", "0.9245", "0.903"),
    ("sdms", "b"): OfPaper("0.01270", "0.9227"),
    ("sdms", "c"): OfPaper("0.01196", "0.9254", "0.898"),
    ("sdms", "d"): OfPaper("0.01347", "0.9288", "0.883"),
    ("sdms", "e"): OfPaper("0.01063", "0.9309", "0.876"),
    ("sdms", ""): OfPaper("0.00979", "0.9295", "0.896"),
    ("bdms", ""): OfPaper("0.0082", "0.9339", "0.982"),
}
# Table 5, "the same as the SDMS-D", output 2; what its rows "Output0+" to "Output2+" are is not said. Its NEU of six
# classes is not NEU-Seg, and so it is not here.
SURFACES: Mapping[str, OfPaper] = {
    "rsdds": OfPaper("0.00527", "0.7835"),
    "crackforest": OfPaper("0.01934", "0.8148"),
}


def ablation_of(results: Mapping[str, Any]) -> OfPaper | None:
    """What Tables 2 and 3 say of a full-size network on the paper's split of MTDD."""
    if (results["dataset"], results["dataset_config"], results["size"]) != ("mtdd", "paper", "full"):
        return None
    return ABLATIONS.get((results["network"], results["ablation"]))


def surface_of(results: Mapping[str, Any]) -> OfPaper | None:
    """What Table 5 says of SDMS-D on another dataset; its split is not known."""
    if (results["network"], results["ablation"], results["size"]) != ("sdms", "d", "full"):
        return None
    return SURFACES.get(results["dataset"])
