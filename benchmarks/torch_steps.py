"""Times of a PyTorch script's network that the script does not take itself: one image's latency, and a CPU's steps.

    python benchmarks/torch_steps.py FILE --mode eager --jobs latency:1,predict:2,train:2

The script is a module with `BDMS()`, the network, and `predict_step(model, batch)`, a prediction on the GPU. Lines are
those of such scripts: "torch eager train batch 16 60.2 ms". On a GPU, only `latency` is timed.
"""

import argparse
import importlib.util
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
import torch.nn.functional as F

WRAPPERS: dict[str, Callable[[Any], Any]] = {
    "eager": lambda network: network,
    "compile": torch.compile,
    "graphs": lambda network: torch.compile(network, mode="max-autotune"),
}


def main() -> int:
    """Time what the flags say."""
    parser = argparse.ArgumentParser()
    parser.add_argument("script", type=Path)
    parser.add_argument("--mode", choices=tuple(WRAPPERS), default="eager")
    parser.add_argument("--jobs", default="latency:1")
    parser.add_argument("--image-size", type=int, default=300)
    parser.add_argument("--seconds", type=float, default=1.0)
    arguments = parser.parse_args()
    on_gpu = torch.cuda.is_available()
    print(f"device {'gpu' if on_gpu else 'cpu'}", flush=True)
    if not on_gpu and arguments.mode == "graphs":
        return 0
    torch.manual_seed(0)
    script = _load(arguments.script)
    network = script.BDMS()
    if on_gpu:
        torch.backends.cudnn.benchmark = True
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
        network = network.cuda().to(memory_format=torch.channels_last)
    model = WRAPPERS[arguments.mode](network)
    for job, batch in (item.split(":") for item in arguments.jobs.split(",")):
        network.train(job == "train")
        if on_gpu and job != "latency":
            continue
        if on_gpu:
            call = script.predict_step(model, int(batch))
        else:
            step = _train if job == "train" else _predict
            call = step(model, network, int(batch), arguments.image_size)
        seconds = _seconds(call, arguments.seconds, on_gpu)
        name = f"torch {arguments.mode:8s} {job:8s} batch {int(batch):3d}"
        print(f"{name} {seconds * 1e3:9.2f} ms {int(batch) / seconds:9.1f} images/s", flush=True)
    return 0


def _load(path: Path) -> ModuleType:
    specification = importlib.util.spec_from_file_location("peer_script", path)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def _predict(model: Any, _: torch.nn.Module, batch: int, size: int) -> Callable[[], Any]:
    images = torch.randn(batch, 3, size, size)

    def step() -> Any:
        with torch.inference_mode():
            return model(images)

    return step


def _train(model: Any, network: torch.nn.Module, batch: int, size: int) -> Callable[[], Any]:
    images = torch.randn(batch, 3, size, size)
    masks = (torch.rand(batch, 1, size, size) > 0.9).float()
    labels = torch.randint(0, 6, (batch,))
    optimizer = torch.optim.SGD(network.parameters(), 1e-3, momentum=0.9, weight_decay=5e-4)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        maps, logits = model(images)
        loss = sum(F.binary_cross_entropy_with_logits(m, masks) for m in maps)
        loss = loss + 0.01 * sum(F.cross_entropy(z, labels) for z in logits)
        loss.backward()
        optimizer.step()

    return step


def _seconds(call: Callable[[], Any], budget: float, on_gpu: bool) -> float:
    """Median time until a call is done, nothing queued behind it; five calls at least."""
    times: list[float] = []
    for _ in range(3):
        call()
    begin = time.perf_counter()
    while len(times) < 5 or (time.perf_counter() - begin < budget and len(times) < 200):
        if on_gpu:
            torch.cuda.synchronize()
        start = time.perf_counter()
        call()
        if on_gpu:
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


if __name__ == "__main__":
    sys.exit(main())
