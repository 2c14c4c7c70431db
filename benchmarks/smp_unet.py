"""Trains a U-Net of segmentation_models_pytorch on a dataset prepared here, and writes its maps of the test images.

    pip install segmentation-models-pytorch
    python benchmarks/smp_unet.py --dataset mtdd --manual-dir DIR --split tiles --steps 7000 --seed 0 --output maps/unet
    dms-jax compare --dataset mtdd --manual-dir DIR --split tiles --maps U-Net=maps/unet

What a user of PyTorch would do instead, from random weights, under the budget of `recipe=adamw`: its optimizer, rate,
steps and batches, loss, transforms, average of the weights, and all of the training images (`data.select_on=none`).
What it lacks are the defects pasted on normal images, and outputs to supervise but one map and one class. Images are
squashed to a multiple of 32 pixels, which that U-Net wants. Prints a line of JSON.
"""

import argparse
import json
import math
import sys
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from dms_jax.comparison.rows import map_names, write_map
from dms_jax.data.examples import ExampleSource
from dms_jax.data.prepare import prepare
from dms_jax.models.preprocessing import IMAGENET_MEAN, IMAGENET_STD
from dms_jax.runs.config.defaults import network_config

_RECIPE = network_config("bdms", "recipe=adamw")


def main() -> int:
    """Read the flags, train, write the maps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", required=True, metavar="NAME")
    parser.add_argument("--manual-dir", default="", metavar="DIR")
    parser.add_argument("--data-dir", default="", metavar="DIR")
    parser.add_argument("--split", default="", metavar="NAME")
    parser.add_argument("--encoder", default="resnet34", metavar="NAME", help="of the library's (%(default)s)")
    parser.add_argument("--size", type=int, default=320, help="side of the images, a multiple of 32 (%(default)s)")
    parser.add_argument("--batch", type=int, default=_RECIPE.batch_size)
    parser.add_argument("--steps", type=int, default=_RECIPE.steps)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="for the maps")
    arguments = parser.parse_args()
    import segmentation_models_pytorch as smp

    dataset = prepare(
        arguments.dataset, split=arguments.split, data_dir=arguments.data_dir, manual_dir=arguments.manual_dir
    )
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(arguments.seed)
    torch.backends.cudnn.benchmark = True
    network = smp.Unet(
        arguments.encoder, encoder_weights=None, classes=1, aux_params={"classes": len(dataset.class_names)}
    )
    network = network.to(device).to(memory_format=torch.channels_last)

    train = [_arrays(dataset.source(name), arguments.size) for name in ("train", "validation")]
    images, masks, labels = (torch.from_numpy(np.concatenate(parts)).to(device) for parts in zip(*train, strict=True))
    started = time.monotonic()
    averaged = _train(network, images, masks, labels, arguments, device)
    seconds = time.monotonic() - started

    test = dataset.source("test")
    hits = _predict(averaged.eval(), test, arguments, device)
    print(
        json.dumps(
            {
                "encoder": arguments.encoder,
                "parameters": sum(p.numel() for p in network.parameters()),
                "versions": {"torch": torch.__version__, "segmentation_models_pytorch": smp.__version__},
                "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
                "steps": arguments.steps,
                "seed": arguments.seed,
                "seconds": round(seconds, 1),
                "images_per_second": round(arguments.steps * arguments.batch / seconds, 1),
                "accuracy": round(hits, 5),
            }
        )
    )
    return 0


def _arrays(source: ExampleSource, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images uint8 [N, 3, S, S], masks float32 [N, 1, S, S], 0 or 1, and labels [N] of a split."""
    images, masks, labels = [], [], []
    for example in (source[index] for index in range(len(source))):
        images.append(_squash(example["image"], size).transpose(2, 0, 1))
        masks.append((_squash(example["mask"][..., 0], size) > 127)[None].astype(np.float32))
        labels.append(int(example["label"]))
    return np.stack(images), np.stack(masks), np.array(labels)


def _squash(pixels: np.ndarray, size: int) -> np.ndarray:
    return np.asarray(Image.fromarray(pixels).resize((size, size), Image.Resampling.BILINEAR))


