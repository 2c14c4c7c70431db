"""What docs/data.md says of splits of MTDD that leak is what its command counts."""

from pathlib import Path

import pytest
import split_leaks
from published_datasets import found_in

from dms_jax.data.datasets.base import LabelledImage

ROOT = Path(__file__).parents[1]
MTDD = ROOT.parent / "shared" / "datasets" / "mtdd"


def image(name: str, tile: str) -> LabelledImage:
    label = {"MT_Free": "free", "MT_Crack": "crack"}[name.partition("/")[0]]
    return LabelledImage(name=name, label=label, group=tile, image_path=Path(name), mask_path=None)


# Tile a has a crack that one of its exposures is said to be free of.
IMAGES = [
    *(image(f"MT_Free/Imgs/exp{n}_num_{n}.jpg", tile) for n, tile in enumerate("abbb")),
    *(image(f"MT_Crack/Imgs/exp{n}_num_1{n}.jpg", tile) for n, tile in enumerate("aac")),
]


def test_images_tiles_and_leaks_are_counted(tmp_path: Path) -> None:
    listed = tmp_path / "train.txt"
    listed.write_text("# as published\nexp0_num_0.jpg exp0_num_0.png\n\nMT_Free/Imgs/exp2_num_2.png\n")
    train = split_leaks.named(IMAGES, listed)
    assert [one.name for one in train] == [IMAGES[0].name, IMAGES[2].name]
    leak = split_leaks.leak_of(split_leaks.split_of(IMAGES, train=train))
    assert (leak.images, leak.tiles) == ((2, 0, 5), (2, 0, 3))
    assert (leak.normal, leak.defective) == ((2, 2), (2, 3))
    # A tile in validation has been seen as well.
    seen = split_leaks.leak_of({"train": [], "validation": IMAGES[6:], "test": IMAGES[:6]})
    assert (seen.normal, seen.defective) == ((0, 4), (0, 2))
    both = split_leaks.split_of(IMAGES, train=IMAGES[:1], test=IMAGES[6:])
    assert split_leaks.leak_of(both).images == (1, 0, 1)
    assert split_leaks.leak_of({"validation": IMAGES[:1], "test": IMAGES[4:]}).defective == (2, 3)
    assert split_leaks.table_of({"mine": leak}).splitlines()[-1] == "| mine | 2 (2) |  | 5 (3) | 2 of 2 | 2 of 3 |"


def test_a_name_of_no_image_is_refused(tmp_path: Path) -> None:
    listed = tmp_path / "test.txt"
    listed.write_text("exp0_num_0.jpg\nexp9_num_9.jpg\n")
    with pytest.raises(ValueError, match="exp9_num_9 and 0 more"):
        split_leaks.named(IMAGES, listed)


@pytest.mark.parametrize("more", [[], ["--train", "=x"], ["--test", "mine="]])
def test_a_wrong_command_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        split_leaks.main(["--mtdd", str(tmp_path), *more])
    assert ("is not NAME=FILE" if more else f"{tmp_path / 'MT_Free'}") in capsys.readouterr().err


def test_random_splits_are_averaged() -> None:
    # Two of the four normal images are drawn: as likely as not, a's only one is among them.
    leak = split_leaks.drawn_leak(IMAGES, 0.5, lambda label: label == "free", draws=400)
    assert leak.images == (2, 0, 5)
    # Then the other one has its tile in training; else both have.
    assert leak.normal == (pytest.approx(1.5, abs=0.1), 2)
    # Both cracks of a have it there where its normal image was not drawn.
    assert leak.defective == (pytest.approx(1, abs=0.2), 3)


def test_the_table_of_the_published_splits_is_what_is_counted() -> None:
    if not MTDD.is_dir():
        pytest.skip("needs ../shared/datasets/mtdd: the published files")
    splits = split_leaks.published_splits(found_in("mtdd"))
    rows = split_leaks.table_of({name: split_leaks.leak_of(parts) for name, parts in splits.items()})
    assert rows in (ROOT / "docs" / "data.md").read_text()
