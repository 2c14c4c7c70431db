import math

import numpy as np
import pytest
from annotated_images import (
    HEIGHT,
    WIDTH,
    add_image,
    add_json,
    box_mask,
    examples,
    masks,
    prepared,
    refused,
    the_mask,
    the_problem,
)
from PIL import Image

from dms_jax.data.datasets.folder.annotations import list_annotations
from dms_jax.data.datasets.folder.annotations.brush_rle import decode_brush
from dms_jax.errors import UserError

SIZE = {"original_width": WIDTH, "original_height": HEIGHT, "image_rotation": 0}


class BitWriter:
    """Packs bytes as @thi.ng/rle-pack does; written without looking at a decoder."""

    def __init__(self):
        self.bits = []

    def write(self, value, count):
        assert 0 <= value < 2**count
        self.bits += [value >> i & 1 for i in reversed(range(count))]

    def bytes(self):
        return np.packbits(self.bits).tolist()


def encode_brush(opacity, lengths=(3, 4, 8, 16), literal=False):
    """RGBA of a mask's opacity, as Label Studio's editor encodes it."""
    rgba = np.stack([np.full_like(opacity, 10), np.full_like(opacity, 20), np.zeros_like(opacity), opacity], axis=-1)
    values = rgba.ravel().tolist()
    writer = BitWriter()
    writer.write(len(values), 32)
    writer.write(7, 5)
    for length in lengths:
        writer.write(length - 1, 4)
    at = 0
    while at < len(values):
        end = at + 1
        if literal:
            # A block of values that differ.
            end = min(at + 2 ** lengths[2], len(values))
        else:
            while end < len(values) and values[end] == values[at] and end - at < 2 ** lengths[3]:
                end += 1
        kind = next(i for i, bits in enumerate(lengths) if end - at <= 2**bits)
        writer.write(not literal, 1)
        writer.write(kind, 2)
        writer.write(end - at - 1, lengths[kind])
        for value in values[at:end] if literal else values[at : at + 1]:
            writer.write(value, 8)
        at = end
    return writer.bytes()


def region(kind, value, label="dent", key=f"{0}", **others):
    value = value | {f"{kind}labels": [label]}
    return {"id": key, "type": f"{kind}labels", "from_name": "tag", "to_name": "image", "value": value} | SIZE | others


def per_cent(*points):
    return [[100 * x / WIDTH, 100 * y / HEIGHT] for x, y in points]


def rectangle(left=2, top=3, right=6, bottom=5, rotation=0, label="dent", **others):
    (x, y), (width, height) = per_cent((left, top), (right - left, bottom - top))
    return region(
        "rectangle", {"x": x, "y": y, "width": width, "height": height, "rotation": rotation}, label, **others
    )


def brush(opacity, label="dent", **others):
    return region("brush", {"format": "rle", "rle": encode_brush(opacity, **others)}, label)


def choice(name):
    return {"type": "choices", "from_name": "choice", "to_name": "image", "value": {"choices": [name]}}


def task(number, image, *annotations, **others):
    return {"id": number, "data": {"image": image}, "annotations": list(annotations), "predictions": []} | others


def annotation(*results, number=1, **others):
    return {"id": number, "result": list(results), "was_cancelled": False, "ground_truth": False} | others


def write_one(root, *results, **others):
    """A JSON with one task, annotated once, for the image a.png."""
    add_image(root, "a.png")
    return add_json(root, "export.json", [task(1, "a.png", annotation(*results), **others)])


@pytest.fixture
def root(tmp_path):
    return tmp_path / "parts"


