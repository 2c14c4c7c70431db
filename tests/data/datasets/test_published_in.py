"""Datasets that are known by name, given as a folder of the user's own images."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dms_jax.cli import main
from dms_jax.data.datasets import DATASETS, published_in
from dms_jax.data.datasets.published import PublishedDatasetBuilder
from dms_jax.data.prepare import prepare
from dms_jax.errors import UserError

REAL = Path(__file__).parents[4] / "shared" / "datasets"

# A few paths of each, as published.
PUBLISHED = {
    "mtdd": ("MT_Free/Imgs/exp0_num_743.jpg", "MT_Crack/Imgs/exp1_num_108889.jpg"),
    "neu_seg": ("images/training/000201.jpg", "annotations/training/000201.png"),
    "neu_det": ("IMAGES/crazing_1.jpg", "ANNOTATIONS/crazing_1.xml"),
    "neu_det in folders": ("train/images/crazing/crazing_1.jpg", "train/annotations/crazing_1.xml"),
    "crackforest": ("image/001.jpg", "groundTruth/001.mat"),
    "rsdds": ("Type-I RSDDs dataset/Rail surface images/rail_1.jpg", "Type-I RSDDs dataset/GroundTruth/rail_1.jpg"),
    "kolektor_sdd2": ("train/10000.png", "train/10000_GT.png", "test/20000.png", "test/20000_GT.png"),
}
OWN = {
    "class folders": ("train/good/1.jpg", "train/dent/2.jpg", "masks/train/dent/2.png", "test/dent/3.jpg"),
    "masks beside images": ("train/1.png", "train/1_GT.png", "test/2.png", "test/2_GT.png"),
    "images and annotations": ("images/training/a.jpg", "annotations/training/a.png"),
    "Pascal VOC": ("images/1.jpg", "annotations/1.xml", "train/images/1.jpg"),
    "PNG masks": ("image/001.jpg", "groundTruth/001.png"),
}


def touch(root: Path, paths: tuple[str, ...]) -> Path:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()
    return root


def make_crackforest(root: Path, count: int) -> Path:
    touch(root, tuple(f"{path}" for i in range(count) for path in (f"image/{i:03}.jpg", f"groundTruth/{i:03}.mat")))
    for path in (root / "image").iterdir():
        Image.fromarray(np.full((6, 9, 3), 90, np.uint8)).save(path)
    return root


@pytest.mark.parametrize("around", [False, True])
@pytest.mark.parametrize("name", PUBLISHED)
def test_each_is_known_by_its_files(name: str, around: bool, tmp_path: Path) -> None:
    touch(tmp_path / "one", PUBLISHED[name])
    assert published_in(tmp_path if around else tmp_path / "one") == name.split()[0]


def test_all_that_are_published_can_be_told() -> None:
    published = {name for name, builder in DATASETS.items() if issubclass(builder, PublishedDatasetBuilder)}
    assert {name.split()[0] for name in PUBLISHED} == published


@pytest.mark.parametrize("name", OWN)
def test_folders_of_ones_own_are_none_of_them(name: str, tmp_path: Path) -> None:
    assert published_in(touch(tmp_path / "own", OWN[name])) is None
    assert published_in(tmp_path / "own" / OWN[name][0]) is None
    assert published_in(tmp_path / "absent") is None


@pytest.mark.parametrize(
    ("count", "reason"), [(1, r"it cannot be used \("), (7, r"7 files cannot be used \(the first: ")]
)
def test_one_sentence_says_which_it_is(
    count: int, reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = make_crackforest(tmp_path / "CrackForest", count)
    command = ["prepare", "--dataset", "folder", "--manual-dir", str(root), "--data-dir", str(tmp_path / "data")]
    assert main(command) == 1
    said = capsys.readouterr().err
    use = r"use dataset=crackforest \(of dms-jax prepare: --dataset crackforest\), for as dataset folder "
    with pytest.raises(
        UserError, match=f"^{root} looks like the dataset crackforest as published: {use}{reason}"
    ) as error:
        prepare("folder", manual_dir=str(root), data_dir=str(tmp_path / "data"))
    assert said == f"dms-jax: {error.value}\n"
    with pytest.raises(
        UserError, match=r"use dataset=crackforest .* as dataset folder it cannot be used \(.* no images"
    ):
        prepare("folder", manual_dir=str(root), data_dir=str(tmp_path / "data"), skip_bad=True)


def test_one_that_can_be_read_as_a_folder_is_told_too(tmp_path: Path) -> None:
    """MTDD, whose images without a defect would be of a class MT_Free that nothing tells is free of defects."""
    root = tmp_path / "mtdd"
    for folder, frame in itertools.product(("MT_Free", "MT_Crack"), range(12)):
        image = root / folder / "Imgs" / f"exp1_num_{frame}.jpg"
        image.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(len(folder) + frame).integers(0, 256, (9, 12), np.uint8)).save(image)
        mask = Image.new("L", (12, 9))
        mask.paste(255 if folder == "MT_Crack" else 0, (2, 2, 6, 6))
        mask.save(image.with_suffix(".png"))
    told = f"{root} looks like the dataset mtdd as published: use dataset=mtdd (of dms-jax prepare: --dataset mtdd), "
    # When it is prepared, and when it is opened.
    for _ in range(2):
        note = prepare("folder", manual_dir=str(root), data_dir=str(tmp_path / "data")).notes[0]
        assert note == f"{told}which has its classes, its split and what to know of it."
    (root / "MT_Crack" / "Imgs").rename(root / "MT_Crack" / "cracks")
    (root / "MT_Free" / "Imgs").rename(root / "MT_Free" / "sound")
    assert told not in prepare("folder", manual_dir=str(root), data_dir=str(tmp_path / "data")).notes[0]


def test_another_folder_that_cannot_be_used_is_told_as_ever(tmp_path: Path) -> None:
    root = make_crackforest(tmp_path / "own", 3)
    for path in (root / "groundTruth").iterdir():
        path.unlink()
    with pytest.raises(UserError, match=r"^3 files cannot be used: correct them"):
        prepare("folder", manual_dir=str(root), data_dir=str(tmp_path / "data"))


def test_pascal_voc_of_neu_det(tmp_path: Path) -> None:
    """Refused before it is prepared: the annotations cannot be read."""
    root = touch(tmp_path / "NEU-DET", PUBLISHED["neu_det"])
    with pytest.raises(UserError, match=r"looks like the dataset neu_det as published: .*it cannot be used \("):
        prepare("folder", manual_dir=str(root), data_dir=str(tmp_path / "data"))


@pytest.mark.skipif(not (REAL / "crackforest").is_dir(), reason="needs ../shared/datasets/crackforest")
def test_the_real_crackforest(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"looks like the dataset crackforest as published: .* 155 files cannot"):
        prepare("folder", manual_dir=str(REAL / "crackforest"), data_dir=str(tmp_path / "data"))
