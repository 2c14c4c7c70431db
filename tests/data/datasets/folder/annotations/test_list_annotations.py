import json
import os
import shutil
import sys

import numpy as np
import pytest
from annotated_images import add_image, add_json, box_mask, examples, prepared, refused
from PIL import Image

from dms_jax.data.datasets.folder.annotations import list_annotations
from dms_jax.data.datasets.folder.builder import list_images
from dms_jax.errors import UsageError, UserError

SQUARE = [2, 3, 6, 3, 6, 5, 2, 5]


@pytest.fixture
def root(tmp_path):
    return tmp_path / "parts"


def coco(root, name="annotations.json", names=("a.png",)):
    images = [{"id": i, "file_name": name} for i, name in enumerate(names)]
    for listed in names:
        add_image(root, listed)
    annotations = [{"id": i, "image_id": i, "category_id": 1, "segmentation": [SQUARE]} for i in range(len(names))]
    content = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "dent"}]}
    return add_json(root, name, content)


def labelme(root, name="b"):
    add_image(root, f"{name}.png")
    shape = {"label": "dent", "points": [[2, 3], [6, 5]], "shape_type": "rectangle"}
    return add_json(root, f"{name}.json", {"shapes": [shape], "imagePath": f"{name}.png"})


def class_folders(root):
    for label in ("dent", "good"):
        for i in range(6):
            add_image(root, f"{label}/{i}.png")


@pytest.mark.parametrize(
    "content",
    [
        "{}",
        "[]",
        "not json",
        "{",
        '{"images": 3}',
        '[{"defect_name": "dent", "pixel_value": 255}]',
        '{"name": "x", "a": 1}',
    ],
)
def test_other_json_files_leave_class_folders_as_they_are(root, content):
    class_folders(root)
    (root / "dent/info.json").write_text(content)
    (root / "dent/info.xml").write_text("<annotation><object/></annotation>")
    assert list_annotations(root) is None
    listing = list_images(root)
    assert len(listing.images) == 12
    assert {path.rpartition("/")[2] for path in listing.ignored} == {"info.json", "info.xml"}
    assert prepared(root).class_names == ("good", "dent")


def test_hidden_files_are_passed_over(root):
    class_folders(root)
    (root / ".cache").mkdir()
    labelme(root / ".cache")
    (root / "dent/.x.json").write_text('{"shapes": [')
    assert list_annotations(root) is None


def test_what_predict_wrote_is_passed_over(root):
    coco(root)
    add_image(root, "predictions/overlays/line/a.png")
    (root / "predictions/predictions.json").write_text("{}")
    (root / "line").mkdir()
    (root / "a.png").rename(root / "line/a.png")
    # Its name has to fit one file alone.
    assert [image.name for image in list_annotations(root).images] == ["line/a.png"]


@pytest.mark.parametrize("folder", ["__MACOSX", "@eaDir", "$RECYCLE.BIN", "lost+found"])
def test_what_systems_add_is_passed_over(root, folder):
    coco(root)
    (root / "line").mkdir()
    (root / "a.png").rename(root / "line/a.png")
    add_image(root, f"{folder}/a.png")
    labelme(root / folder)
    listing = list_annotations(root)
    assert [image.name for image in listing.images] == ["line/a.png"]
    assert not any("left out" in note for note in listing.notes)


def test_links_that_lead_back_up(root):
    class_folders(root)
    (root / "dent/up").symlink_to(root, target_is_directory=True)
    assert list_annotations(root) is None
    labelme(root)
    assert [image.name for image in list_annotations(root).images] == ["b.png", *(f"good/{i}.png" for i in range(6))]


@pytest.mark.parametrize("name", ["a\0.png", "a" * 5000, "\ud800.png", "", "..", "/", ".\\"])
def test_names_that_no_file_can_have(root, name):
    path = coco(root)
    content = json.loads(path.read_text())
    content["images"][0]["file_name"] = name
    path.write_text(json.dumps(content))
    (problem,) = list_annotations(root).problems
    assert problem.startswith(f"{path} lists ")