class TestBrush:
    @pytest.mark.parametrize("literal", [False, True])
    @pytest.mark.parametrize("lengths", [(3, 4, 8, 16), (1, 2, 5, 9)])
    def test_decoded(self, literal, lengths):
        opacity = np.random.default_rng(0).integers(0, 256, (7, 9), np.uint8)
        opacity[2:5] = 255
        runs = encode_brush(opacity, lengths, literal)
        np.testing.assert_array_equal(decode_brush(runs, 7, 9), opacity)

    def test_many_equal_values(self):
        opacity = np.zeros((300, 400), np.uint8)
        assert len(encode_brush(opacity[:1])) > 100
        rgba_is_zero = BitWriter()
        for value, count in ((480_000, 32), (7, 5), (2, 4), (3, 4), (7, 4), (15, 4)):
            rgba_is_zero.write(value, count)
        for length in (2**16,) * 7 + (480_000 - 7 * 2**16,):
            rgba_is_zero.write(0b111, 3)
            rgba_is_zero.write(length - 1, 16)
            rgba_is_zero.write(0, 8)
        np.testing.assert_array_equal(decode_brush(rgba_is_zero.bytes(), 300, 400), opacity)

    @pytest.mark.parametrize(
        ("change", "sentence"),
        [
            (lambda runs: runs[:3], "end too early"),
            (lambda runs: runs[:-2], "end too early"),
            (lambda runs: [0, 0, 0, 9, *runs[4:]], "of 9 values, where 9 x 7 pixels have 252"),
            (lambda runs: [*runs[:-1], 256], "are no bytes"),
            (lambda runs: [*runs[:-1], None], "are no bytes"),
            (lambda runs: runs[:7] + [255] * 90, "are too long"),
        ],
    )
    def test_damaged(self, change, sentence):
        runs = encode_brush(np.arange(63, dtype=np.uint8).reshape(7, 9))
        with pytest.raises(ValueError, match=f"^has run lengths (that )?{sentence}"):
            decode_brush(change(runs), 7, 9)

    def test_as_a_mask(self, root):
        write_one(root, brush(box_mask(2, 3, 6, 5)))
        np.testing.assert_array_equal(the_mask(root), box_mask(2, 3, 6, 5))

    def test_of_another_size(self, root):
        write_one(root, brush(np.full((3, 3), 255, np.uint8)))
        with pytest.raises(
            UserError, match=r"export\.json has a region of \S+a\.png that has run lengths of 36 values"
        ):
            the_mask(root)


class TestShapes:
    @pytest.mark.parametrize(
        "result",
        [
            rectangle(),
            # Around its upper left corner, where that is when it is turned.
            rectangle(6, 3, 8, 7, rotation=90),
            region("polygon", {"points": per_cent((2, 3), (6, 3), (6, 5), (2, 5))}),
        ],
    )
    def test_areas(self, root, result):
        write_one(root, result)
        np.testing.assert_array_equal(the_mask(root), box_mask(2, 3, 6, 5))

    def test_ellipse_is_around_its_centre(self, root):
        size = {"original_width": 60, "original_height": 50}
        value = {"x": 50, "y": 50, "radiusX": 100 * 20 / 60, "radiusY": 100 * 10 / 50, "rotation": 0}
        write_one(root, region("ellipse", value, **size))
        add_image(root, "a.png", (60, 50))
        mask = the_mask(root)
        assert np.count_nonzero(mask) == pytest.approx(math.pi * 200, rel=0.02)
        rows, columns = np.nonzero(mask)
        assert (columns.min(), columns.max(), rows.min(), rows.max()) == (10, 49, 15, 34)

    def test_all_are_united(self, root):
        write_one(root, rectangle(), rectangle(7, 7, 9, 9), brush(box_mask(0, 0, 1, 1)))
        expected = box_mask(2, 3, 6, 5) | box_mask(7, 7, 9, 9) | box_mask(0, 0, 1, 1)
        np.testing.assert_array_equal(the_mask(root), expected)

    def test_a_key_point_leaves_the_mask_unknown(self, root):
        write_one(root, region("keypoint", {"x": 1, "y": 1, "width": 1}))
        assert masks(root) == {"a.png": ("dent", None)}

    def test_labels_apart_from_shapes(self, root):
        shape = {"x": 0, "y": 0, "width": 50, "height": 50, "rotation": 0}
        write_one(
            root,
            {"id": "r", "type": "rectangle", "value": shape} | SIZE,
            {"id": "r", "type": "labels", "value": shape | {"labels": ["dent"]}} | SIZE,
        )
        np.testing.assert_array_equal(the_mask(root), box_mask(0, 0, 6, 5))


