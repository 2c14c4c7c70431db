import hashlib
import os
import pickle
import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dms_jax.commands.train import launch
from dms_jax.data.datasets.drawing import draw
from dms_jax.data.pipeline import defective_flags
from dms_jax.data.prepare import prepare
from dms_jax.errors import UsageError, UserError
from dms_jax.runs.config.build import read_training_batches
from dms_jax.runs.loop import _Run
from dms_jax.runs.monitoring.run_summary import describe_run

SIZE = 12
EXIF_ORIENTATION = 0x0112


def noise(seed, size=SIZE, mode="RGB"):
    shape = (size, size + 2, 3) if mode == "RGB" else (size, size + 2)
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, np.uint8))


def add(root, name, image=None, **options):
    """An image of noise that no other image is like, or the one given."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    image = noise(list(name.encode())) if image is None else image
    image.save(path, **options)
    return path


def spot(size=SIZE):
    mask = Image.new("L", (size + 2, size))
    mask.paste(255, (2, 3, 6, 5))
    return mask


def make(root, counts, masked=("dent", "hole")):
    """`counts` images in each folder, with masks for those of some classes."""
    for folder, count in counts.items():
        for i in range(count):
            add(root, f"{folder}/{i}.png")
            if folder.rpartition("/")[2] in masked:
                add(root, f"masks/{folder}/{i}.png", spot())
    return root


def split_folders(root):
    return make(
        root, {f"{split}/{label}": 3 for split in ("train", "validation", "test") for label in ("dent", "good")}
    )


def write_csv(root, *rows, header="image,mask,label,split"):
    path = root / "list.csv"
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def prepared(tmp_path):
    """Prepares a folder or CSV, in a directory beside it."""

    def run(source, **options):
        return prepare("folder", manual_dir=str(source), data_dir=str(tmp_path / "prepared"), **options)

    return run


def examples(data):
    """Every example by name, with its split."""
    found = {}
    for split in data.sizes:
        for example in data.source(split):
            assert example["name"] not in found
            found[example["name"]] = {**example, "split": split}
    assert len(found) == sum(data.sizes.values())
    return found


def labels(data):
    """The name of every example's class; None where it is unknown."""
    return {
        name: data.class_names[example["label"]] if example["label"] >= 0 else None
        for name, example in examples(data).items()
    }


