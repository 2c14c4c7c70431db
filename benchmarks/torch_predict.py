"""Prediction of a folder as a PyTorch user would write it: torch_predict.py SCRIPT IMAGES OUTPUT WORKERS.

The network is the script's `BDMS()`, compiled, in bfloat16 and channels last; a DataLoader's processes decode and
resize, as many threads write maps at the images' own sizes. Prints a line of JSON.
"""

import csv
import json
import sys
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from memory import PeakMemory
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torch_steps import _load

_SIZE, _BATCH = 300, 64
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Images(Dataset):
    """uint8 [3, S, S] with the number of the file and its size."""

    def __init__(self, files: list[Path]) -> None:
        self.files = files

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int, int, int]:
        image = Image.open(self.files[index]).convert("RGB")
        pixels = np.asarray(image.resize((_SIZE, _SIZE), Image.BILINEAR))
        return torch.from_numpy(pixels.transpose(2, 0, 1).copy()), index, image.height, image.width


def main() -> int:
    """Predict the folder."""
    script, images, output, workers = sys.argv[1:]
    files = sorted(Path(images).iterdir())
    Path(output).mkdir()
    on_gpu = torch.cuda.is_available()
    device = "cuda" if on_gpu else "cpu"
    torch.backends.cudnn.benchmark = True
    network = _load(Path(script)).BDMS().eval().to(device).to(memory_format=torch.channels_last)
    model = torch.compile(network) if on_gpu else network
    mean, std = (torch.tensor(values, device=device).view(1, 3, 1, 1) for values in (_MEAN, _STD))

    def predict(batch: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
        x = batch.to(device, non_blocking=True).to(memory_format=torch.channels_last)
        x = (x.float() / 255 - mean) / std
        with torch.inference_mode(), torch.autocast(device, torch.bfloat16, enabled=on_gpu):
            maps, logits = model(x)
        maps = (torch.sigmoid(maps[-1].float()) * 255).round().to(torch.uint8)
        return maps[:, 0].cpu().numpy(), torch.softmax(logits[-1].float(), 1).cpu().numpy()

    def write(saliency_map: np.ndarray, index: int, height: int, width: int) -> None:
        image = Image.fromarray(saliency_map).resize((width, height), Image.BILINEAR)
        image.save(Path(output) / f"{files[index].stem}.png", compress_level=1)

    for _ in range(4):
        predict(torch.zeros(_BATCH, 3, _SIZE, _SIZE, dtype=torch.uint8))
    loader = DataLoader(Images(files), _BATCH, num_workers=int(workers), pin_memory=on_gpu, prefetch_factor=4)
    started = time.monotonic()
    waiting: deque = deque()
    table_path = Path(output) / "predictions.csv"
    with PeakMemory() as memory, ThreadPoolExecutor(int(workers)) as pool, table_path.open("w") as table:
        rows = csv.writer(table)
        for batch, *about in loader:
            count = len(batch)
            if count < _BATCH:  # another size would be compiled anew
                batch = torch.cat([batch, batch.new_zeros(_BATCH - count, *batch.shape[1:])])
            maps, probabilities = predict(batch)
            for i in range(count):
                index, height, width = (int(each[i]) for each in about)
                waiting.append(pool.submit(write, maps[i], index, height, width))
                rows.writerow([files[index].name, *probabilities[i].tolist()])
            while len(waiting) > 4 * _BATCH:
                waiting.popleft().result()
        for future in waiting:
            future.result()
    seconds = time.monotonic() - started
    print(json.dumps({"images_per_second": len(files) / seconds, "seconds": seconds, "mib": memory.mib}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
