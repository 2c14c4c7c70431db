"""The training step of a network of the comparison in PyTorch, timed: python benchmarks/torch_compare.py unet.

The networks are those that the tests compare ours with. On a GPU, the step is what PyTorch's users are advised to do:
bfloat16 autocast, channels last, a fused optimiser, cuDNN's own choice of algorithms; on a CPU it is plain float32.
A line is printed for each batch: "torch compile  train    batch  16     60.20 ms     265.8 images/s".
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch_steps import WRAPPERS

sys.path.append(str(Path(__file__).resolve().parent.parent / "tests" / "comparison" / "deep"))

NETWORKS = ("unet", "fcn8s")


def network(name: str, base: int) -> torch.nn.Module:
    """U-Net, or FCN-8s with BatchNorm, as ours by default."""
    if name == "unet":
        import torch_unet

        return torch_unet.UNet(base)
    import torch_fcn

    return torch_fcn.FCN8s(base, norm=True)


def main() -> int:
    """Time what the flags say."""
    parser = argparse.ArgumentParser()
    parser.add_argument("network", choices=NETWORKS)
    parser.add_argument("--mode", choices=tuple(WRAPPERS), default="eager")
    parser.add_argument("--batches", default="16", help="comma-separated")
    parser.add_argument("--image-size", type=int, default=300)
    parser.add_argument("--base", type=int, default=64, help="channels of the first stage")
    parser.add_argument("--seconds", type=float, default=1.0)
    arguments = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(0)
    torch.backends.cudnn.benchmark = True
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    net = network(arguments.network, arguments.base).train().to(device, memory_format=torch.channels_last)
    model = WRAPPERS[arguments.mode](net)
    for batch in map(int, arguments.batches.split(",")):
        seconds = _seconds_per_call(_train_step(model, net, batch, arguments.image_size, device), arguments.seconds)
        name = f"torch {arguments.mode:8s} train    batch {batch:3d}"
        print(f"{name} {seconds * 1e3:9.2f} ms {batch / seconds:9.1f} images/s", flush=True)
    return 0


def _train_step(
    model: torch.nn.Module, net: torch.nn.Module, batch: int, size: int, device: torch.device
) -> Callable[[], None]:
    on_gpu = device.type == "cuda"
    images = torch.randn(batch, 3, size, size, device=device).contiguous(memory_format=torch.channels_last)
    masks = (torch.rand(batch, 1, size, size, device=device) > 0.9).float()
    optimizer = torch.optim.SGD(net.parameters(), 1e-3, momentum=0.9, weight_decay=5e-4, fused=on_gpu)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cuda", torch.bfloat16, enabled=on_gpu):
            maps = model(images)
        loss = sum(F.binary_cross_entropy_with_logits(x.float(), masks) for x in maps)
        loss.backward()
        optimizer.step()

    return step


def _seconds_per_call(call: Callable[[], None], budget: float) -> float:
    """As `timing.seconds_per_call`: queued calls, the median of five repetitions of about `budget` seconds each."""

    def wait() -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()

    for _ in range(3):
        call()
    wait()
    start = time.perf_counter()
    call()
    wait()
    calls = max(1, int(budget / max(1e-4, time.perf_counter() - start)))
    times = []
    for _ in range(5):
        start = time.perf_counter()
        for _ in range(calls):
            call()
        wait()
        times.append((time.perf_counter() - start) / calls)
    return statistics.median(times)


if __name__ == "__main__":
    sys.exit(main())