class TestExamples:
    def test_images_masks_and_labels(self, prepared, tmp_path):
        root = split_folders(tmp_path / "parts")
        data = prepared(root)
        assert data.class_names == ("good", "dent")
        assert data.free_class == 0
        assert data.sizes == {"train": 6, "validation": 6, "test": 6}
        assert data.skipped == data.notes == ()
        for name, example in examples(data).items():
            split, label, _ = name.split("/")
            assert (example["split"], data.class_names[example["label"]]) == (split, label)
            assert example["group"] == name
            assert example["has_mask"]
            with Image.open(root / name) as image:
                np.testing.assert_array_equal(example["image"], np.asarray(image))
            mask = np.asarray(spot()) if label == "dent" else np.zeros((SIZE, SIZE + 2))
            np.testing.assert_array_equal(example["mask"][..., 0], mask)

    def test_all_kinds_of_images(self, prepared, tmp_path):
        root = split_folders(tmp_path / "parts")
        colour = noise(0)
        deep = np.asarray(noise(1, mode="L"), np.uint16) * 257
        exif = Image.Exif()
        exif[EXIF_ORIENTATION] = 6  # shown turned by 90 degrees clockwise
        add(root, "train/dent/cmyk.tif", colour.convert("CMYK"))
        add(root, "train/dent/deep.png", Image.fromarray(deep))
        add(root, "train/dent/Größe 測.bmp", colour)
        # The one is turned, and the mask, annotated as shown, is not; then both are.
        add(root, "train/dent/turned.png", colour, exif=exif)
        add(root, "masks/train/dent/turned.png", spot().transpose(Image.Transpose.ROTATE_270))
        add(root, "train/dent/both.png", noise(2), exif=exif)
        add(root, "masks/train/dent/both.png", spot(), exif=exif)
        found = examples(prepared(root))
        np.testing.assert_array_equal(found["train/dent/cmyk.tif"]["image"], np.asarray(colour))
        np.testing.assert_array_equal(found["train/dent/deep.png"]["image"][..., 1], deep // 257)
        np.testing.assert_array_equal(found["train/dent/Größe 測.bmp"]["image"], np.asarray(colour))
        np.testing.assert_array_equal(found["train/dent/turned.png"]["image"], np.rot90(np.asarray(colour), -1))
        np.testing.assert_array_equal(found["train/dent/both.png"]["image"], np.rot90(np.asarray(noise(2)), -1))
        for name in ("turned", "both"):
            mask = found[f"train/dent/{name}.png"]["mask"][..., 0]
            np.testing.assert_array_equal(mask, np.rot90(np.asarray(spot()), -1))

    def test_unknown_masks(self, prepared, tmp_path):
        root = split_folders(tmp_path / "parts")
        (root / "masks/train/dent/1.png").unlink()
        data = prepared(root)
        unknown = {name for name, example in examples(data).items() if not example["has_mask"]}
        assert unknown == {"train/dent/1.png"}
        assert not examples(data)["train/dent/1.png"]["mask"].any()
        assert data.notes == ("1 of the 9 images of class dent have no mask: they teach the class alone.",)
        source = data.source("train")
        assert defective_flags(source).tolist() == (source.labels() == 1).tolist()

    def test_csv(self, prepared, tmp_path):
        root = tmp_path / "parts"
        names = [f"{i}.png" for i in range(7)]
        for name in names:
            add(root, name)
        add(root, "mask.png", spot())
        csv = write_csv(
            root,
            "0.png,mask.png,dent,train",
            "1.png,,OK,train",
            "2.png,mask.png,,train",
            "3.png,,dent,train",
            "4.png,,OK,test",
            "5.png,mask.png,hole,validation",
            "6.png,,dent,",
        )
        data = prepared(csv)
        assert data.class_names == ("OK", "dent", "hole")
        assert data.free_class == 0
        assert data.config.startswith("list.csv-")
        assert labels(data) == dict(zip(names, ["dent", "OK", None, "dent", "OK", "hole", "dent"], strict=True))
        found = examples(data)
        assert [found[name]["has_mask"] for name in names] == [True, True, True, False, True, True, False]
        assert [bool(found[name]["mask"].any()) for name in names] == [True, False, True, False, False, True, False]
        assert [found[name]["split"] for name in names] == [*["train"] * 4, "test", "validation", "train"]
        assert data.notes == (
            "1 mask is that of several images, such as mask.png of 3.",
            "2 of the 3 images of class dent have no mask: they teach the class alone.",
            "1 of the 7 images have no label: they teach the mask alone.",
        )
        source = data.source("train")
        by_name = {source[i]["name"]: flag for i, flag in enumerate(defective_flags(source))}
        assert by_name == {"0.png": True, "1.png": False, "2.png": True, "3.png": True, "6.png": True}

    def test_csv_without_labels(self, prepared, tmp_path):
        root = tmp_path / "parts"
        add(root, "mask.png", spot())
        for i in range(10):
            add(root, f"{i}.png")
        data = prepared(write_csv(root, *(f"{i}.png,mask.png" for i in range(10)), header="image,mask"))
        assert data.class_names == ("defect",)
        assert data.free_class is None
        assert set(labels(data).values()) == {None}
        # Images without a label are a class of their own to the split.
        assert data.sizes == {"train": 7, "validation": 1, "test": 2}


class TestFreeClass:
    def free_class(self, prepared, root, classes, masked):
        make(root, {f"{split}/{label}": 2 for split in ("train", "validation", "test") for label in classes}, masked)
        data = prepared(root)
        return data, data.class_names[data.free_class] if data.free_class is not None else None

    @pytest.mark.parametrize("name", ["free", "Good", "NORMAL", "ok"])
    def test_by_name(self, prepared, tmp_path, name):
        data, free = self.free_class(prepared, tmp_path / "parts", ["a", name, "z"], masked=["z"])
        assert free == name
        assert data.class_names == (name, "a", "z")
        unknown = {example["label"] for example in examples(data).values() if not example["has_mask"]}
        assert unknown == {1}

    def test_the_only_class_without_masks(self, prepared, tmp_path):
        data, free = self.free_class(prepared, tmp_path / "parts", ["a", "b", "c"], masked=["a", "c"])
        assert free == "b"
        assert data.class_names == ("b", "a", "c")
        assert all(example["has_mask"] for example in examples(data).values())
        assert data.notes == ("Class b is taken to be free of defects, because it alone has no masks.",)

    @pytest.mark.parametrize(("classes", "masked"), [("abc", "a"), ("ab", ""), ("a", ""), ("ab", "ab")])
    def test_none(self, prepared, tmp_path, classes, masked):
        data, free = self.free_class(prepared, tmp_path / "parts", classes, masked)
        assert free is None
        assert data.class_names == tuple(classes)
        known = {data.class_names[example["label"]] for example in examples(data).values() if example["has_mask"]}
        assert known == set(masked)
        assert any("name it free or good or normal or ok" in note for note in data.notes) == (classes != masked)

    def test_masks_that_are_skipped_are_masks(self, prepared, tmp_path):
        root = split_folders(tmp_path / "parts")
        shutil.move(root / "train/good", root / "train/sound")
        shutil.rmtree(root / "test/good")
        shutil.rmtree(root / "validation/good")
        for i in range(3):
            add(root, f"masks/train/sound/annotated_{i}.png", spot())
        with pytest.raises(UserError, match=r"^Class sound would lose all of its masks to skip_bad"):
            prepared(root, skip_bad=True)
        add(root, "masks/train/sound/0.png", spot())
        data = prepared(root, skip_bad=True)
        assert data.free_class is None
        assert len(data.skipped) == 3

    def test_two_by_name(self, prepared, tmp_path):
        root = make(tmp_path / "parts", {"train/good": 2, "test/Ok": 2})
        with pytest.raises(UserError, match=r"^The classes Ok and good are both free of defects by their names: merge"):
            prepared(root)


class TestSplits:
    def test_cut_by_hash(self, prepared, tmp_path):
        root = make(tmp_path / "parts", {"dent": 20, "good": 40})
        data = prepared(root)
        counts = Counter((example["split"], name.split("/")[0]) for name, example in examples(data).items())
        # 4 of 20 and 8 of 40; of what is left, round(1.6) and round(3.2).
        assert counts == {
            ("test", "dent"): 4, ("test", "good"): 8,
            ("validation", "dent"): 2, ("validation", "good"): 3,
            ("train", "dent"): 14, ("train", "good"): 29,
        }  # fmt: skip
        by_hash = sorted(
            (f"dent/{i}.png" for i in range(20)), key=lambda name: hashlib.sha256(f"test/{name}".encode()).digest()
        )
        found = examples(data)
        assert {name for name in found if found[name]["split"] == "test" and "dent" in name} == set(by_hash[:4])

    def test_given_test_and_cut_validation(self, prepared, tmp_path):
        root = make(tmp_path / "parts", {"train/dent": 10, "train/good": 10, "test/dent": 1, "test/good": 5})
        data = prepared(root)
        assert data.sizes == {"train": 18, "validation": 2, "test": 6}
        assert all((name.startswith("test/")) == (e["split"] == "test") for name, e in examples(data).items())
        validation = Counter(data.source("validation").labels().tolist())
        assert validation == {0: 1, 1: 1}

    def test_given_validation_and_cut_test(self, prepared, tmp_path):
        root = make(tmp_path / "parts", {"train/dent": 10, "train/good": 10, "val/dent": 3})
        data = prepared(root)
        assert data.sizes == {"train": 16, "validation": 3, "test": 4}

    def test_copies_stay_together(self, prepared, tmp_path):
        root = tmp_path / "parts"
        for i in range(12):
            for copy in "abc":
                add(root, f"good/{i}{copy}.bmp", noise(i))
        # The images of BMP files have one size all, and nearly nothing in common.
        data = prepared(root)
        found = examples(data)
        assert Counter(Counter(example["group"] for example in found.values()).values()) == {3: 12}
        for i in range(12):
            copies = [found[f"good/{i}{copy}.bmp"] for copy in "abc"]
            assert {copy["group"] for copy in copies} == {f"good/{i}a.bmp"}
            assert len({copy["split"] for copy in copies}) == 1
        assert data.sizes == {"train": 27, "validation": 3, "test": 6}

    def test_copies_stay_where_the_user_has_them(self, prepared, tmp_path):
        root = split_folders(tmp_path / "parts")
        for split in ("train", "test"):
            add(root, f"{split}/good/same.png", noise(0))
        found = examples(prepared(root))
        assert found["train/good/same.png"]["group"] == found["test/good/same.png"]["group"] == "test/good/same.png"
        assert found["train/good/same.png"]["split"] == "train"

    def test_a_split_that_is_given_without_images_that_can_be_used(self, prepared, tmp_path):
        root = make(tmp_path / "parts", {"train/dent": 10})
        (root / "test/dent").mkdir(parents=True)
        (root / "test/dent/1.png").touch()
        (root / "test/dent/1.jpg").touch()
        with pytest.raises(UserError, match="too few groups of images to give 'test' one"):
            prepared(root, skip_bad=True)
        (root / "test/dent/1.jpg").unlink()
        with pytest.raises(UserError, match=r"No image of a split can be used, .*1\.png cannot be read"):
            prepared(root, skip_bad=True)


def spoil(root, kind):
    """Makes one file unusable; returns what a sentence about it must hold, and how many examples are lost."""
    if kind == "same name":
        add(root, "train/dent/1.bmp")
        return "train/dent/1.bmp and ", 1
    if kind == "orphan mask":
        add(root, "masks/train/dent/9.png", spot())
        return "masks/train/dent/9.png is a mask of no image", 0
    if kind == "size of the mask":
        add(root, "masks/train/dent/1.png", spot(SIZE + 1))
        return "train/dent/1.png is 14 x 12 pixels but its mask", 1
    if kind == "class numbers":
        add(root, "masks/train/dent/1.png", Image.new("L", (SIZE + 2, SIZE), 3))
        return "masks/train/dent/1.png has no pixel above 3", 1
    if kind == "truncated":
        path = add(root, "train/dent/x.jpg", noise(0, 64))
        path.write_bytes(path.read_bytes()[:-300])
        return "train/dent/x.jpg cannot be read as an image", 0
    if kind == "text":
        (root / "train/dent/1.png").write_text("no image")
        return "train/dent/1.png cannot be read as an image", 1
    if kind == "broken link":
        (root / "train/dent/x.png").symlink_to(root / "nowhere.png")
        return "train/dent/x.png does not exist", 0
    name = os.fsencode(root) + b"/train/dent/\xff.png"
    shutil.copy(root / "train/dent/1.png", name)
    return "train/dent/\\xff.png has a name that is not valid UTF-8", 0


KINDS = ["same name", "orphan mask", "size of the mask", "class numbers", "truncated", "text", "broken link"]
KINDS += ["not UTF-8"] if sys.platform == "linux" else []


class TestBadFiles:
    @pytest.mark.parametrize("kind", KINDS)
    def test_refused_or_skipped(self, prepared, tmp_path, kind):
        root = split_folders(tmp_path / "parts")
        message, lost = spoil(root, kind)
        with pytest.raises(UserError) as caught:
            prepared(root)
        sentence = str(caught.value)
        assert f"{root}/{message}" in sentence
        assert sentence.endswith(
            ", or leave such files out with --skip-bad (of dms-jax prepare) or config.data.skip_bad."
        )
        assert len(sentence.splitlines()) == 1
        # A refused preparation leaves nothing behind.
        assert not [path for path in (tmp_path / "prepared").rglob("*") if "folder" in path.parts]

        data = prepared(root, skip_bad=True)
        assert sum(data.sizes.values()) == 18 - lost
        (skipped,) = data.skipped
        assert f"{root}/{message}" in skipped
        assert prepared(root, skip_bad=True).skipped == (skipped,)

    def test_what_was_skipped_is_not_taken_for_whole(self, prepared, tmp_path):
        root = split_folders(tmp_path / "parts")
        path = root / "train/dent/1.png"
        whole = path.read_bytes()
        path.write_bytes(whole[:50])
        data = prepared(root, skip_bad=True)
        with pytest.raises(
            UserError, match=r"prepared with skip_bad, which left out 1 file\(s\) \(the first: .*dent/1\.png"
        ) as caught:
            prepared(root)
        assert str(data.directory) in str(caught.value)
        path.write_bytes(whole)
        assert prepared(root).skipped == ()

    def test_all_are_named_at_once(self, prepared, tmp_path):
        """In the order of the splits and of names: the first 20, and the number of the others."""
        root = split_folders(tmp_path / "parts")
        bad = [add(root, f"train/dent/x{i:02}.png") for i in range(21)] + [add(root, "test/good/x.png")]
        for path in bad:
            path.write_text("no image")
        with pytest.raises(UserError) as caught:
            prepared(root)
        first, *named, more = str(caught.value).splitlines()
        assert first.startswith("22 files cannot be used: correct them, or leave such files out with --skip-bad ")
        assert [line.split(" cannot be read")[0] for line in named] == [str(path) for path in bad[:20]]
        assert more == "2 more cannot be used either."
        bad[-1].write_bytes((root / "test/good/1.png").read_bytes())
        for path in bad[:20]:
            path.unlink()
        with pytest.raises(UserError, match=r"^[^\n]*x20\.png cannot be read [^\n]*$"):
            prepared(root)

    def test_what_is_missing_is_named_with_what_cannot_be_read(self, prepared, tmp_path):
        root = tmp_path / "parts"
        for i in range(12):
            add(root, f"images/{i:02}.png")
            add(root, f"masks/{i:02}.png", spot())
        (root / "masks/03.png").unlink()
        (root / "images/05.png").write_text("no image")
        add(root, "masks/07.png", spot(SIZE + 1))
        with pytest.raises(UserError) as caught:
            prepared(root)
        first, missing, *others = str(caught.value).splitlines()
        assert first.startswith("3 files cannot be used: ")
        assert missing.startswith(f"{root}/images/03.png has no mask and lies in no class folder")
        # In the order of their splits, which are chosen by a hash.
        unread, size = sorted(others)
        assert unread.startswith(f"{root}/images/05.png cannot be read as an image")
        assert size.startswith(f"{root}/images/07.png is 14 x 12 pixels but its mask")
        assert not [path for path in (tmp_path / "prepared").rglob("*") if "folder" in path.parts]
        assert len(prepared(root, skip_bad=True).skipped) == 3

    def test_files_in_the_wrong_place_are_named_without_reading_the_others(self, prepared, tmp_path):
        """Where so many are named that no other would be."""
        root = split_folders(tmp_path / "parts")
        (root / "train/dent/1.png").write_text("no image")
        for i in range(20):
            add(root, f"masks/train/dent/x{i:02}.png", spot())
        with pytest.raises(UserError) as caught:
            prepared(root)
        first, *named = str(caught.value).splitlines()
        assert first.startswith("20 files cannot be used: ")
        assert all("is a mask of no image" in line for line in named)

    def test_empty_files_are_no_copies_that_leave_nothing_to_split(self, prepared, tmp_path):
        """As a disk leaves them that was full."""
        root = make(
            tmp_path / "parts", {f"{split}/{label}": 3 for split in ("train", "test") for label in ("dent", "ok")}
        )
        for path in root.glob("train/*/*.png"):
            path.write_bytes(b"")
        with pytest.raises(
            UserError, match=r"^6 files cannot be used: (.|\n)*train/ok/2\.png cannot be read as an image"
        ):
            prepared(root)

    def test_what_may_come_of_bad_files_is_not_named_in_their_place(self, prepared, tmp_path):
        root = tmp_path / "parts"
        add(root, "images/1.png")
        add(root, "masks/2.png", spot())
        with pytest.raises(UserError, match=r"^2 files cannot be used"):
            prepared(root)

    @pytest.mark.parametrize("kind", ["orphan", "unreadable"])
    def test_skipping_never_drops_all_masks_of_a_class(self, prepared, tmp_path, kind):
        root = make(tmp_path / "parts", {"dent": 12, "good": 12}, masked=("dent",))
        masks = sorted((root / "masks/dent").iterdir())
        assert len(masks) == 12
        (root / "dent/extra.png").write_bytes((root / "dent/1.png").read_bytes())
        for path in masks:
            path.rename(path.with_name(f"of{path.stem}.png")) if kind == "orphan" else path.write_text("no image")
        with pytest.raises(
            UserError, match=r"^Class dent would lose all of its masks to skip_bad, .*first file: .*parts"
        ):
            prepared(root, skip_bad=True)
        if kind == "unreadable":
            masks[0].write_bytes((tmp_path / "parts/good/1.png").read_bytes())
            spot().save(masks[0])
            data = prepared(root, skip_bad=True)
            assert sum(data.sizes.values()) == 12 + 1 + 1
            assert len(data.skipped) == 11
            assert data.notes == ("1 of the 2 images of class dent have no mask: they teach the class alone.",)
            assert "1 of 14 images paired with a mask, class without defects: good, 11 file(s) left" in data.understood

    def test_refused_beside_another(self, prepared, tmp_path):
        data = prepared(split_folders(tmp_path / "parts"))
        (split_folders(tmp_path / "others") / "train/dent/1.png").write_text("no image")
        with pytest.raises(UserError, match="cannot be read"):
            prepared(tmp_path / "others")
        assert list((tmp_path / "prepared/folder").iterdir()) == [data.directory.parent]

    def test_skip_bad_without_bad_files(self, prepared, tmp_path):
        root = split_folders(tmp_path / "parts")
        assert prepared(root, skip_bad=True) == prepared(root)

    def test_bad_rows_of_a_csv(self, prepared, tmp_path):
        root = tmp_path / "parts"
        for i in range(10):
            add(root, f"{i}.png")
        # No file system has such a name.
        long = 300 * "y"
        csv = write_csv(root, *(f"{i}.png,,good," for i in range(10)), "x.png,,good,", "0.png,,good,", f"{long},,good,")
        with pytest.raises(UserError) as caught:
            prepared(csv)
        assert str(caught.value).splitlines() == [
            "3 files cannot be used: correct them, or leave such files out with --skip-bad (of dms-jax prepare) or "
            "config.data.skip_bad.",
            f"{csv}, line 12, names x.png, which does not exist in {root}: correct the path or remove the line.",
            f"{csv}, line 13, names 0.png again: remove one of its lines.",
            f"{csv}, line 14, names {long}, which does not exist in {root}: correct the path or remove the line.",
        ]
        data = prepared(csv, skip_bad=True)
        assert sum(data.sizes.values()) == 10
        assert len(data.skipped) == 3

    def test_ignored_files_are_named(self, prepared, tmp_path):
        root = split_folders(tmp_path / "parts")
        for i in range(12):
            (root / f"train/good/{i:02}.txt").touch()
        (root / "train/good/.DS_Store").touch()
        (note,) = prepared(root).notes
        named = ", ".join(f"{root}/train/good/{i:02}.txt" for i in range(10))
        assert note.endswith(f"is ignored: {named} and 2 more.")


class TestOpening:
    def test_without_the_source(self, prepared, tmp_path):
        root = split_folders(tmp_path / "parts")
        data = prepared(root)
        shutil.rmtree(root)
        again = prepared(root)
        assert again == data
        assert again.class_names == ("good", "dent")
        assert len(again.source("test")) == 6

    def test_pickles(self, prepared, tmp_path):
        data = prepared(split_folders(tmp_path / "parts"))
        copy = pickle.loads(pickle.dumps(data))
        assert copy == data
        assert copy.builder.class_names == data.class_names
        source = pickle.loads(pickle.dumps(data.source("train")))
        assert [example["name"] for example in source] == [example["name"] for example in data.source("train")]
        assert source.free_class == 0

    def test_the_last_that_was_prepared_without_the_source(self, prepared, tmp_path):
        root = split_folders(tmp_path / "parts")
        first = prepared(root)
        add(root, "train/good/new.png")
        second = prepared(root)
        os.utime(first.directory / "dataset_info.json", (1, 1))
        shutil.rmtree(root)
        assert prepared(root) == second

    @pytest.mark.parametrize("change", ["added", "removed", "renamed", "touched", "rewritten", "mask added"])
    def test_changed_contents_are_prepared_anew(self, prepared, tmp_path, change):
        root = split_folders(tmp_path / "parts")
        first = prepared(root)
        assert prepared(root).directory == first.directory
        path = root / "train/good/1.png"
        if change == "added":
            add(root, "train/good/new.png")
        elif change == "removed":
            path.unlink()
        elif change == "renamed":
            path.rename(path.with_name("1b.png"))
        elif change == "touched":
            os.utime(path, (1, 1))
        elif change == "rewritten":
            state = path.stat()
            noise(0, SIZE + 3).save(path)
            os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
        else:
            add(root, "masks/train/good/1.png", Image.new("L", (SIZE + 2, SIZE)))
        second = prepared(root)
        assert second.directory != first.directory
        assert second.directory.parent.parent == first.directory.parent.parent
        assert first.directory.exists()
        names = {path.relative_to(root).as_posix() for path in root.glob("*/*/*.png") if "masks" not in path.parts}
        assert examples(second).keys() == names

    def test_changed_csv(self, prepared, tmp_path):
        root = tmp_path / "parts"
        for i in range(10):
            add(root, f"{i}.png")
        first = prepared(write_csv(root, *(f"{i}.png,,good," for i in range(10))))
        second = prepared(write_csv(root, *(f"{i}.png,,dent," for i in range(10))))
        assert (first.class_names, second.class_names) == (("good",), ("dent",))

    def test_ignored_files_change_nothing(self, prepared, tmp_path):
        root = split_folders(tmp_path / "parts")
        first = prepared(root)
        (root / "train/good/Thumbs.db").touch()
        assert prepared(root) == first

    def test_folders_of_one_name(self, prepared, tmp_path):
        first, second = (prepared(split_folders(tmp_path / place / "my parts")) for place in ("a", "b"))
        assert first.directory != second.directory
        assert first.config.startswith("my_parts-")
        for place, data in (("a", first), ("b", second)):
            shutil.rmtree(tmp_path / place)
            assert prepared(tmp_path / place / "my parts") == data

    def test_a_relative_path_is_the_same_folder(self, prepared, tmp_path, monkeypatch):
        first = prepared(split_folders(tmp_path / "parts"))
        monkeypatch.chdir(tmp_path / "parts")
        assert prepared("../parts/.").directory == first.directory

    @pytest.mark.parametrize("name", ["Größe: 測試", ".hidden", "a" * 250, "x[1]*?", "-"])
    def test_names_of_folders(self, prepared, tmp_path, name):
        root = split_folders(tmp_path / name)
        data = prepared(root)
        shutil.rmtree(root)
        assert prepared(root) == data

    def test_damaged(self, prepared, tmp_path):
        root = split_folders(tmp_path / "parts")
        metadata = prepared(root).directory / "metadata.json"
        metadata.write_text("{")
        with pytest.raises(UserError, match=r"folder/parts-\w+-\w+ is damaged: remove that folder"):
            prepared(root)
        metadata.unlink()
        with pytest.raises(UserError, match=r"folder/parts-\w+-\w+/1\.0\.0 is damaged: remove that folder"):
            prepared(root)


class TestUsage:
    def test_without_a_folder(self, prepared):
        said = r"dataset folder needs manual_dir: name your folder of .*, by --config\.data\.manual_dir=DIR \("
        with pytest.raises(UsageError, match=said):
            prepared("")

    def test_with_a_split(self, prepared, tmp_path):
        with pytest.raises(UsageError, match="split 'tiles' is unknown: the splits of dataset folder are its folders"):
            prepared(tmp_path, split="tiles")

    def test_nothing_there(self, prepared, tmp_path):
        with pytest.raises(UserError, match="nowhere does not exist: name your folder"):
            prepared(tmp_path / "nowhere")

    def test_neither_a_folder_nor_a_csv(self, prepared, tmp_path):
        path = tmp_path / "images.zip"
        path.touch()
        with pytest.raises(UserError, match=r"images\.zip is neither a folder nor a \.csv file"):
            prepared(path)

    @pytest.mark.parametrize("name", ["", "1.png", "train/1.png"])
    def test_no_images_in_class_folders(self, prepared, tmp_path, name):
        root = tmp_path / "parts"
        root.mkdir()
        if name:
            add(root, name)
        with pytest.raises(UserError, match=r"parts (has no images that can be used|is not a folder with files)"):
            prepared(root)


_KILLED = """
import os, signal, sys
from dms_jax.data.datasets import base
from dms_jax.data.prepare import prepare

encode, seen = base.encode_png, []

def encode_some(image):
    seen.append(image)
    if len(seen) == 20:
        os.kill(os.getpid(), signal.SIGKILL)
    return encode(image)

base.encode_png = encode_some
prepare("folder", manual_dir=sys.argv[1], data_dir=sys.argv[2])
"""


def test_killed_midway(prepared, tmp_path):
    root = split_folders(tmp_path / "parts")
    done = subprocess.run(
        [sys.executable, "-c", _KILLED, str(root), str(tmp_path / "prepared")],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[4])},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    # It was in the middle of writing, and what it left is not opened, with the source or without.
    assert list((tmp_path / "prepared").rglob("*incomplete*"))
    root.rename(tmp_path / "away")
    with pytest.raises(UserError, match="parts does not exist"):
        prepared(root)
    (tmp_path / "away").rename(root)
    assert len(examples(prepared(root))) == 18


@pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")  # ml_collections, Python 3.11
def test_reaches_training_from_the_command_line(tmp_path, monkeypatch, capsys):
    """From the flags to the first batch; the steps themselves are the same for every dataset."""
    batches = []

    def first_batch(config, workdir, data, *_):
        describe_run(config, data.dataset, {}, workdir)
        iterator = read_training_batches(config, data.splits)
        batches.append(next(iterator))
        iterator.close()
        raise UserError("one batch is enough")

    monkeypatch.setattr(_Run, "build", first_batch)
    root = tmp_path / "parts"
    for i, label in enumerate(["free", "scratch", "blob"] * 4):
        drawing = draw(label, 64, np.random.default_rng(i))
        split = "test" if i < 3 else "train"
        add(root, f"{split}/{label}/{i}.jpg", Image.fromarray(drawing.image))
        if label != "free" and i != 5:
            add(root, f"masks/{split}/{label}/{i}.png", Image.fromarray(drawing.mask))
    (root / "train/free/torn.jpg").write_bytes((root / "train/free/3.jpg").read_bytes()[:400])
    command = [
        "train.py",
        f"--config={Path(__file__).parents[4]}/configs/bdms.py:dataset=folder,size=small",
        f"--config.data.manual_dir={root}",
        f"--config.data.data_dir={tmp_path / 'prepared'}",
        f"--workdir={tmp_path / 'run'}",
        "--config.data.image_size=64",
        "--config.data.select_on=none",
        "--config.batch_size=8",
    ]
    assert launch("", command) == 1
    printed = capsys.readouterr()
    assert printed.err.startswith(f"train.py: {root}/train/free/torn.jpg cannot be read as an image")
    assert batches == []

    assert launch("", [*command, "--config.data.skip_bad=True"]) == 1
    printed = capsys.readouterr()
    assert f"skipped: {root}/train/free/torn.jpg cannot be read" in printed.err
    assert "1 of the 4 images of class blob have no mask" in printed.err
    assert "one batch is enough" in printed.err
    (batch,) = batches
    # Eight of the nine images of an epoch, one of which has no mask.
    assert batch["image"].shape == (8, 64, 64, 3)
    assert 7 <= np.count_nonzero(batch["has_mask"]) <= 8
    assert not batch["mask"][~batch["has_mask"]].any()