@pytest.mark.skipif(sys.platform == "darwin", reason="its file system has no such names")
def test_file_names_that_are_no_text(root):
    labelme(root)
    (root / "good").mkdir()
    shutil.copy(root / "b.png", os.fsencode(root / "good") + b"/\xff.png")
    listing = list_annotations(root)
    assert [image.name for image in listing.images] == ["b.png"]
    assert listing.problems == (f"{root}/good/\\xff.png has a name that is not valid UTF-8: rename it.",)


def test_a_csv_is_none(root):
    root.mkdir()
    path = root / "list.csv"
    path.write_text("image,mask\n")
    assert list_annotations(path) is None


def test_several_formats(root):
    path, other = coco(root), labelme(root)
    with pytest.raises(UserError) as caught:
        list_annotations(root)
    assert str(caught.value) == (
        f"{root} has annotations of COCO ({path}) and labelme ({other}): name the file that counts, or move the others "
        "away."
    )
    assert [image.name for image in list_annotations(path).images] == ["a.png"]


@pytest.mark.parametrize("folder", ["masks", "Ground_Truth"])
def test_annotations_and_masks(root, folder):
    path = coco(root)
    (root / folder).mkdir()
    Image.fromarray(box_mask(2, 3, 6, 5)).save(root / folder / "a.png")
    refused(
        root, f"{root} has annotations ({path}) and masks ({root / folder}), of which one can count: move the other"
    )


@pytest.mark.parametrize("name", ["other.json", "other.xml", "damaged.json"])
def test_a_file_of_another_kind(root, name):
    root.mkdir()
    path = root / name
    path.write_text({"other.json": "[1]", "other.xml": "<a/>", "damaged.json": "[1"}[name])
    refused(path, f"{path} is not of a known format: export it as labelme, COCO, Label Studio, CVAT.")


def test_other_files_are_no_sources(root):
    root.mkdir()
    (root / "a.txt").touch()
    refused(
        root / "a.txt", "a.txt is neither a folder nor a .csv file, nor one of annotations (.json, .xml): name your"
    )


def test_text_with_a_byte_order_mark(root):
    path = coco(root)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert len(list_annotations(root).images) == 1


def test_other_encodings(root):
    path = coco(root)
    path.write_bytes(path.read_text().replace("dent", "größe").encode("latin-1"))
    refused(root, f"{path} is no valid JSON ('utf-8' codec", "export it again")


def test_a_file_alone_is_prepared(root):
    path = coco(root, names=[f"{i}.png" for i in range(10)])
    data = prepared(path)
    assert data.config.startswith("annotations.json-")
    assert data.class_names == ("dent",)
    assert data.free_class is None
    for example in examples(data).values():
        np.testing.assert_array_equal(example["mask"][..., 0], box_mask(2, 3, 6, 5))
    # A change of the file is noticed.
    path.write_text(path.read_text() + " ")
    assert prepared(path).config != data.config


def test_a_file_in_annotations(root):
    path = coco(root, "annotations/train.json", names=["a.png"])
    (root / "train2017").mkdir()
    (root / "a.png").rename(root / "train2017/a.png")
    assert [image.name for image in list_annotations(path).images] == ["train2017/a.png"]


def test_all_problems_are_collected(root):
    path = coco(root, names=[f"{i}.png" for i in range(10)])
    for i in (3, 4):
        (root / f"{i}.png").unlink()
    data = prepared(path, skip_bad=True)
    assert sum(data.sizes.values()) == 8
    assert [sentence.split(" ")[2] for sentence in data.skipped] == ["3.png,", "4.png,"]


def test_declared_values_are_not_of_annotations(root):
    for i in range(20):
        labelme(root, f"{i}")
    assert prepared(root, value_range="0,4095").class_names == ("dent",)
    with pytest.raises(UsageError, match=r"mask_values is of masks in files, and those of .*parts are drawn"):
        prepared(root, mask_values="1-4,ignore:255")
