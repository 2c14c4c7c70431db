"""Charts of how much a network needs, and of what it costs."""

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import kept_runs
import pytest
import results_charts
from learning_curves import Curve, chart

SVG = "{http://www.w3.org/2000/svg}"
COMMAND = "python train.py --config=bdms:recipe=scratch,split=tiles --config.seed={seed} --config.data.manual_dir=DIR"


def run_of(
    value: float, seed: int = 0, flags: str = "", trained_on: dict[str, Any] | None = None, **more: Any
) -> dict[str, Any]:
    """A kept run of BDMS lite, with what a chart reads of it."""
    results = {"dataset": "mtdd", "dataset_config": "tiles", "network": "bdms", "size": "lite", "ablation": ""}
    results |= {"accuracy": value + 0.1}
    results |= {"defective": {"max_f": value}} | ({"trained_on": trained_on} if trained_on else {})
    command = f"{COMMAND.format(seed=seed)} {flags}".strip()
    run = {"command": command, "seed": seed, "seconds": 600, "images_per_second": 450, "card": None, "validation": []}
    return {**run, "results": results, **more}


def scarce(value: float, seed: int, share: float) -> dict[str, Any]:
    return run_of(value, seed, f"--config.data.mask_share={share}", {"images": 926, "mask_share": share})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    runs = {
        # An earlier version's, which learnt from all that there was.
        "masks100-seed0": run_of(0.8),
        "masks5-seed0": scarce(0.3, 0, 0.05),
        "masks5-seed1": scarce(0.5, 1, 0.05),
        "masks50": scarce(0.7, 0, 0.5),
        "images50": run_of(0.2, 0, "--config.data.train_images=50", {"images": 50, "mask_share": 1.0}),
    }
    for name, run in runs.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(run))
    return tmp_path


def dots_and_texts(file: Path) -> tuple[list[tuple[float, float]], list[str]]:
    svg = ElementTree.parse(file).getroot()
    dots = [(float(dot.get("cx") or ""), float(dot.get("cy") or "")) for dot in svg.iter(f"{SVG}circle")]
    return dots, [text.text or "" for text in svg.iter(f"{SVG}text")]


