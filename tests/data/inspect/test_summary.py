import json
import weakref
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from hand_made_dataset import HandMadeDataset, make_example
from PIL import Image
from published_datasets import found_in

from dms_jax.data.datasets.mtdd import Mtdd, split_images
from dms_jax.data.examples import defective_share
from dms_jax.data.inspect.summary import summarise, summary_text
from dms_jax.data.inspect.warnings import NO_DEFECT_TO_LEARN
from dms_jax.data.mask_files import read_pair
from dms_jax.data.pipeline import defective_flags
from dms_jax.data.prepare import prepare

REAL = Path(__file__).parents[4] / "shared" / "datasets" / "mtdd"
SPLITS = ("train", "validation", "test")
EMPTY = np.zeros((6, 5), np.uint8)
WHITE = np.full((6, 5), 255, np.uint8)


def healthy(prefix, count=2):
    """Images of both classes; enough for training if there are ten."""
    return [make_example(f"{prefix}/{label}/{i}.png", label) for label in (0, 1) for i in range(count)]


@pytest.fixture
def dataset():
    """Nothing is wrong with it."""
    return HandMadeDataset(train=healthy("train", 10), validation=healthy("validation"), test=healthy("test"))


def with_more(dataset, split, *examples):
    return replace(dataset, **{split: [*getattr(dataset, split), *examples]})


def warning(dataset):
    """The only warning."""
    (sentence,) = summarise(dataset).warnings
    return sentence


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory):
    return prepare(
        "synthetic",
        data_dir=str(tmp_path_factory.mktemp("data")),
        synthetic={"seed": 3, "size": 48, "images": 100},
    )


class TestSynthetic:
    def test_counts_are_those_of_the_labels(self, synthetic):
        summary = summarise(synthetic)
        total = Counter()
        for split in SPLITS:
            labels = [synthetic.class_names[label] for label in synthetic.source(split).labels()]
            assert summary.splits[split].classes == Counter(labels)
            assert summary.splits[split].images == synthetic.sizes[split] == len(labels)
            total += Counter(labels)
        assert summary.whole.classes == total == {"free": 40, "scratch": 20, "blob": 20, "stain": 20}
        assert list(summary.whole.classes) == list(synthetic.class_names)

    def test_shares_are_those_of_the_sources(self, synthetic):
        summary = summarise(synthetic)
        for split in SPLITS:
            source = synthetic.source(split)
            assert summary.splits[split].defective_pixels == pytest.approx(defective_share(source), rel=1e-12)
            assert summary.splits[split].defective_images == pytest.approx(defective_flags(source).mean())
        assert summary.whole.defective_images == pytest.approx(0.6)

    def test_nothing_is_wrong_with_it(self, synthetic):
        summary = summarise(synthetic)
        assert summary.warnings == ()
        assert summary.free_class == "free"
        assert (summary.whole.smallest, summary.whole.largest, summary.whole.sizes) == ((48, 48), (48, 48), 1)
        assert summary.whole.unlabelled == summary.whole.without_mask == 0


