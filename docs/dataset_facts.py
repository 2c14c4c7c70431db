"""What docs/data.md says of the published masks and labels, measured.

Usage: python docs/dataset_facts.py [--mtdd DIR] [--neu-seg DIR] [--crackforest DIR], each the folder of the files.
"""

import argparse
import itertools
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np

from dms_jax.data.datasets import crackforest, mtdd, neu_seg
from dms_jax.data.datasets.base import LabelledImage
from dms_jax.data.datasets.near_duplicates import thumbnail
from dms_jax.data.image_files import DEFECT_THRESHOLD, read_image
from dms_jax.data.mask_files import read_mask
from dms_jax.errors import UserError

# How far masks of CrackForest are shifted to where the image is darkest, in pixels; and how wide the surroundings are
# that a crack is compared with.
_FARTHEST, _AROUND = 8, 10


def mtdd_facts(root: Path) -> dict[str, object]:
    """Tiles with contradictory labels, empty masks of defective tiles, grey edges."""
    images = mtdd.find_images(root)
    by_tile: dict[str, list[LabelledImage]] = defaultdict(list)
    masks = {}
    for image in images:
        by_tile[image.group].append(image)
        masks[image.name] = np.asarray(read_mask(image.mask_path))
    disputed = {tile: members for tile, members in by_tile.items() if len({image.label for image in members}) > 1}
    shares = {name: float(np.mean(mask > DEFECT_THRESHOLD)) for name, mask in masks.items()}
    near = mtdd.group_names(masks)
    empty = {
        image.name: sorted(shares[name] for name in masks if near[name] == near[image.name] and shares[name] > 0)
        for image in images
        if image.label != "free" and not masks[image.name].any()
    }
    marked = {name: mask for name, mask in masks.items() if mask.any()}
    growth = {
        label: float(
            np.mean(
                [np.mean(masks[i.name] > 0) / shares[i.name] for i in images if i.label == label and shares[i.name]]
            )
        )
        for label in mtdd.Mtdd.CLASS_NAMES[1:]
    }
    return {
        "tiles of several classes": len(disputed),
        "their images": sum(map(len, disputed.values())),
        "their classes": {tile: dict(Counter(i.label for i in members)) for tile, members in disputed.items()},
        "empty masks of defective classes, and the defective shares of their tile's other exposures": {
            name: (min(others, default=None), max(others, default=None)) for name, others in empty.items()
        },
        "masks that are not empty": len(marked),
        "of these, with greys between 0 and 255": sum(
            bool(((mask > 0) & (mask < 255)).any()) for mask in marked.values()
        ),
        "defective pixels at > 0 by those at > 127, mean over images": growth,
    }


def neu_seg_facts(root: Path) -> dict[str, object]:
    """How far the masks of turned copies of one image agree."""
    images = neu_seg.find_images(root)
    groups: dict[str, list[int]] = defaultdict(list)
    for i, image in enumerate(images):
        groups[image.group].append(i)
    smalls = [thumbnail(read_image(image.image_path)) for image in images]
    masks = [np.asarray(neu_seg.read_annotation(image.mask_path)) > 0 for image in images]
    is_test = [image.name.startswith("images/test/") for image in images]
    agreed, across = [], {}
    for members in groups.values():
        for i, j in itertools.combinations(members, 2):
            turn = max(
                range(8), key=lambda turn: np.corrcoef(smalls[i].ravel(), _turned(smalls[j], turn).ravel())[0, 1]
            )
            other = _turned(masks[j], turn)
            iou = np.count_nonzero(masks[i] & other) / np.count_nonzero(masks[i] | other)
            agreed.append(iou)
            if is_test[i] != is_test[j]:
                across.setdefault(i if is_test[i] else j, []).append(iou)
    of_test = [np.mean(each) for each in across.values()]
    return {
        "pairs of copies": len(agreed),
        "of these, with identical masks": float(np.mean(np.array(agreed) == 1)),
        "mean IoU of their masks": float(np.mean(agreed)),
        "test images with a copy in training": len(across),
        "mean IoU of their masks with those of the copies": float(np.mean(of_test)),
        "share of them below 0.9": float(np.mean(np.array(of_test) < 0.9)),
        "pairs of a test and a training image": sum(map(len, across.values())),
        "mean IoU over these pairs": float(np.mean(list(itertools.chain(*across.values())))),
        "share of these pairs below 0.9": float(np.mean(np.array(list(itertools.chain(*across.values()))) < 0.9)),
        "groups with two labels": sum(len({images[i].label for i in members}) > 1 for members in groups.values()),
    }


def crackforest_facts(root: Path) -> dict[str, object]:
    """Masks that lie on nothing dark, regions that are neither surface nor crack, and what a pixel is worth."""
    from scipy.io import loadmat
    from scipy.ndimage import binary_dilation

    values: Counter[int] = Counter()
    contrasts, shifts, agreement = {}, {}, []
    for image in crackforest.find_images(root):
        regions = loadmat(image.mask_path, simplify_cells=True)["groundTruth"]["Segmentation"]
        values.update(np.unique(regions).tolist())
        crack = np.asarray(crackforest.read_segmentation(image.mask_path)) > 0
        aside = [crack[1:] & crack[:-1], crack[:, 1:] & crack[:, :-1]]
        agreement.append(float(np.mean([both.sum() / crack.sum() for both in aside])))
        grey = np.asarray(read_image(image.image_path).convert("L"), float)
        around = binary_dilation(crack, iterations=_AROUND) & ~binary_dilation(crack, iterations=3)
        contrasts[image.image_path.stem] = float((grey[around].mean() - grey[crack].mean()) / grey[around].std())
        rows, columns = np.nonzero(crack)
        inside = (
            (rows >= _FARTHEST) & (rows < grey.shape[0] - _FARTHEST)
            & (columns >= _FARTHEST) & (columns < grey.shape[1] - _FARTHEST)
        )  # fmt: skip
        reach = range(-_FARTHEST, _FARTHEST + 1)
        shifts[image.image_path.stem] = min(
            itertools.product(reach, reach), key=lambda by: grey[rows[inside] + by[0], columns[inside] + by[1]].mean()
        )
    return {
        "files with each value": dict(sorted(values.items())),
        "F1 of a mask with itself a pixel aside, mean": float(np.mean(agreement)),
        "the crack is darker than its surroundings by, in their standard deviations, least": sorted(
            (round(contrast, 2), stem) for stem, contrast in contrasts.items()
        )[:4],
        "the mask would be darkest when shifted by (down, right), most": sorted(
            ((round(float(np.hypot(*by)), 1), stem, by) for stem, by in shifts.items()), reverse=True
        )[:6],
    }


def _turned(image: np.ndarray, turn: int) -> np.ndarray:
    return np.rot90(image[:, ::-1] if turn > 3 else image, turn % 4)


def main() -> None:
    """Print the facts of the datasets that are named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("mtdd", "neu-seg", "crackforest"):
        parser.add_argument(f"--{name}", type=Path)
    options = parser.parse_args()
    for measure, root in (
        (mtdd_facts, options.mtdd),
        (neu_seg_facts, options.neu_seg),
        (crackforest_facts, options.crackforest),
    ):
        if root is not None:
            try:
                facts = measure(root)
            except UserError as error:
                parser.error(str(error).rstrip("."))
            print(measure.__name__)
            for what, found in facts.items():
                print(f"  {what}: {found}")


if __name__ == "__main__":
    main()
