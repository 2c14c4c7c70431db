"""Tables, annotations and archives of a user's images, for trials of damaged ones."""

import base64
import io
import json
import shutil
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image
from pycocotools import mask as coco_masks
from survival.damaged_samples import Maker, Sample

from dms_jax.comparison.rows import read_names
from dms_jax.data.datasets.archives import unpack
from dms_jax.data.datasets.folder.annotations import list_annotations
from dms_jax.data.datasets.folder.csv_listing import list_csv
from dms_jax.data.datasets.folder.listing import Listing
from dms_jax.data.datasets.neu_det import read_boxes
from dms_jax.errors import UserError
from dms_jax.evaluation.maps.labels import read_labels

_WIDTH, _HEIGHT = 40, 30
_NAMES = ("a.png", "b.png", "ü.png")


def _save_images(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in _NAMES:
        Image.new("RGB", (_WIDTH, _HEIGHT), (90, 90, 90)).save(folder / name)


def _tables(folder: Path) -> list[Sample]:
    _save_images(folder)
    mask = Image.new("L", (_WIDTH, _HEIGHT))
    mask.paste(255, (3, 4, 9, 9))
    mask.save(folder / "mask.png")
    texts = {
        "listing.csv": "image,mask,label,split\na.png,mask.png,crack,train\nb.png,,free,test\nü.png,mask.png,,\n",
        "quoted.csv": 'image;label\n"a.png";"crack; deep"\n"b.png";free\n',
        "labels.csv": 'name,label,predicted\na.png,crack,crack\n"b.png",free,crack\nü,,free\n',
        "names.csv": "map,image\na_map.png,a.png\nb_map.png,b.png\n",
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    readers: dict[str, Callable[[Path], object]] = {"labels.csv": read_labels, "names.csv": read_names}
    return [
        Sample(folder / name, partial(_read_table, readers.get(name, list_csv), folder / name), str(folder / name))
        for name in texts
    ]


def _read_table(read: Callable[[Path], object], path: Path) -> None:
    content = read(path)
    if isinstance(content, Listing):
        _raise_problems(content)


def _raise_problems(listing: Listing) -> None:
    if listing.problems:
        raise UserError("\n".join(listing.problems))


def _annotations(folder: Path) -> list[Sample]:
    part = io.BytesIO()
    Image.new("1", (6, 5), 1).save(part, "PNG")
    encoded = base64.b64encode(part.getvalue()).decode()
    shapes = [
        {"label": "crack", "shape_type": "polygon", "points": [[1, 2], [20, 3], [15, 20]]},
        {"label": "dent", "shape_type": "circle", "points": [[10, 10], [14, 10]]},
        {"label": "crack", "shape_type": "rectangle", "points": [[2, 3], [6, 5]]},
        {"label": "crack", "shape_type": "linestrip", "points": [[1, 1], [5, 8], [9, 2]]},
        {"label": "crack", "shape_type": "mask", "points": [[3, 4], [8, 8]], "mask": encoded},
    ]
    labelme = {"imagePath": "a.png", "imageWidth": _WIDTH, "imageHeight": _HEIGHT, "shapes": shapes, "flags": {}}
    categories = [{"id": 1, "name": "crack"}, {"id": 2, "name": "dent"}]
    images = [
        {"id": number, "file_name": name, "width": _WIDTH, "height": _HEIGHT} for number, name in enumerate(_NAMES)
    ]
    segmentations = (
        [[1, 2, 20, 3, 15, 20]],
        {"size": [_HEIGHT, _WIDTH], "counts": [100, 50, _WIDTH * _HEIGHT - 150]},
        {"size": [_HEIGHT, _WIDTH], "counts": _packed_runs()},
        None,
    )
    coco = {
        "images": images,
        "categories": categories,
        "annotations": [
            {"id": n, "image_id": n % 2, "category_id": 1 + n % 2, "segmentation": each, "bbox": [2, 3, 10, 8]}
            for n, each in enumerate(segmentations)
        ],
    }
    size = {"original_width": _WIDTH, "original_height": _HEIGHT}
    percent = {"x": 10, "y": 20, "width": 30, "height": 20, "rotation": 15, "rectanglelabels": ["crack"]}
    corners = {"points": [[5, 5], [50, 10], [30, 70]], "polygonlabels": ["dent"]}
    ellipse = {"x": 50, "y": 50, "radiusX": 10, "radiusY": 20, "ellipselabels": ["crack"]}
    stroke = {"format": "rle", "rle": _stroke(), "brushlabels": ["crack"]}
    results = [
        {"id": str(n), "type": kind, "value": value, **size}
        for n, (kind, value) in enumerate(
            (
                *(("rectanglelabels", percent), ("polygonlabels", corners)),
                *(("ellipselabels", ellipse), ("brushlabels", stroke)),
            )
        )
    ]
    studio = [
        {"id": 1, "data": {"image": "/data/upload/1/12345678-a.png"}, "annotations": [{"id": 5, "result": results}]},
        {"id": 2, "data": {"image": "b.png"}, "annotations": [{"id": 6, "result": []}]},
    ]
    runs = ",".join(map(str, (3, 4, 5)))
    cvat = (
        f'<annotations><version>1.1</version><image id="0" name="a.png" width="{_WIDTH}" height="{_HEIGHT}">'
        '<polygon label="crack" points="1,2;20,3;15,20"/><box label="dent" xtl="1" ytl="2" xbr="8" ybr="9"/>'
        '<ellipse label="crack" cx="10" cy="10" rx="4" ry="3"/><polyline label="crack" points="1,1;5,8"/>'
        f'<mask label="dent" left="3" top="4" width="4" height="3" rle="{runs}"/></image>'
        f'<image id="1" name="b.png" width="{_WIDTH}" height="{_HEIGHT}"><tag label="crack"/></image></annotations>'
    )
    samples = []
    for name, content in (("a.json", labelme), ("coco.json", coco), ("studio.json", studio), ("cvat.xml", cvat)):
        place = folder / name.partition(".")[0]
        _save_images(place)
        path = place / name
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        structured = path.suffix == ".json"
        samples.append(Sample(path, partial(_read_annotations, path), path.name, structured))
        samples.append(Sample(path, partial(_read_annotations, path, named=False), place.name, structured))
    boxes = folder / "boxes.xml"
    boxes.write_text(
        f"<annotation><size><width>{_WIDTH}</width><height>{_HEIGHT}</height></size><object><bndbox><xmin>2</xmin>"
        "<ymin>3</ymin><xmax>9</xmax><ymax>8</ymax></bndbox></object></annotation>"
    )
    return [*samples, Sample(boxes, partial(_read_boxes, boxes), str(boxes))]


def _packed_runs() -> str:
    mask = np.zeros((_HEIGHT, _WIDTH), np.uint8, order="F")
    mask[4:9, 5:20] = 1
    return coco_masks.encode(mask)["counts"].decode()


def _stroke() -> list[int]:
    """Label Studio's run lengths of a stroke over the whole image: one run."""
    count = 4 * _WIDTH * _HEIGHT
    bits = f"{count:032b}{7:05b}" + "".join(f"{length:04b}" for length in (3, 7, 11, 15)) + f"1{3:02b}{count - 1:016b}"
    bits += f"{255:08b}"
    bits += "0" * (-len(bits) % 8)
    return [int(bits[start : start + 8], 2) for start in range(0, len(bits), 8)]


def _read_annotations(path: Path, named: bool = True) -> None:
    listing = list_annotations(path if named else path.parent)
    if listing is None:
        return  # no annotations, as far as one can tell
    for image in listing.images:
        if image.mask_path is not None:
            mask = np.asarray(image.mask_reader(image.mask_path))
            assert mask.shape == (_HEIGHT, _WIDTH)
            assert mask.any()
    _raise_problems(listing)


def _read_boxes(path: Path) -> None:
    mask = np.asarray(read_boxes(path))
    assert set(np.unique(mask)) <= {0, 255}


def _archives(folder: Path) -> list[Sample]:
    random = np.random.default_rng(0)
    samples = []
    for name, method in (("stored.zip", zipfile.ZIP_STORED), ("packed.zip", zipfile.ZIP_DEFLATED)):
        path = folder / name
        with zipfile.ZipFile(path, "w", method) as archive:
            for member in ("image/a.jpg", "image/b.jpg", "groundTruth/a.mat", "README.md"):
                archive.writestr(member, random.bytes(300) + bytes(300))
        samples.append(Sample(path, partial(_unpack, path, folder / "unpacked" / "inner"), str(path)))
    return samples


def _unpack(path: Path, target: Path) -> None:
    outside = target.parent
    shutil.rmtree(outside, ignore_errors=True)
    target.mkdir(parents=True)
    try:
        unpack(path, target)
    finally:
        assert list(outside.iterdir()) == [target]
        assert not any(found.is_symlink() for found in target.rglob("*"))


KINDS: dict[str, Maker] = {"csv": _tables, "annotations": _annotations, "zip": _archives}
