"""The table of latencies of networks of several sizes."""

from pathlib import Path

import pytest
import results_charts
import sizes


def test_fields_of_a_variant_go_before_those_of_its_size() -> None:
    fields = sizes.fields_of(["size=medium", "side_channels=160", "stage_sizes=(1, 2, 1, 1)", "feature_growth=concat"])
    own = {"side_channels": 160, "stage_sizes": (1, 2, 1, 1), "feature_growth": "concat"}
    assert fields == {**sizes.SIZES["medium"], **own}
    assert fields["residual_channels"] == 64
    assert sizes.fields_of(["remat=False", "saliency_prior=None"]) == {"remat": False, "saliency_prior": None}


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (("--also", "unet:lite:300"), "--also: there is no 'unet' of size 'lite': write NETWORK:SIZE:PIXELS"),
        (("--also", "own:full:300"), "--also: there is no 'own' of size 'full'"),
        (("--also", "bdms"), "--also: there is no 'bdms' of size ''"),
        (("--also", "bdms:full"), "--also: there are no images of '' pixels"),
        (("--also", "bdms:full:large"), "--also: there are no images of 'large' pixels"),
        (("--also", "bdms:full:0"), "--also: there are no images of '0' pixels"),
        (("--also", "bdms:full:64:64"), "--also: there are no images of '64:64' pixels"),
        (("--variant", "wide", "channels=9"), "--variant: the network has no field 'channels': choose among size, "),
        (("--variant", "wide", "size=huge"), "--variant: there is no size 'huge': choose among full, lite, "),
        (("--variant", "wide", "backbone=resnet"), "--variant: the network has no field 'backbone'"),
        (("--variant", "wide", "size=small", "ablation=zz"), "--variant wide cannot be built: "),
        (("--variant", "wide", "size=small", "side_channels=abc"), "--variant wide cannot be built: "),
        (("--variant", "wide", "side_channels=9 9"), "--variant: side_channels=9 9 is not a value"),
        (("--rounds", "0"), "--rounds: '0' must be a whole number of 1 or more"),
        (("--image-size", "-3"), "--image-size: '-3' must be a whole number of 1 or more"),
    ],
)
def test_what_cannot_be_timed_is_refused(
    flags: tuple[str, ...], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        sizes.main(flags)
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize(
    ("sizes_named", "sentence"),
    [("full,huge", "bdms has no size huge: choose among full, lite, "), ("", "there is nothing to time: name a size")],
)
def test_sizes_that_there_are_not_are_refused(
    sizes_named: str, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        sizes.main([f"--sizes={sizes_named}"])
    assert sentence in capsys.readouterr().err


def test_latencies_of_several_networks_are_written_for_charts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "cpu.json"
    sizes.main(["--sizes=", "--also", "bdms:small:64", "unet:small:40", "--rounds=2", f"--json={file}"])
    table = [line.split(" | ")[0] for line in capsys.readouterr().out.splitlines()]
    assert table[2:] == ["| bdms small, 64 pixels", "| unet small, 40 pixels"]
    steps = results_charts.read_speeds([file])["steps"]
    assert [(row["network"], row["size"], row["image_size"]) for row in steps] == [
        ("bdms", "small", 64),
        ("unet", "small", 40),
    ]
    assert all(0 < row["seconds"] < 60 for row in steps)
