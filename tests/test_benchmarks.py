"""The benchmarks' own arithmetic."""

from pathlib import Path

import pytest
import torch_peer
from flops import forward_flops
from peer import best, peer_times

from dms_jax.models import BDMS, SDMS


@pytest.mark.parametrize(("network", "steps"), [(SDMS, 3), (BDMS, 6)])
def test_the_networks_operations_are_those_that_pytorch_counts(network: type, steps: int) -> None:
    peer = torch_peer.load_peer()
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    with torch.device("meta"):
        net = peer.DMS(6, steps).eval()
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            net(torch.empty(1, 3, 161, 193))
    assert forward_flops(network(num_classes=6), 161, 193) == counter.get_total_flops()


def test_the_peers_lines_are_read_and_its_failures_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script = tmp_path / "peer.py"
    script.write_text(
        "import sys\n"
        "mode = sys.argv[sys.argv.index('--modes') + 1]\n"
        "milliseconds = 60.5 if mode == 'eager' else 50.25\n"
        "print(f'torch {mode:8s} train    batch  16     {milliseconds} ms   264.0 pictures/s')\n"
        "print(f'torch {mode:8s} predict  batch   1      7.0 ms   142.0 pictures/s')\n"
        "sys.exit('out of memory' if mode == 'graphs' else 0)\n"
    )
    times = peer_times(script, ["eager", "graphs"], 0.1)
    assert best(times, "train", 16) == (0.05025, "graphs")
    assert best(times, "predict", 1) == (0.007, "eager")
    assert best(times, "train", 64) is None
    assert capsys.readouterr().err == "the peer's mode graphs failed: out of memory\n"