def _train(
    network: torch.nn.Module,
    images: torch.Tensor,
    masks: torch.Tensor,
    labels: torch.Tensor,
    arguments: argparse.Namespace,
    device: str,
) -> AveragedModel:
    """The average of the weights after all steps."""
    settings = _RECIPE.optimizer
    kernels = [p for p in network.parameters() if p.ndim > 1]
    others = [p for p in network.parameters() if p.ndim <= 1]
    groups = [{"params": kernels, "weight_decay": settings.weight_decay}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=settings.learning_rate)
    warm_up = min(settings.warmup_steps, arguments.steps // 10)

    def rate(step: int) -> float:
        return min(1.0, (step + 1) / max(warm_up, 1)) * (1 - step / arguments.steps) ** settings.power

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    averaged = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(_RECIPE.average_decay), use_buffers=True)
    model = torch.compile(network) if device == "cuda" else network
    defective = masks.flatten(1).any(dim=1)
    pools = [torch.nonzero(defective)[:, 0], torch.nonzero(~defective)[:, 0]]
    halves = [pool for pool in pools if len(pool)]
    random = torch.Generator(device).manual_seed(arguments.seed)
    network.train()
    for step in range(arguments.steps):
        count = arguments.batch // len(halves)
        chosen = [pool[torch.randint(len(pool), (count,), generator=random, device=device)] for pool in halves]
        rows = torch.cat(chosen)
        x, y = _augment(images[rows].float(), masks[rows], random)
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
            maps, classes = model(x.to(memory_format=torch.channels_last))
        maps = maps.float()
        p = torch.sigmoid(maps)
        both, either = (p * y).sum((1, 2, 3)), (p + y - p * y).sum((1, 2, 3))
        loss = F.binary_cross_entropy_with_logits(maps, y) + (1 - (both + 1) / (either + 1)).mean()
        loss = loss + _RECIPE.loss.class_weight * F.cross_entropy(classes.float(), labels[rows])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), settings.clip_norm)
        optimizer.step()
        schedule.step()
        averaged.update_parameters(network)
        if step % 500 == 0:
            print(f"step {step}/{arguments.steps}  loss {loss.item():.3f}", file=sys.stderr)
    return averaged


def _augment(x: torch.Tensor, y: torch.Tensor, random: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """The recipe's flips, rotation, zoom, shift, contrast and brightness; normalised."""
    count, device, bounds = len(x), x.device, _RECIPE.augment

    def draw(low: float, high: float) -> torch.Tensor:
        return low + (high - low) * torch.rand(count, generator=random, device=device)

    angle, zoom = draw(-1, 1) * math.radians(bounds.rotation), draw(*bounds.scale)
    flips = [torch.where(draw(0, 1) < 0.5, -1.0, 1.0) for _ in range(2)]
    cos, sin = torch.cos(angle) / zoom, torch.sin(angle) / zoom
    # Of grid_sample, a shift of 2 is the whole side.
    shift = 2 * bounds.shift
    rows = [
        torch.stack([cos * flips[0], -sin * flips[0], draw(-shift, shift)], 1),
        torch.stack([sin * flips[1], cos * flips[1], draw(-shift, shift)], 1),
    ]
    grid = F.affine_grid(torch.stack(rows, 1), list(x.shape), align_corners=False)
    both = F.grid_sample(torch.cat([x, y], 1), grid, padding_mode="reflection", align_corners=False)
    x, y = both[:, :3], (both[:, 3:] > 0.5).float()
    mean = x.mean((1, 2, 3), keepdim=True)
    contrast, brightness = (
        draw(1 - bounds.contrast, 1 + bounds.contrast),
        255 * draw(-bounds.brightness, bounds.brightness),
    )
    x = mean + contrast[:, None, None, None] * (x - mean) + brightness[:, None, None, None]
    return _normalise(x.clamp(0, 255)), y


def _normalise(x: torch.Tensor) -> torch.Tensor:
    mean, std = (torch.tensor(values, device=x.device).view(1, 3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    return (x / 255 - mean) / std


def _predict(model: torch.nn.Module, source: ExampleSource, arguments: argparse.Namespace, device: str) -> float:
    """Write the maps of all images at their own sizes; the share whose class is right."""
    hits = []
    for index, name in enumerate(map_names(source)):
        example = source[index]
        pixels = _squash(example["image"], arguments.size).transpose(2, 0, 1)
        x = _normalise(torch.from_numpy(pixels.copy()).float()[None].to(device))
        with torch.inference_mode(), torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
            maps, classes = model(x.to(memory_format=torch.channels_last))
        maps = torch.sigmoid(maps.float())
        own = F.interpolate(maps, size=example["image"].shape[:2], mode="bilinear", align_corners=False)
        write_map((own[0, 0] * 255).round().byte().cpu().numpy(), arguments.output / f"{name}.png")
        hits.append(int(classes.argmax()) == int(example["label"]))
    return float(np.mean(hits))


if __name__ == "__main__":
    sys.exit(main())