class TestTasks:
    @pytest.mark.parametrize(
        "address",
        [
            "/data/upload/3/1a2b3c4d-deep%20a.png",
            "/data/local-files/?d=shared/images/deep%20a.png",
            "s3://bucket/images/deep a.png",
            "https://example.com/images/deep%20a.png?token=1",
            "C:\\Users\\me\\images\\deep a.png",
        ],
    )
    def test_addresses_of_images(self, root, address):
        add_image(root, "images/deep a.png")
        add_json(root, "export.json", [task(1, address, annotation(rectangle()))])
        assert sorted(masks(root)) == ["images/deep a.png"]

    def test_which_annotation_counts(self, root):
        first = annotation(rectangle(label="first"), updated_at="2026-01-01", ground_truth=True)
        last = annotation(rectangle(label="last"), updated_at="2026-03-01")
        other = annotation(rectangle(label="other"), updated_at="2026-02-01")
        skipped = annotation(rectangle(label="skipped"), updated_at="2026-04-01", was_cancelled=True)
        for name in "abcd":
            add_image(root, f"{name}.png")
        tasks = [
            task(1, "a.png", first, last),
            task(2, "b.png", last, other),
            task(3, "c.png", skipped),
            task(4, "d.png"),
        ]
        add_json(root, "export.json", tasks)
        assert {name: label for name, (label, _) in masks(root).items()} == {"a.png": "first", "b.png": "last"}
        notes = list_annotations(root).notes
        assert any(
            note.startswith("2 tasks without a submitted annotation are left out: submit an empty") for note in notes
        )
        assert any(note.startswith("2 tasks have several annotations") for note in notes)

    def test_without_regions(self, root):
        write_one(root)
        assert masks(root) == {"a.png": ("good", None)}
        write_one(root, choice("dent"), {"type": "textarea", "value": {"text": ["x"]}})
        assert masks(root) == {"a.png": ("dent", None)}
        write_one(root, choice("hole"), rectangle())
        assert masks(root)["a.png"][0] == "dent"

    def test_older_exports(self, root):
        path = write_one(root, rectangle())
        path.write_text(path.read_text().replace('"annotations"', '"completions"'))
        np.testing.assert_array_equal(the_mask(root), box_mask(2, 3, 6, 5))

    def test_min(self, root):
        for name in "abc":
            add_image(root, f"{name}.png")
        brushed = {"format": "rle", "rle": encode_brush(box_mask(2, 3, 6, 5)), "brushlabels": ["dent"]} | SIZE
        box = rectangle(label="hole")["value"] | SIZE
        common = {"annotator": 1, "annotation_id": 5, "created_at": "2026-01-01", "lead_time": 1.5}
        tasks = [
            {"id": 1, "image": "/data/upload/1/0123abcd-a.png", "tag": [brushed]} | common,
            {"id": 2, "image": "b.png", "label": [box], "choice": "dent"} | common,
            {"id": 3, "image": "c.png", "choice": "dent"} | common,
        ]
        add_json(root, "export.json", tasks)
        listed = masks(root)
        assert {name: label for name, (label, _) in listed.items()} == {
            "a.png": "dent",
            "b.png": "hole",
            "c.png": "dent",
        }
        np.testing.assert_array_equal(listed["a.png"][1], box_mask(2, 3, 6, 5))
        np.testing.assert_array_equal(listed["b.png"][1], box_mask(2, 3, 6, 5))
        assert listed["c.png"][1] is None


def add_png(root, task, annotation, mask, label="dent", number=0, tag="tag"):
    path = root / f"brush/task-{task}-annotation-{annotation}-by-1-{tag}-{label}-{number}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(mask).save(path)
    return path


class TestPngExport:
    def test_united(self, root):
        for name in "ab":
            add_image(root, f"{name}.png")
        add_json(root, "tasks.json", [task(8, "a.png"), task(9, "b.png")])
        add_png(root, 8, 21, box_mask(2, 3, 6, 5))
        add_png(root, 8, 21, box_mask(7, 7, 9, 9), number=1)
        add_png(root, 8, 21, box_mask(0, 0, 9, 2), label="deep-hole")
        add_png(root, 8, 20, box_mask(0, 0, 12, 10))
        listed = masks(root)
        assert sorted(listed) == ["a.png"]
        label, mask = listed["a.png"]
        assert label == "deep-hole"
        np.testing.assert_array_equal(mask, box_mask(2, 3, 6, 5) | box_mask(7, 7, 9, 9) | box_mask(0, 0, 9, 2))
        assert all("left out (the first" not in note for note in list_annotations(root).notes)

    def test_of_the_annotation_that_counts(self, root):
        add_image(root, "a.png")
        both = (annotation(number=20, ground_truth=True), annotation(number=21))
        add_json(root, "tasks.json", [task(8, "a.png", *both)])
        add_png(root, 8, 20, box_mask(2, 3, 6, 5))
        add_png(root, 8, 21, box_mask(0, 0, 12, 10))
        np.testing.assert_array_equal(the_mask(root), box_mask(2, 3, 6, 5))

    def test_regions_of_the_json_count_more(self, root):
        write_one(root, brush(box_mask(2, 3, 6, 5)))
        add_png(root, 1, 1, box_mask(0, 0, 12, 10))
        np.testing.assert_array_equal(the_mask(root), box_mask(2, 3, 6, 5))

    def test_without_a_json(self, root):
        add_image(root, "a.png")
        path = add_png(root, 8, 21, box_mask(2, 3, 6, 5))
        refused(
            root, f"{path} is a brush label of Label Studio, which does not say of which image: export the tasks as"
        )

    def test_without_its_task(self, root):
        write_one(root, rectangle())
        path = add_png(root, 8, 21, box_mask(2, 3, 6, 5))
        assert the_problem(root) == f"{path} is of task 8, which no JSON lists: export the tasks as JSON again."

    def test_of_another_size(self, root):
        add_image(root, "a.png")
        add_json(root, "tasks.json", [task(8, "a.png")])
        add_png(root, 8, 21, np.full((3, 3), 255, np.uint8))
        with pytest.raises(
            UserError, match=r"tasks\.json has a region of \S+a\.png that has 3 x 3 pixels in \S+0\.png"
        ):
            the_mask(root)


