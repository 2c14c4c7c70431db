"""The tables of kept results beside the paper's."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keep_results
import pytest
import results_tables
from finished_runs import rows, save_run


@pytest.fixture
def table_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """Prints a run beside the paper's, with other results under other names; gives the header and the rows."""
    keep_results.main([str(save_run(tmp_path, 1)), "--output", str(tmp_path / "kept")])
    run = json.loads((tmp_path / "kept" / "mtdd-tiles-bdms-seed1.json").read_text())

    def table(flag: str, changed: Mapping[str, Mapping[str, Any]], *names: str) -> tuple[list[str], list[list[str]]]:
        for name, of in changed.items():
            file = tmp_path / "kept" / f"{name}.json"
            file.write_text(json.dumps({**run, "results": {**run["results"], **of}}))
        capsys.readouterr()
        results_tables.main([*names, flag, "--results", str(tmp_path / "kept")])
        header, _, *body = rows(capsys.readouterr().out)
        assert {len(row) for row in body} == {len(header)}
        return header, body

    return table


def test_networks_stand_beside_table_4_of_the_paper_on_its_split_alone(table_of: Any) -> None:
    networks = ("bdms", "fcn8s", "mine.py:network")
    changed = {
        f"paper-{network.partition('.')[0]}-seed1": {"dataset_config": "paper", "network": network}
        for network in networks
    }
    header, table = table_of("--table4", changed)
    published = {(row[2], row[3]): row[-3:-1] for row in table}
    assert {row[-1] for row in table} == {""}
    assert published == {
        ("paper", "BDMS"): ["0.0082", "0.934"],
        ("paper", "FCN-8s"): ["0.0532", "0.898"],
        ("paper", "network"): ["", ""],
        ("tiles", "BDMS"): ["", ""],
    }
    assert table[0][header.index("maxF, defective")] == "0.7000"


def test_ablations_stand_beside_tables_2_and_3_on_the_papers_split_and_size_alone(table_of: Any) -> None:
    changed = {
        name: {"dataset_config": split, "network": network, "ablation": ablation, "size": size}
        for name, network, ablation, split, size in (
            ("a", "sdms", "a", "paper", "full"),
            ("b", "sdms", "b", "paper", "full"),
            ("c", "bdms", "", "paper", "full"),
            ("d", "bdms", "a", "paper", "full"),  # the paper has ablations of SDMS alone
            ("e", "sdms", "a", "tiles", "full"),
            ("f", "sdms", "a", "paper", "small"),
        )
    }
    _, table = table_of("--ablations", changed, *changed)
    assert {row[0]: row[-3:] for row in table} == {
        "a": ["0.01294", "0.9245", "0.903"],
        "b": ["0.01270", "0.9227", ""],
        "c": ["0.0082", "0.9339", "0.982"],
        **{name: ["", "", ""] for name in "def"},
    }


def test_surfaces_stand_beside_table_5(table_of: Any) -> None:
    changed = {
        name: {
            "dataset": dataset,
            "network": network,
            "ablation": ablation,
            "painted": {"miou": 0.75, "miou_with_background": 0.8},
        }
        for name, dataset, network, ablation in (
            ("a", "crackforest", "sdms", "d"),
            ("b", "crackforest", "bdms", ""),
            ("c", "neu_seg", "sdms", "d"),  # another NEU than the paper's
            ("d", "rsdds", "sdms", "d"),
        )
    }
    header, table = table_of("--surfaces", changed, *changed)
    assert {row[header.index("mIoU, painted")] for row in table} == {"0.7500"}
    assert {row[header.index("with background")] for row in table} == {"0.8000"}
    assert {row[0]: row[-3:] for row in table} == {
        "a": ["0.01934", "0.8148", ""],
        "b": ["", "", ""],
        "c": ["", "", ""],
        "d": ["0.00527", "0.7835", ""],
    }
