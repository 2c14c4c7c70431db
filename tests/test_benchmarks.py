"""The benchmarks' own arithmetic."""

import json
from pathlib import Path
from types import SimpleNamespace

import compare_speed
import flax.linen as nn
import jax
import peer
import prepare
import pytest
import speed
import timing
import torch_peer
import update
import whole_run
from flops import forward_flops
from PIL import Image

from dms_jax.comparison.deep import DEEP_NETWORKS
from dms_jax.comparison.deep.lstm import ReNet
from dms_jax.models.dms import NETWORKS


@pytest.mark.parametrize("network", NETWORKS)
def test_the_networks_operations_are_those_that_pytorch_counts(network: str) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    from torch.utils.flop_counter import FlopCounterMode

    with torch.device("meta"):
        net = torch_peer.reference(6, network).eval()
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            net(torch.empty(1, 3, 161, 193))
    assert forward_flops(NETWORKS[network](num_classes=6), 161, 193) == counter.get_total_flops()


@pytest.mark.parametrize("network", ["unet", "fcn8s"])
def test_so_are_those_of_the_comparison(network: str) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    import torch_compare
    from torch.utils.flop_counter import FlopCounterMode

    with torch.device("meta"):
        net = torch_compare.network(network, 16).eval()
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            net(torch.empty(1, 3, 160, 192))
    ours = DEEP_NETWORKS[network](num_classes=6, **DEEP_NETWORKS[network].sizes["small"])
    assert forward_flops(ours, 160, 192) == counter.get_total_flops()


def test_lstms_count_for_each_place_of_a_map() -> None:
    class Sweeps(nn.Module):
        @nn.compact
        def __call__(self, images: jax.Array, *, train: bool) -> jax.Array:
            return ReNet(2)(images)

    columns, rows = (2 * 2 * (channels * 8 + 2 * 8) for channels in (3, 4))
    assert forward_flops(Sweeps(), 5, 7) == 5 * 7 * (columns + rows)


def test_the_peers_lines_are_read_and_its_failures_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "peer.py"
    script.write_text(
        "import sys\n"
        "mode = sys.argv[sys.argv.index('--modes') + 1]\n"
        "milliseconds = 60.5 if mode == 'eager' else 50.25\n"
        "print(f'torch {mode:8s} train    batch  16     {milliseconds} ms   264.0 images/s')\n"
        "print(f'torch {mode:8s} predict  batch   1      7.0 ms   142.0 images/s')\n"
        "sys.exit('out of memory' if mode == 'graphs' else 0)\n"
    )
    steps = tmp_path / "steps.py"
    steps.write_text("print('device gpu'), print('torch eager    latency  batch   1      8.0 ms   125.0 images/s')\n")
    monkeypatch.setattr(peer, "_TORCH_STEPS", steps)
    times = peer.peer_times(script, ["eager", "graphs"], 0.1, [("latency", 1)], 300, 60)
    assert peer.best(times, "train", 16) == (0.05025, "graphs")
    assert peer.best(times, "predict", 1) == (0.007, "eager")
    assert peer.best(times, "latency", 1) == (0.008, "eager")
    assert peer.best(times, "train", 64) is None
    assert capsys.readouterr().err == "the peer's mode graphs failed: out of memory\n"


def test_what_the_peer_has_measured_counts_when_it_is_stopped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    script, steps = tmp_path / "peer.py", tmp_path / "steps.py"
    script.write_text(
        "import os, subprocess, sys\n"
        "candidates = os.environ['TORCHINDUCTOR_MAX_AUTOTUNE_CONV_BACKENDS']\n"
        "assert candidates == 'ATEN', candidates\n"
        "print('torch graphs   predict  batch   1      7.0 ms   142.0 images/s', flush=True)\n"
        "subprocess.run([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
    )
    steps.write_text("print('device gpu')\n")
    monkeypatch.setattr(peer, "_TORCH_STEPS", steps)
    assert peer.peer_times(script, ["graphs"], 0.1, [], 300, limit=4) == {("predict", 1, "graphs"): 0.007}
    assert capsys.readouterr().err == "the peer's mode graphs was stopped after 4 s\n"