class TestBadFiles:
    @pytest.mark.parametrize(
        ("result", "sentence"),
        [
            (region("video", {"x": 1}), "has a result of the unknown type 'videolabels' (brush, polygon,"),
            (region("polygon", {"points": [[1, 2]]}), "has a polygon that has 1 points, where at least 3 are needed"),
            (region("polygon", {"points": "x"}), "has a polygon that has points that are not pairs of numbers"),
            (region("polygon", {}, label=""), "has a polygon that has no class"),
            (region("ellipse", {"x": 1, "y": 1, "radiusX": 0, "radiusY": 1}), "has an ellipse that has a radius of 0"),
            (region("rectangle", {"x": 1, "y": 1}), "has a rectangle that has None where a number is needed"),
            (region("brush", {"rle": "x"}), "has a brush that has no list rle"),
            (rectangle(image_rotation=90), "has a rectangle in an image that was turned by 90 degrees"),
            (rectangle(original_width=None), "has a rectangle that has no original_width and original_height"),
            ({"id": "x", "type": "rectangle", "value": {"x": 1}}, "has a rectangle without a label"),
        ],
    )
    def test_results(self, root, result, sentence):
        path = write_one(root, result)
        assert the_problem(root).startswith(f"{path}, task 1, {sentence}")

    @pytest.mark.parametrize(
        ("others", "sentence"),
        [
            ({"data": None}, "task 1, has no data"),
            ({"data": {"text": "a"}}, "task 1, names 0 images in its data"),
            ({"data": {"left": "a.png", "right": "b.png"}}, "task 1, names 2 images in its data"),
            ({"data": {"image": "missing.png"}}, "task 1, is about missing.png, which does not exist"),
            ({"annotations": [1]}, "task 1, has an annotation without a list result"),
            ({"annotations": [{"result": [1]}]}, "task 1, has an annotation with a result that is no object"),
        ],
    )
    def test_tasks(self, root, others, sentence):
        write_one(root, rectangle(), **others)
        assert sentence in the_problem(root)

    def test_sizes(self, root):
        write_one(root, rectangle(original_width=WIDTH + 1))
        with pytest.raises(
            UserError, match=r"export\.json gives \S+a\.png the size 13 x 10, but it has 12 x 10 pixels"
        ):
            the_mask(root)
        write_one(root, rectangle(), rectangle(original_width=WIDTH + 1))
        assert "has regions of several original sizes" in the_problem(root)

    def test_truncated(self, root):
        path = write_one(root, rectangle())
        path.write_text(path.read_text()[:-20])
        refused(root, "export.json is no valid JSON (", "export it again")


def test_prepared(root):
    results = ([brush(box_mask(2, 3, 6, 5))], [rectangle(label="hole")], [])
    tasks = []
    for i in range(12):
        add_image(root, f"{i:02d}.png")
        tasks.append(task(i, f"/data/upload/1/0123abcd-{i:02d}.png", annotation(*results[i % 3])))
    add_json(root, "export.json", tasks)
    data = prepared(root)
    assert data.class_names == ("good", "dent", "hole")
    for name, example in examples(data).items():
        number = int(name[-6:-4]) % 3
        assert example["class"] == ("dent", "hole", "good")[number]
        expected = box_mask(2, 3, 6, 5) if number < 2 else np.zeros((HEIGHT, WIDTH))
        np.testing.assert_array_equal(example["mask"][..., 0], expected)
    assert data.notes[0].startswith("Annotations of Label Studio from ")
