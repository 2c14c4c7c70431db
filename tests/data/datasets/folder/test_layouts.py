"""Layouts that people have: each image with its class, its split and its masks, or one sentence."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dms_jax.data.class_names import is_free_name
from dms_jax.data.datasets.folder.listing import Listing, list_folder
from dms_jax.data.datasets.folder.roles import masked_names, role_of
from dms_jax.data.prepare import prepare
from dms_jax.errors import UserError


def touch(root: Path, names: str) -> Path:
    """Empty files, `a/{1,2}.png` being two: nothing is opened here."""
    for name in names.split():
        stem, *choices = re.split(r"[{}]", name)
        for choice in choices[0].split(",") if choices else [""]:
            path = root / f"{stem}{choice}{choices[1] if choices else ''}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    return root


def listed(root: Path) -> list[str]:
    """Each image: its class, its split and its masks."""
    return [
        f"{image.name}: {image.label or '-'}, {image.split or '-'}, {' + '.join(_masks(image, root)) or '-'}"
        for image in list_folder(root).images
    ]


def _masks(image: object, root: Path) -> list[str]:
    reader = image.mask_reader
    others = reader.keywords["others"] if hasattr(reader, "keywords") else ()
    return [path.relative_to(root).as_posix() for path in (image.mask_path, *others) if path is not None]


# Files, and of each image its class, its split and its masks.
UNDERSTOOD = {
    "MTDD's and Crack500's": (
        "MT_Break/Imgs/{1,2}.jpg MT_Break/Imgs/{1,2}.png MT_Free/Imgs/{3,4}.jpg MT_Free/Imgs/{3,4}.png",
        [
            "MT_Break/Imgs/1.jpg: MT_Break, -, MT_Break/Imgs/1.png",
            "MT_Break/Imgs/2.jpg: MT_Break, -, MT_Break/Imgs/2.png",
            "MT_Free/Imgs/3.jpg: MT_Free, -, MT_Free/Imgs/3.png",
            "MT_Free/Imgs/4.jpg: MT_Free, -, MT_Free/Imgs/4.png",
        ],
    ),
    "image + mask": (
        "image/1.png mask/1.png",
        [
            "image/1.png: -, -, mask/1.png",
        ],
    ),
    "images + labels, other endings": (
        "images/1.jpg labels/1.png",
        [
            "images/1.jpg: -, -, labels/1.png",
        ],
    ),
    "U-2-Net's im + gt": (
        "train/im/1.jpg train/gt/1.png test/im/1.jpg test/gt/1.png",
        [
            "train/im/1.jpg: -, train, train/gt/1.png",
            "test/im/1.jpg: -, test, test/gt/1.png",
        ],
    ),
    "mmsegmentation's": (
        "img_dir/{train,val}/1.jpg ann_dir/{train,val}/1.png",
        [
            "img_dir/train/1.jpg: -, train, ann_dir/train/1.png",
            "img_dir/val/1.jpg: -, validation, ann_dir/val/1.png",
        ],
    ),
    "VOC's": (
        "JPEGImages/1.jpg SegmentationClass/1.png",
        [
            "JPEGImages/1.jpg: -, -, SegmentationClass/1.png",
        ],
    ),
    "Carvana's": (
        "train/1.jpg train_masks/1_mask.gif",
        [
            "train/1.jpg: -, train, train_masks/1_mask.gif",
        ],
    ),
    "TrainImages + TrainGT": (
        "TrainImages/1.jpg TrainGT/1.png",
        [
            "TrainImages/1.jpg: -, train, TrainGT/1.png",
        ],
    ),
    "train2017": (
        "images/train2017/a/1.jpg masks/train2017/a/1.png",
        [
            "images/train2017/a/1.jpg: a, train, masks/train2017/a/1.png",
        ],
    ),
    "KolektorSDD2's": (
        "train/1.png train/1_GT.png test/2.png test/2_GT.png",
        [
            "train/1.png: -, train, train/1_GT.png",
            "test/2.png: -, test, test/2_GT.png",
        ],
    ),
    "KolektorSDD's": (
        "kos01/Part0.jpg kos01/Part0_label.bmp",
        [
            "kos01/Part0.jpg: kos01, -, kos01/Part0_label.bmp",
        ],
    ),
    "masks of another name": (
        "good/1.png a/1.png gt/a/1.png",
        [
            "good/1.png: good, -, -",
            "a/1.png: a, -, gt/a/1.png",
        ],
    ),
    "Masks, in capitals": (
        "a/1.png Masks/a/1.png",
        [
            "a/1.png: a, -, Masks/a/1.png",
        ],
    ),
    "ground truth, spaced": (
        "a/1.png Ground-Truth/a/1.png",
        [
            "a/1.png: a, -, Ground-Truth/a/1.png",
        ],
    ),
    "split/masks/class": (
        "train/a/1.png train/masks/a/1.png",
        [
            "train/a/1.png: a, train, train/masks/a/1.png",
        ],
    ),
    "split/class/masks": (
        "train/a/1.png train/a/masks/1.png",
        [
            "train/a/1.png: a, train, train/a/masks/1.png",
        ],
    ),
    "class/images + class/masks": (
        "a/images/1.png a/masks/1.png b/images/1.png",
        [
            "a/images/1.png: a, -, a/masks/1.png",
            "b/images/1.png: b, -, -",
        ],
    ),
    "class/split": (
        "a/train/1.png a/test/2.png masks/a/train/1.png",
        [
            "a/train/1.png: a, train, masks/a/train/1.png",
            "a/test/2.png: a, test, -",
        ],
    ),
    "images/class": (
        "images/a/1.png masks/a/1.png",
        [
            "images/a/1.png: a, -, masks/a/1.png",
        ],
    ),
    "training + testing": (
        "training/a/1.png testing/a/1.png masks/training/a/1.png",
        [
            "training/a/1.png: a, train, masks/training/a/1.png",
            "testing/a/1.png: a, test, -",
        ],
    ),
    "valid": (
        "train/a/1.png valid/a/2.png",
        [
            "train/a/1.png: a, train, -",
            "valid/a/2.png: a, validation, -",
        ],
    ),
    "an outer folder": (
        "set/a/1.png set/b/1.png set/masks/b/1.png",
        [
            "set/a/1.png: a, -, -",
            "set/b/1.png: b, -, set/masks/b/1.png",
        ],
    ),
    "two outer folders, and what a Mac adds": (
        "x/y/train/a/1.png x/y/test/a/2.png __MACOSX/x/._1.png readme.txt",
        [
            "x/y/train/a/1.png: a, train, -",
            "x/y/test/a/2.png: a, test, -",
        ],
    ),
    "what dms-jax predict wrote: in a class, beside the classes, and a shard's": (
        "good/1.png a/2.jpg masks/a/2.png a/maps/2.png a/overlays/2.jpg a/predictions.json a/predictions.csv "
        "out/maps/a/2.png out/overlays/a/2.jpg out/predictions.json "
        "part/maps/a/2.png part/overlays/a/2.jpg part/predictions-1-of-2.json",
        [
            "good/1.png: good, -, -",
            "a/2.jpg: a, -, masks/a/2.png",
        ],
    ),
    "a class that is called maps": (
        "good/1.png maps/2.png masks/maps/2.png",
        [
            "good/1.png: good, -, -",
            "maps/2.png: maps, -, masks/maps/2.png",
        ],
    ),
    "one flat folder of masks": (
        "good/1.png a/2.png b/3.png masks/{2,3}.png",
        [
            "good/1.png: good, -, -",
            "a/2.png: a, -, masks/2.png",
            "b/3.png: b, -, masks/3.png",
        ],
    ),
    "a flat folder, one name also free of defects": (
        "good/1.png a/1.png masks/1.png",
        [
            "good/1.png: good, -, -",
            "a/1.png: a, -, masks/1.png",
        ],
    ),
    "NAME_1_mask, NAME_2_mask": (
        "a/p.png a/p_1_mask.png a/p_2_mask.png",
        [
            "a/p.png: a, -, a/p_1_mask.png + a/p_2_mask.png",
        ],
    ),
    "NAME_mask_1, NAME_mask_2": (
        "a/p.png masks/a/p_mask_{1,2}.png",
        [
            "a/p.png: a, -, masks/a/p_mask_1.png + masks/a/p_mask_2.png",
        ],
    ),
    "NAME_mask and NAME_mask2": (
        "a/p.png a/p_mask.png a/p_mask2.png",
        [
            "a/p.png: a, -, a/p_mask.png + a/p_mask2.png",
        ],
    ),
    "NAME_1, NAME_2 among the masks": (
        "a/p.png masks/a/p_{1,2}.png",
        [
            "a/p.png: a, -, masks/a/p_1.png + masks/a/p_2.png",
        ],
    ),
    "images that are numbered": (
        "a/p_1.png a/p_2.png a/p_1_mask.png a/p_2_mask.png",
        [
            "a/p_1.png: a, -, a/p_1_mask.png",
            "a/p_2.png: a, -, a/p_2_mask.png",
        ],
    ),
    "MVTec LOCO AD's": (
        "train/good/000.png test/logical/000.png test/good/000.png ground_truth/logical/000/{000,001}.png",
        [
            "train/good/000.png: good, train, -",
            "test/good/000.png: good, test, -",
            "test/logical/000.png: logical, test, ground_truth/logical/000/000.png + ground_truth/logical/000/001.png",
        ],
    ),
    "mask_NAME": (
        "a/1.png a/mask_1.png",
        [
            "a/1.png: a, -, a/mask_1.png",
        ],
    ),
    "NAME-gt": (
        "a/1.png masks/a/1-gt.png",
        [
            "a/1.png: a, -, masks/a/1-gt.png",
        ],
    ),
    "NAME.mask": (
        "a/1.png a/1.mask.png",
        [
            "a/1.png: a, -, a/1.mask.png",
        ],
    ),
    "one suffix of all masks": (
        "a/{1,2}.png masks/a/{1,2}_defect.png",
        [
            "a/1.png: a, -, masks/a/1_defect.png",
            "a/2.png: a, -, masks/a/2_defect.png",
        ],
    ),
    "numbers with a suffix": (
        "a/{10,20}.png masks/a/{10,20}_x.png",
        [
            "a/10.png: a, -, masks/a/10_x.png",
            "a/20.png: a, -, masks/a/20_x.png",
        ],
    ),
    "a mask for each split of one name": (
        "train/a/1.png test/a/1.png masks/train/1.png masks/test/1.png",
        [
            "train/a/1.png: a, train, masks/train/1.png",
            "test/a/1.png: a, test, masks/test/1.png",
        ],
    ),
    "masks without splits": (
        "train/a/1.png test/a/2.png masks/a/{1,2}.png",
        [
            "train/a/1.png: a, train, masks/a/1.png",
            "test/a/2.png: a, test, masks/a/2.png",
        ],
    ),
}


@pytest.mark.parametrize("kind", UNDERSTOOD)
def test_layouts_that_are_understood(kind: str, tmp_path: Path) -> None:
    names, right = UNDERSTOOD[kind]
    touch(tmp_path, names)
    listing = list_folder(tmp_path)
    assert listing.problems == ()
    assert listed(tmp_path) == sorted(right)


PROBLEMS = {
    "a mask of two images": (
        "a/1.png b/1.png masks/1.png",
        "masks/1.png could be the mask of .*a/1.png or of .*b/1.png",
    ),
    "a mask of two splits": (
        "train/a/1.png test/a/1.png masks/a/1.png",
        "masks/a/1.png could be the mask of .*test/a/1.png or of .*train/a/1.png",
    ),
    "names of Label Studio": (
        "a/p00.png masks/a/task-{0-annotation-0,1-annotation-1}-by-1-tag-a-0.png",
        "task-0-annotation-0-by-1-tag-a-0.png is a mask of no image",
    ),
    "a folder of masks for images without any": ("label/1.png good/2.png", ""),
    "an image without a mask among others with": (
        "images/{1,2}.png masks/1.png",
        "images/2.png has no mask and lies in no class folder: add its mask",
    ),
    "a class called like masks": ("good/1.png scratch/1.png scratch_masks/1.png", "scratch_masks seems to hold masks"),
    "masks of another version": ("images/1.png masks_v2/1.png", "images/1.png has no mask and lies in no class folder"),
    "masks of bad": ("bad/1.png GT_bad/1.png", "GT_bad seems to hold masks"),
    "a mask of an image that is missing": (
        "a/p.png a/p_1.png masks/a/p_{1,3}.png",
        "masks/a/p_3.png is a mask of no image",
    ),
    "images in a folder of images, without masks": ("images/1.png other/1.png", "images/1.png has no mask"),
    "masks that fit nothing": ("good/1.png bad/image_1.png masks/mask_7.png", "mask_7.png is a mask of no image"),
    "masks by class, images without": (
        "images/{1,2}.png masks/dent/1.png masks/scratch/2.png",
        r"masks/dent/1\.png lies in a folder dent, but the image of its name, .*images/1\.png, in none: give both",
    ),
    "two masks": ("a/1.png masks/a/1.png gt/a/1.png", "gt/a/1.png and .*masks/a/1.png have the same name"),
}


@pytest.mark.parametrize("kind", PROBLEMS)
def test_what_is_not_certain_is_a_problem(kind: str, tmp_path: Path) -> None:
    names, message = PROBLEMS[kind]
    listing = list_folder(touch(tmp_path, names))
    assert any(re.search(message, problem) for problem in listing.problems) or (not message and listing.ignored)
    assert not {"mask", "masks", "label", "gt"} & {image.label for image in listing.images}


@pytest.mark.parametrize(
    ("names", "datasets"),
    [
        ("bottle/train/good/1.png bottle/test/crack/1.png cable/train/good/1.png", "bottle, cable"),
        ("bottle/good/1.png bottle/crack/1.png cable/good/1.png cable/crack/1.png", "bottle, cable"),
        ("bottle/train/good/1.png notes/1.png", "bottle"),
        ("bottle/line1/good/1.png bottle/line1/crack/1.png cable/line1/good/1.png", "bottle, cable"),
    ],
)
def test_a_folder_of_datasets_is_refused(names: str, datasets: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"holds (several datasets|a dataset) \({datasets}\).*such as .*/bottle\.$"):
        list_folder(touch(tmp_path, names))


def test_folders_below_a_class_are_no_dataset(tmp_path: Path) -> None:
    touch(tmp_path, "bad/line1/dark/1.png bad/line2/dark/2.png good/line1/1.png")
    (tmp_path / "bad/line1/all").symlink_to("../..")
    assert listed(tmp_path) == [
        "bad/line1/dark/1.png: bad, -, -",
        "bad/line2/dark/2.png: bad, -, -",
        "good/line1/1.png: good, -, -",
    ]


def test_classes_with_flat_masks_have_masks(tmp_path: Path) -> None:
    assert list_folder(touch(tmp_path, "sound/1.png bad/2.png dent/3.png masks/{2,3}.png")).masked == {"bad", "dent"}


def test_a_link_to_where_it_lies_is_passed_over(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.png b/1.png")
    (tmp_path / "a/latest").symlink_to(".")
    (tmp_path / "a/up").symlink_to("..")
    assert listed(tmp_path) == ["a/1.png: a, -, -", "b/1.png: b, -, -"]


def test_what_was_understood_is_said(tmp_path: Path) -> None:
    listing: Listing = list_folder(touch(tmp_path, "set/a/p.png set/a/p_1_mask.png set/a/p_2_mask.png set/b/1.png"))
    outer, beside, united = listing.notes
    assert outer == f"{tmp_path}/set is taken for the dataset: it alone is in {tmp_path}."
    assert beside == "2 files beside images are taken for their masks, such as p_1_mask.png."
    assert united == "1 images have several masks, which are united."


@pytest.mark.parametrize(
    ("name", "split", "holds"),
    [
        ("train", "train", ""),
        ("Training", "train", ""),
        ("val2017", "validation", ""),
        ("test_set", "test", ""),
        ("test_masks", "test", "masks"),
        ("SegmentationClass", None, "masks"),
        ("Ground Truth", None, "masks"),
        ("img_dir", None, "images"),
        ("scratch", None, ""),
        ("mask1", None, ""),
        ("masking_tape", None, ""),
        ("unlabeled", None, ""),
        ("trained", None, ""),
        ("train_test", None, ""),
        ("data", None, ""),
        ("contest", None, ""),
    ],
)
def test_roles_of_folders(name: str, split: str | None, holds: str) -> None:
    assert (role_of(name).split, role_of(name).holds) == (split, holds)


@pytest.mark.parametrize(
    ("stem", "names"),
    [
        ("1_mask", [("1", False)]),
        ("p_1_mask", [("p_1", False), ("p", True)]),
        ("p_mask_2", [("p", True), ("p_mask", True)]),
        ("gt-p", [("p", False)]),
        ("p_1", [("p", True)]),
        ("mask", []),
        ("bitmask", []),
        ("p", []),
    ],
)
def test_names_of_masked_images(stem: str, names: list[tuple[str, bool]]) -> None:
    assert list(masked_names(stem)) == names


@pytest.mark.parametrize("name", ["good", "OK", "Defect_Free", "defectfree", "no-defect", "Normal", "Background"])
def test_names_of_classes_without_defects(name: str) -> None:
    assert is_free_name(name)
    assert not is_free_name(f"{name} edge")


def test_a_layout_is_prepared_with_the_right_masks(tmp_path: Path) -> None:
    """Two marks in two files, in an outer folder with capital letters, are one mask of 10 + 6 pixels."""
    root, random = tmp_path / "files", np.random.default_rng(0)
    for i in range(12):
        for label in ("Good", "Scratch"):
            path = root / "Outer" / label / "Images" / f"{label}{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(random.integers(0, 256, (16, 20), np.uint8)).save(path)
        for part, mark in enumerate((np.s_[2:4, 3:8], np.s_[10:12, 12:15])):
            mask = np.zeros((16, 20), np.uint8)
            mask[mark] = 255
            path = root / "Outer" / "Scratch" / "Masks" / f"Scratch{i}_{part}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(mask).save(path)
    dataset = prepare("folder", manual_dir=str(root), data_dir=str(tmp_path / "data"))
    assert dataset.class_names == ("Good", "Scratch")
    examples = [example for split in dataset.sizes for example in dataset.source(split)]
    assert len(examples) == 24
    for example in examples:
        assert (example["mask"] > 127).sum() == (16 if example["label"] else 0)


@pytest.mark.parametrize("kind", ["white", "numbers", "loss"])
def test_masks_among_images_are_told_by_their_contents(kind: str, tmp_path: Path) -> None:
    """Whatever they are called: here they would be a class of their own."""
    root, random = tmp_path / "files", np.random.default_rng(0)
    mask = np.zeros((40, 60), np.uint8)
    mask[10:20, 20:50] = 1 if kind == "numbers" else 255
    ending = ".jpg" if kind == "loss" else ".png"
    for label in ("good", "scratch", "bw"):
        (root / label).mkdir(parents=True)
        for i in range(12):
            image = mask if label == "bw" else random.normal(110, 8, mask.shape).clip(0, 255).astype(np.uint8)
            Image.fromarray(np.roll(image, i)).save(root / label / f"{label}{i}{ending if label == 'bw' else '.png'}")
    with pytest.raises(UserError, match=rf"Of 36 images, 12 look like masks .*: bw/bw0{ending}, .* and 2 more\. Put"):
        prepare("folder", manual_dir=str(root), data_dir=str(tmp_path / "data"))


def test_images_in_dark_field_are_images(tmp_path: Path) -> None:
    """Black but for a few shades, or but for the defect, where some are not; what has a mask of its own is none."""
    root, random = tmp_path / "files", np.random.default_rng(0)
    mask = np.zeros((40, 60), np.uint8)
    mask[10:14, 20:50] = 255
    for label in ("good", "scratch"):
        for folder in (root / label, root / "masks" / label):
            folder.mkdir(parents=True)
        for i in range(12):
            noise = 10 if i % 3 == 0 else 1
            image = random.normal(0, noise, mask.shape).clip(0, 60).astype(np.uint8)
            if label == "scratch":
                image = np.maximum(image, mask)
                Image.fromarray(mask).save(root / "masks" / label / f"{i}.png")
            Image.fromarray(image).save(root / label / f"{i}.png")
    assert sum(prepare("folder", manual_dir=str(root), data_dir=str(tmp_path / "data")).sizes.values()) == 24
    # Without their masks, they may be masks.
    for path in (root / "masks/scratch").iterdir():
        path.unlink()
    with pytest.raises(UserError, match=r"Of 24 images, 8 look like masks .*: scratch/1\.png"):
        prepare("folder", manual_dir=str(root), data_dir=str(tmp_path / "data"))


def test_images_that_are_all_black_and_white_are_images(tmp_path: Path) -> None:
    root = tmp_path / "files"
    for i in range(24):
        image = np.zeros((20, 30), np.uint8)
        image[2:9, i : i + 5] = 255
        path = root / ("good" if i % 2 else "scratch") / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    assert sum(prepare("folder", manual_dir=str(root), data_dir=str(tmp_path / "data")).sizes.values()) == 24