class TestKept:
    """The summary is kept beside the dataset."""

    def test_is_written_by_the_preparation_and_is_what_the_images_say(self, synthetic):
        kept = summarise(synthetic)
        path = synthetic.directory / "summary.json"
        text = path.read_text()
        path.unlink()
        assert summarise(synthetic) == kept
        assert path.read_text() == text
        assert [path.name for path in synthetic.directory.glob("*.tmp")] == []

    def test_no_image_is_looked_at_again(self, synthetic, monkeypatch):
        monkeypatch.setattr(type(synthetic), "source", lambda *_: pytest.fail("looked at again"))
        assert summarise(synthetic).whole.images == 100

    @pytest.mark.parametrize(
        "spoil",
        [
            lambda kept: "{",
            lambda kept: "[]",
            lambda kept: "{}",
            lambda kept: json.dumps({**kept, "version": 0}),
            lambda kept: json.dumps({**kept, "splits": {**kept["splits"], "test": kept["splits"]["train"]}}),
            lambda kept: json.dumps({**kept, "whole": {**kept["whole"], "brightest": 3}}),
        ],
    )
    def test_what_cannot_be_used_is_made_anew(self, synthetic, spoil):
        summary, path = summarise(synthetic), synthetic.directory / "summary.json"
        text = path.read_text()
        path.write_text(spoil(json.loads(text)))
        assert summarise(synthetic) == summary
        assert path.read_text() == text

    def test_where_it_cannot_be_written(self, synthetic):
        summary, path = summarise(synthetic), synthetic.directory / "summary.json"
        path.unlink()
        # Stands in for a folder that may only be read, which root could write all the same.
        (path / "in the way").mkdir(parents=True)
        try:
            assert summarise(synthetic) == summary
            assert not list(synthetic.directory.glob(".summary*"))
        finally:
            (path / "in the way").rmdir()
            path.rmdir()

    def test_of_images_of_several_sizes_and_copies(self, tmp_path):
        root = tmp_path / "parts"
        for label in ("good", "dent"):
            (root / label).mkdir(parents=True)
            for i in range(15):
                Image.new("RGB", (4 + i // 2 % 3, 5), (i // 2, 9, 9)).save(root / label / f"{i}.png")
        data = prepare("folder", manual_dir=str(root), data_dir=str(tmp_path / "data"))
        kept = summarise(data)
        assert any("identical to" in sentence for sentence in kept.warnings)
        assert (kept.whole.without_mask, kept.whole.sizes) == (15, 3)
        (data.directory / "summary.json").unlink()
        assert summarise(data) == kept


class TestMetrics:
    def test_images_weigh_the_same_whatever_their_sizes(self, dataset):
        half = np.array([[0, 255]], np.uint8)
        grey = np.full((20, 30), 127, np.uint8)
        test = [make_example("a", mask=half, size=(1, 2)), make_example("b", mask=grey, size=(20, 30))]
        summary = summarise(replace(dataset, test=test))
        assert summary.splits["test"].defective_pixels == 1 / 4
        assert summary.splits["test"].defective_images == 1 / 2

    def test_sizes_are_height_and_width_ordered_by_area(self, dataset):
        sizes = [(9, 3), (2, 11), (100, 1), (4, 30), (4, 30)]
        train = [make_example(f"{i}", size=size) for i, size in enumerate(sizes)]
        summary = summarise(replace(dataset, train=train)).splits["train"]
        assert (summary.smallest, summary.largest, summary.sizes) == ((2, 11), (4, 30), 4)

    def test_whole_counts_a_size_of_several_splits_once(self, dataset):
        summary = summarise(with_more(dataset, "test", make_example("wide", size=(2, 90))))
        assert [summary.splits[split].sizes for split in SPLITS] == [1, 1, 2]
        assert summary.whole.sizes == 2
        assert summary.whole.largest == (2, 90)

    def test_unknown_masks_and_labels_are_counted_and_left_out(self, dataset):
        summary = summarise(
            replace(
                dataset,
                test=[
                    make_example("known", mask=WHITE[:3], size=(3, 5), has_mask=True),
                    make_example("no mask", mask=EMPTY, has_mask=False),
                    make_example("neither", label=-1, mask=EMPTY, has_mask=np.bool_(False)),
                    make_example("no label", label=-1, mask=EMPTY),
                    make_example("sound", label=0),
                ],
            )
        )
        test = summary.splits["test"]
        assert (test.images, test.unlabelled, test.without_mask) == (5, 2, 2)
        assert test.classes == {"good": 1, "crack": 2}
        assert test.defective_images == test.defective_pixels == pytest.approx(1 / 3)
        # Neither the unknown mask of a crack nor the empty one of an unlabelled image is wrong.
        assert summary.warnings == ("1 image is defective everywhere, for the mask is all 255: known.",)

    def test_shares_without_any_mask_do_not_exist(self, dataset):
        test = [make_example("a", has_mask=False), make_example("b", 0, has_mask=False)]
        summary = summarise(replace(dataset, test=test)).splits["test"]
        assert summary.defective_images is None
        assert summary.defective_pixels is None

    def test_empty_split(self, dataset):
        summary = summarise(replace(dataset, test=[]))
        assert summary.splits["test"].smallest is None
        assert summary.splits["test"].defective_pixels is None
        assert summary.warnings == ("No image of test has a class.",)
        assert "n/a" in summary_text(summary)

    def test_as_dict_is_json(self, dataset):
        summary = summarise(replace(dataset, free_class=None, test=[]))
        read = json.loads(json.dumps(summary.as_dict(), allow_nan=False))
        assert read["whole"]["pictures"] == read["whole"]["images"]  # the key of earlier versions
        assert read["free_class"] is None
        assert read["directory"] == "somewhere"
        assert read["whole"]["classes"] == {"good": 12, "crack": 12}
        assert read["splits"]["train"]["smallest"] == [6, 5]
        assert read["warnings"] == list(summary.warnings)

    def test_images_are_not_kept(self, dataset):
        alive, most = [], 0

        @dataclass(frozen=True)
        class Lazy:
            names: list[str]

            def __getitem__(self, index):
                nonlocal most
                example = make_example(self.names[index], size=(64, 64))
                alive.append(weakref.ref(example["image"]))
                most = max(most, sum(reference() is not None for reference in alive))
                return example

        @dataclass(frozen=True)
        class LazyDataset(HandMadeDataset):
            def source(self, split):
                return Lazy([f"{split}{i}" for i in range(10)])

        assert summarise(LazyDataset()).whole.images == 30
        assert len(alive) == 30
        assert most <= 2


class TestWarnings:
    @pytest.mark.parametrize(("brightest", "warned"), [(0, False), (16, True), (64, True), (65, False)])
    def test_images_of_fewer_bits_than_their_files(self, dataset, brightest, warned):
        def dark(examples):
            return [{**each, "image": (each["image"] // 255 * brightest).astype(np.uint8)} for each in examples]

        splits = {split: dark(getattr(dataset, split)) for split in SPLITS}
        splits["test"][0]["image"][0, 0, 0] = brightest
        found = [sentence for sentence in summarise(replace(dataset, **splits)).warnings if "value_range" in sentence]
        assert bool(found) == warned
        if warned:
            assert found[0].startswith(f"No image has a pixel brighter than {brightest} of 255: ")

    @pytest.mark.parametrize(("count", "warned"), [(18, False), (19, True), (24, True)])
    def test_images_that_are_masks(self, dataset, count, warned):
        """Of 24 examples, some are black and white."""
        left = iter([True] * count + [False] * (24 - count))
        black = np.zeros((6, 5, 3), np.uint8)
        white = black.copy()
        white[:2] = 255
        noise = np.random.default_rng(0).integers(9, 200, black.shape, np.uint8)

        def of(examples):
            return [{**each, "image": white if next(left) else noise} for each in examples]

        splits = {"train": of(dataset.train[:16]), "validation": of(dataset.validation), "test": of(dataset.test)}
        said = [each for each in summarise(replace(dataset, **splits)).warnings if "look like masks" in each]
        assert bool(said) == warned
        if warned:
            assert said[0].startswith(f"Of 24 images, {count} look like masks (black, and a few shades): train/")

    def test_none_where_nothing_is_wrong(self, dataset):
        assert summarise(dataset).warnings == ()

    def test_empty_mask_of_a_defective_class(self, dataset):
        # 127 is not defective yet.
        broken = with_more(dataset, "test", make_example("b", mask=EMPTY), make_example("a", mask=EMPTY + 127))
        assert warning(broken) == (
            "2 images are of a defective class, but no pixel of the mask is defective (above 127, or one of "
            "mask_values): a, b."
        )

    def test_empty_mask_where_every_class_is_defective(self, dataset):
        broken = with_more(dataset, "test", make_example("e", 0, mask=EMPTY))
        assert summarise(broken).warnings == ()
        assert "15 images are of a defective class" in warning(replace(broken, free_class=None))

    def test_ten_names_then_a_count(self, dataset):
        empty = [make_example(f"e{i:02}", mask=EMPTY) for i in range(10)]
        assert warning(with_more(dataset, "test", *empty)).endswith(f"{', '.join(f'e{i:02}' for i in range(10))}.")
        more = with_more(dataset, "test", *empty, make_example("e10", mask=EMPTY), make_example("e11", mask=EMPTY))
        assert warning(more).startswith("12 images are")
        assert warning(more).endswith(", e09 and 2 more.")

    def test_marked_image_of_the_free_class(self, dataset):
        one = EMPTY.copy()
        one[3, 2] = 128
        broken = with_more(dataset, "train", make_example("m", 0, mask=one), make_example("grey", 0, mask=EMPTY + 127))
        assert warning(broken) == "1 image is of the defect-free class, but the mask is not empty: m."

    def test_white_mask(self, dataset):
        nearly = WHITE.copy()
        nearly[5, 4] = 254
        broken = with_more(dataset, "validation", make_example("w", mask=WHITE), make_example("nearly", mask=nearly))
        everywhere, mostly = summarise(broken).warnings
        assert everywhere == "1 image is defective everywhere, for the mask is all 255: w."
        assert mostly.startswith("1 image is defective in more than half of the pixels: nearly. If black and white are")

    @pytest.mark.parametrize(("rows", "warned"), [(2, False), (3, True)])
    def test_a_mask_that_is_mostly_white(self, dataset, rows, warned):
        mask = np.zeros((5, 4), np.uint8)
        mask[:rows] = 255
        found = summarise(with_more(dataset, "test", make_example("w", mask=mask))).warnings
        assert ["more than half of the pixels: w." in sentence for sentence in found] == [True] * warned  # nothing else

    def test_defects_in_test_alone(self, dataset):
        sound = [make_example("t0", 0), make_example("t1", has_mask=False)]
        assert NO_DEFECT_TO_LEARN in summarise(replace(dataset, train=sound)).warnings
        assert NO_DEFECT_TO_LEARN not in summarise(replace(dataset, train=[*sound, make_example("t2")])).warnings
        # Where no mask is known, there is nothing to put elsewhere.
        unmasked = replace(dataset, train=sound, test=[make_example("e", has_mask=False)])
        assert NO_DEFECT_TO_LEARN not in summarise(unmasked).warnings

    def test_validation_without_a_defect(self, dataset):
        expected = "No mask of validation shows a defect, so that no operating threshold can be chosen on it."
        sound = [make_example("v0", 0), make_example("v1", has_mask=False)]
        assert warning(replace(dataset, validation=sound)) == expected
        assert warning(replace(dataset, validation=[*sound, make_example("v2", mask=WHITE)])) != expected

    def test_identical_images_across_splits(self, dataset):
        leaking = with_more(dataset, "train", make_example("a", image=7), make_example("a again", image=8))
        leaking = with_more(leaking, "validation", make_example("b", 0, image=7))
        leaking = with_more(
            leaking, "test", make_example("c", image=7), make_example("d", image=8), make_example("e", image=9)
        )
        assert warning(leaking) == (
            "3 images are identical to one in another split, which inflates the metrics: "
            "b (validation) = a (train), c (test) = a (train), d (test) = a again (train)."
        )

    def test_identical_images_within_a_split(self, dataset):
        copied = with_more(dataset, "test", *(make_example(f"{i}", image=7) for i in range(3)))
        assert warning(copied) == "In test, 2 images are identical to another one."

    def test_copy_in_the_same_split_does_not_hide_the_one_across(self, dataset):
        leaking = with_more(dataset, "train", make_example("a", image=7))
        leaking = with_more(leaking, "test", make_example("b", image=7), make_example("c", image=7))
        across, within = summarise(leaking).warnings
        assert "b (test) = a (train), c (test) = a (train)" in across
        assert within == "In test, 1 image is identical to another one."

    def test_same_bytes_of_another_shape_are_another_image(self, dataset):
        other = with_more(dataset, "train", make_example("a", image=7, size=(2, 6)))
        assert summarise(with_more(other, "test", make_example("b", image=7, size=(3, 4)))).warnings == ()

    def test_few_training_images(self, dataset):
        assert warning(replace(dataset, train=dataset.train[1:])) == (
            "Classes with fewer than 10 training images: good (9)."
        )

    def test_class_absent_from_a_split(self, dataset):
        absent = replace(dataset, train=dataset.train[10:], test=dataset.test[:2])
        assert summarise(absent).warnings == (
            "Classes without an image in train: good.",
            "Classes without an image in test: crack.",
        )

    def test_split_without_labels(self, dataset):
        assert warning(replace(dataset, test=[make_example("u", -1)])) == "No image of test has a class."

    def test_single_class(self):
        cracks = [[example for example in healthy(split, 10) if example["label"]] for split in SPLITS]
        one = HandMadeDataset(*([{**example, "label": np.int32(0)} for example in split] for split in cracks))
        assert warning(replace(one, class_names=("crack",), free_class=None)) == (
            "crack is the only class, so that there is nothing to classify."
        )


class TestText:
    def test_tables_then_warnings(self, dataset):
        broken = with_more(dataset, "test", make_example("flat", mask=EMPTY, has_mask=False, size=(1, 90)))
        broken = replace(broken, validation=broken.validation[:2])
        assert summary_text(summarise(broken)).splitlines() == [
            "hand (made) in somewhere",
            "defect-free class: good",
            "",
            "class  train  validation  test  all",
            "-----  -----  ----------  ----  ---",
            "good      10           2     2   14",
            "crack     10           0     3   13",
            "",
            "metric                     train  validation    test     all",
            "------------------------  ------  ----------  ------  ------",
            "images                        20           2       5      27",
            "unlabelled                     0           0       0       0",
            "without mask                   0           0       1       1",
            "defective by mask, %      50.000       0.000  50.000  46.154",
            "defective pixels, %        1.667       0.000   1.667   1.538",
            "smallest, height x width   6 x 5       6 x 5   6 x 5   6 x 5",
            "largest, height x width    6 x 5       6 x 5  1 x 90  1 x 90",
            "different sizes                1           1       2       2",
            "",
            "Warning: Classes without an image in validation: crack.",
            "Warning: No mask of validation shows a defect, so that no operating threshold can be chosen on it.",
        ]

    def test_without_a_free_class_or_without_warnings(self, dataset):
        cracks = [[example for example in getattr(dataset, split) if example["label"]] for split in SPLITS]
        text = summary_text(summarise(HandMadeDataset(*cracks, free_class=None)))
        assert "\ndefect-free class: none\n" in text
        assert summary_text(summarise(dataset)).splitlines()[-1].split() == ["different", "sizes", "1", "1", "1", "1"]


@dataclass(frozen=True)
class _Files(HandMadeDataset):
    """A dataset read from its files, which is quicker than to prepare it first."""

    class_names: tuple[str, ...] = Mtdd.CLASS_NAMES

    def source(self, split):
        for found in getattr(self, split):
            image, mask = map(np.asarray, read_pair(found.image_path, found.mask_path))
            yield {
                "image": image,
                "mask": mask[..., None],
                "label": self.class_names.index(found.label),
                "name": found.name,
            }


def test_real_images():
    if not REAL.is_dir():
        pytest.skip("needs ../shared/datasets/mtdd: the images of MTDD")
    summary = summarise(_Files(**split_images(found_in("mtdd"), "paper")))
    assert summary.whole.classes == {"free": 952, "blowhole": 115, "break": 85, "crack": 57, "fray": 32, "uneven": 103}
    assert [summary.splits[split].images for split in SPLITS] == [1001, 117, 226]
    assert summary.splits["test"].defective_images == 74 / 226
    assert summary.whole.sizes == 1225
    (sentence,) = summary.warnings
    assert sentence.startswith("4 images are of a defective class, but no pixel of the mask is defective (")
    assert sentence.count("MT_Uneven/") == 4