def test_a_cpus_steps_are_timed_where_the_script_cannot(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    if torch.cuda.is_available():
        pytest.skip("the script times its own steps on a GPU")
    script = tmp_path / "peer.py"
    script.write_text(
        "from torch import nn\n"
        "class BDMS(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.map, self.head = nn.Conv2d(3, 1, 3, padding=1), nn.Linear(3, 6)\n"
        "    def forward(self, x):\n"
        "        return [self.map(x)], [self.head(x.mean((2, 3)))]\n"
        "if __name__ == '__main__':\n"
        "    raise SystemExit('no GPU')\n"
    )
    jobs = [("latency", 1), ("predict", 2), ("train", 2)]
    times = peer.peer_times(script, ["eager", "graphs"], 0.01, jobs, 16, 600)
    assert set(times) == {(job, batch, "eager") for job, batch in jobs}
    assert all(0 < seconds < 1 for seconds in times.values())
    assert capsys.readouterr().err == ""


def test_training_is_timed_beside_pytorchs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch", reason="PyTorch is not installed")
    file = tmp_path / "speed.json"
    command = ["--networks=unet", "--size=small", "--image-size=32", "--batches=2", "--modes=eager", f"--json={file}"]
    assert compare_speed.main([*command, "--seconds=0.01", "--at-least=1e-6"]) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    row = [cell.strip() for cell in shown.out.splitlines()[-1].strip("|").split("|")]
    assert row[:2] == ["unet", "2"]
    assert row[4].endswith("(eager)")
    ours, theirs = float(row[2]), float(row[4].split()[0])
    assert float(row[6]) == pytest.approx(theirs / ours, rel=0.01, abs=0.01)
    (figures,) = json.loads(file.read_text())
    assert figures["seconds"] * 1e3 == pytest.approx(ours, abs=0.01)
    assert figures["peer_seconds"] == {"eager": pytest.approx(theirs / 1e3, abs=1e-5)}


def test_too_slow_a_step_fails(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    import steps

    times = {("train", 16, "eager"): 0.3, ("train", 16, "compile"): 0.2}
    monkeypatch.setattr(compare_speed, "run_script", lambda command, mode, limit: (times, ""))
    monkeypatch.setattr(steps, "Bench", lambda *_, **__: SimpleNamespace(train=lambda b: SimpleNamespace(seconds=0.1)))
    assert compare_speed.main(["--networks=fcn8s", "--at-least=1.9"]) == 0
    assert "| fcn8s | 16 | 100.00 | 160.0 | 200.00 (compile) | 80.0 | 2.00 |" in capsys.readouterr().out
    assert compare_speed.main(["--networks=fcn8s", "--at-least=2.1"]) == 1


_RUN = """
import json, pathlib, sys
workdir = pathlib.Path(sys.argv[-1].partition("=")[2])
workdir.mkdir()
(workdir / "config.json").write_text(json.dumps({"batch_size": 4}))
print("first step done 12.5 s after the start", file=sys.stderr)
speeds = {50: 1.0, 100: 30.0, 150: 40.0, 201: 20.0}
lines = [{"step": step, "train/images_per_second": speed} for step, speed in speeds.items()]
lines.insert(2, {"step": 100, "validation/mae": 0.5})
(workdir / "metrics.jsonl").write_text("".join(json.dumps(line) + "\\n" for line in lines))
print("testing step 200", file=sys.stderr)
sys.exit("no room\\n\\n" if "--full" in sys.argv else 0)
"""


def test_what_a_run_prints_is_timed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "train.py").write_text(_RUN)
    monkeypatch.setattr(whole_run, "ROOT", tmp_path)
    # When it reads each line: the machine's own clock goes on while others compute.
    clock = iter([100.0, 102.0])
    monkeypatch.setattr(whole_run, "time", SimpleNamespace(perf_counter=lambda: next(clock, 0.0)))
    run = whole_run.whole_run(tmp_path / "run", [], tmp_path / "cache")
    # 200 steps of four images in two seconds.
    assert (run.first_step, run.images_per_second, run.with_pauses) == (12.5, 30.0, 400.0)
    with pytest.raises(RuntimeError, match=r"^no room$"):
        whole_run.whole_run(tmp_path / "other", ["--full"], tmp_path / "cache")


def test_prepare_measures_a_folder_that_it_generates(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert prepare.main(["--images", "32", "--folder", str(tmp_path)]) == 0
    row = capsys.readouterr().out.splitlines()[-1].split(" | ")
    assert row[0] == "| 32"
    assert all(float(figure.strip(" |")) > 0 for figure in row[2:])
    images = sorted((tmp_path / "images-32").rglob("*.*g"))
    assert sum("masks" in path.parts for path in images) == 16
    assert sum(path.suffix == ".jpg" for path in images) == 16
    with Image.open(tmp_path / "images-32" / "scratch" / "000001.jpg") as grey:
        assert (grey.mode, grey.size) == ("L", (300, 300))


def test_the_unet_of_pytorch_learns_from_images_that_moved_with_their_masks() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    import smp_unet

    masks = torch.zeros(16, 1, 64, 64)
    masks[:, :, 10:30, 20:50] = 1
    # As bright as the mask says, so that the mask can be read from the image again.
    images = 60 + 120 * masks.expand(-1, 3, -1, -1)
    x, y = smp_unet._augment(images, masks, torch.Generator().manual_seed(0))
    assert x.shape == images.shape
    assert set(y.unique().tolist()) == {0.0, 1.0}
    seen = (x[:, :1] > x[:, :1].mean((2, 3), keepdim=True)).float()
    assert ((seen != y).float().mean((1, 2, 3)) < 0.02).all()
    assert len({row.sum().item() for row in y}) > 8, "all are zoomed alike"
    _, other = smp_unet._augment(images, masks, torch.Generator().manual_seed(1))
    assert not torch.equal(other, y), "the seed decides nothing"


def test_networks_are_timed_in_turns() -> None:
    called: list[str] = []
    seconds = timing.in_turns({name: lambda name=name: called.append(name) for name in "ab"}, 3)
    assert called == [*"ababab"]
    assert {name: len(own) for name, own in seconds.items()} == {"a": 3, "b": 3}


def test_speed_refuses_sizes_that_a_network_has_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["speed.py", "--network=unet", "--sizes=full,lite"])
    with pytest.raises(SystemExit, match=r"^unet has no size lite: choose among full, small$"):
        speed.main()


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (("--chained", "0"), "--chained 0 is too small: it must be at least 1."),
        (("--only", "muon,adamw"), "argument --only: invalid choice: 'muon,adamw' "),
    ],
)
def test_no_update_is_timed_of_what_is_not_there(
    flags: tuple[str, ...],
    sentence: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("sys.argv", ["update.py", "--size", "small", *flags])
    with pytest.raises(SystemExit):
        update.main()
    printed = capsys.readouterr()
    assert sentence in printed.err
    assert not printed.out