class TestScarcity:
    def test_a_run_that_was_made_again_is_no_curve(self, folder: Path) -> None:
        (folder / "again.json").write_text(json.dumps(run_of(0.8)))
        groups = kept_runs.by_seeds(kept_runs.runs_in(folder), ["masks100", "again"])
        with pytest.raises(ValueError, match=r"no two runs differ in config\.data\.mask_share alone"):
            results_charts.scarcity_curves(groups, "masks")

    def test_runs_that_differ_in_the_share_of_masks_are_a_curve(self, folder: Path) -> None:
        names = ("masks100", "masks5", "masks50")
        groups = kept_runs.by_seeds(kept_runs.runs_in(folder), names)
        max_f, accuracy = results_charts.scarcity_curves(groups, "masks")
        assert (max_f.name, accuracy.name) == ("maxF, defective", "accuracy")
        assert max_f.lines == [[(5, pytest.approx(0.4)), (50, 0.7), (100, 0.8)]]
        assert sorted(max_f.points) == [(5, 0.3), (5, 0.5), (50, 0.7), (100, 0.8)]
        assert accuracy.lines == [[(5, pytest.approx(0.5)), (50, pytest.approx(0.8)), (100, pytest.approx(0.9))]]

    def test_without_names_what_belongs_together_is_found(self, folder: Path) -> None:
        output = folder / "out.svg"
        results_charts.main(["masks", "--results", str(folder), "--output", str(output)])
        dots, texts = dots_and_texts(output)
        # The run of 50 images is none of them, and of the two curves each seed is a dot.
        assert len(dots) == 2 * 4
        assert texts[-2:] == ["maxF, defective", "accuracy"]
        assert min(dots)[0] == pytest.approx(60 + 0.05 * (720 - 16 - 60), abs=0.1)

    def test_a_run_that_does_not_say_how_many_images_it_had(
        self, folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        arguments = ["images", "images50", "masks100", "--results", str(folder), "--output", str(folder / "out.svg")]
        with pytest.raises(SystemExit):
            results_charts.main(arguments)
        assert "masks100 does not say what it was trained on: evaluate it anew" in capsys.readouterr().err
        whole = run_of(0.8, 0, "", {"images": 926, "mask_share": 1.0})
        (folder / "masks100-seed0.json").write_text(json.dumps(whole))
        results_charts.main(arguments)
        dots, texts = dots_and_texts(folder / "out.svg")
        assert len(dots) == 4
        assert {"50", "100", "200", "500", "1000"} <= set(texts)

    def test_runs_that_differ_in_something_else_are_no_curve(
        self, folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with pytest.raises(SystemExit):
            results_charts.main(["masks", "images50", "masks50", "--results", str(folder), "--output", "out.svg"])
        assert "no two runs differ in config.data.mask_share alone" in capsys.readouterr().err

    def test_neither_the_order_of_fields_nor_how_often_something_is_written_counts(self) -> None:
        half = scarce(0.7, 0, 0.5)
        whole = run_of(0.8, 0, "--config.log_every=9")
        program, config, *fields = whole["command"].split(" --")
        whole["command"] = " --".join((program, config, *fields[::-1]))
        max_f, _ = results_charts.scarcity_curves({"half": [half], "whole": [whole]}, "masks")
        assert max_f.lines == [[(50, 0.7), (100, 0.8)]]

    def test_several_curves_have_the_names_of_their_runs(self) -> None:
        groups = {
            name: [run_of(0.5, 0, flags, {"images": count, "mask_share": 1.0})]
            for name, flags, count in (
                ("scratch-50", "--config.data.train_images=50", 50),
                ("scratch-all", "", 926),
                ("long-50", "--config.steps=9 --config.data.train_images=50", 50),
                ("long-all", "--config.steps=9", 926),
            )
        }
        names = [curve.name for curve in results_charts.scarcity_curves(groups, "images")]
        assert names == ["scratch: maxF, defective", "scratch: accuracy", "long: maxF, defective", "long: accuracy"]


SPEED = {
    "device": "2 CPU cores",
    "steps": [
        {"network": "bdms", "size": "lite", "devices": 1, "job": job, "batch": batch, **times}
        for job, batch, times in (
            ("latency", 1, {"seconds": 1.2, "images_per_second": 0.8}),
            ("predict", 1, {"seconds": 1.0, "images_per_second": 1.0}),
            ("predict", 16, {"seconds": 8.0, "images_per_second": 2.0}),
        )
    ],
}


class TestCost:
    def test_minutes_and_rate_are_of_the_runs(self, folder: Path) -> None:
        groups = kept_runs.by_seeds(kept_runs.runs_in(folder), ["masks5"])
        for kind, cost in (("minutes", 10.0), ("rate", 450)):
            (curve,) = results_charts.cost_curves(groups, results_charts._OF_RUNS[kind][0])
            assert (curve.name, curve.lines) == ("masks5", [])
            assert curve.points == [(cost, 0.3), (cost, 0.5)]
            shared = run_of(0.7, runs_on_card=2)
            assert results_charts.cost_curves({"shared": [shared]}, results_charts._OF_RUNS[kind][0]) == []

    def test_what_a_network_costs_is_of_the_benchmark(self, folder: Path) -> None:
        run = run_of(0.7, 0, "--config.data.image_size=300")
        assert results_charts.speed_of(SPEED, "latency")(run) == 1200
        # Of several batches the fastest.
        assert results_charts.speed_of(SPEED, "prediction")(run) == 2
        for flags in (
            "--config.data.image_size=300 --config.model.backbone=resnet50",
            "--config.data.image_size=300 --config=sdms:backbone=resnet50",
            "--config.data.image_size=300 --config=compare:method=dss,norm=none",
            "--config.data.image_size=300 --config.data.resize=tiles",
            "--config.data.image_size=96",
            "",  # its recipe's size is another
        ):
            assert results_charts.speed_of(SPEED, "latency")(run_of(0.7, 0, flags)) is None
        larger = {**SPEED, "steps": [{**row, "image_size": 384} for row in SPEED["steps"]]}
        assert results_charts.speed_of(larger, "latency")(run_of(0.7)) == 1200
        assert results_charts.speed_of(larger, "latency")(run) is None
        for key, value in (("size", "full"), ("network", "sdms"), ("ablation", "e")):
            other = {**run, "results": {**run["results"], key: value}}
            assert results_charts.speed_of(SPEED, "latency")(other) is None

    def test_the_axis_says_where_it_was_measured(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        output, speed = folder / "out.svg", folder / "speed" / "cpu.json"
        speed.parent.mkdir()
        speed.write_text(json.dumps(SPEED))
        arguments = ["latency", "masks50", "--results", str(folder), "--output", str(output)]
        (folder / "masks50.json").write_text(json.dumps(run_of(0.7, 0, "--config.data.image_size=300")))
        with pytest.raises(SystemExit):
            results_charts.main(arguments)
        assert "name what its --json wrote with --speed" in capsys.readouterr().err
        results_charts.main([*arguments, "--speed", str(speed)])
        assert "latency of one image, ms, on 2 CPU cores" in dots_and_texts(output)[1]

    def test_several_files_of_one_device_are_read(self, tmp_path: Path) -> None:
        first, second, third = (tmp_path / f"{name}.json" for name in ("a", "b", "c"))
        unet = [{**row, "network": "unet", "size": "full"} for row in SPEED["steps"]]
        first.write_text(json.dumps(SPEED))
        second.write_text(json.dumps({**SPEED, "steps": unet}))
        both = results_charts.read_speeds([first, second])
        assert both == {"device": "2 CPU cores", "steps": [*SPEED["steps"], *unet]}
        run = run_of(0.7, 0, "--config.data.image_size=300")
        assert results_charts.speed_of(both, "latency")(run) == 1200
        third.write_text(json.dumps({**SPEED, "device": "NVIDIA H200"}))
        with pytest.raises(
            ValueError, match=r"c\.json is of NVIDIA H200, .*a\.json of 2 CPU cores: draw a chart of each"
        ):
            results_charts.read_speeds([first, third])

    @pytest.mark.parametrize(
        "text",
        ["", "[]", '{"rows": []}', '{"device": "cpu", "steps": [{"job": "train"}]}', '{"device": 0, "steps": 1}'],
    )
    def test_another_file_than_the_benchmarks_is_refused(
        self, text: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        speed = tmp_path / "of_something.else"
        speed.write_text(text)
        with pytest.raises(SystemExit) as ended:
            results_charts.main(["latency", "--results", str(folder), "--output", "x.svg", "--speed", str(speed)])
        assert ended.value.code == 2
        assert f"{speed} is no file that benchmarks/speed.py --json wrote" in capsys.readouterr().err


class TestLogarithmicAxis:
    def test_equal_factors_are_equally_far(self) -> None:
        drawn = chart([Curve("a", [], [(10, 0.5), (100, 0.5), (1000, 0.5)])], "x", "y", logarithmic=True)
        svg = ElementTree.fromstring(drawn)
        first, second, third = (float(dot.get("cx") or "") for dot in svg.iter(f"{SVG}circle"))
        assert 60 < first < third < 720 - 16
        assert second - first == pytest.approx(third - second, abs=0.11)
        texts = [text.text for text in svg.iter(f"{SVG}text")]
        assert [text for text in texts if text and text.isdigit()] == ["10", "20", "50", "100", "200", "500", "1000"]

    def test_nothing_lies_at_zero(self) -> None:
        with pytest.raises(ValueError, match="0 has no place on a logarithmic axis"):
            chart([Curve("a", [[(0, 0.5), (1, 0.5)]])], "x", "y", logarithmic=True)
