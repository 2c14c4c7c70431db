from dataclasses import replace

import numpy as np
import pytest
from hand_made_dataset import HandMadeDataset, make_example
from PIL import Image

from dms_jax.data.inspect.contact_sheet import SheetNotWrittenError, contact_sheet, write_contact_sheet
from dms_jax.data.prepare import prepare
from dms_jax.errors import UsageError, UserError

MAGENTA = (255, 0, 255)
# Nothing else on a sheet has these.
COLOURS = ((40, 200, 90), (250, 150, 20), (20, 90, 250))
EMPTY = np.zeros((30, 20), np.uint8)


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory):
    return prepare(
        "synthetic",
        data_dir=str(tmp_path_factory.mktemp("data")),
        synthetic={"seed": 3, "size": 48, "images": 100},
    )


@pytest.fixture
def dataset():
    return HandMadeDataset(train=[make_example("a", mask=EMPTY, size=(30, 20), image=80)])


def pixels(sheet):
    return np.asarray(sheet).astype(int)


def is_magenta(sheet):
    return (pixels(sheet) == MAGENTA).all(-1)


def extent(where):
    """Rows and columns, first and last, where an array is true."""
    rows, columns = np.nonzero(where)
    return rows.min(), rows.max(), columns.min(), columns.max()


def sheet_of(image, mask, **more):
    """The sheet of a single image, uint8 [h, w, 3] as int."""
    example = make_example("a", image=image, mask=mask, **more)
    return contact_sheet(HandMadeDataset(train=[example]), "train")


def coloured(height, width, colour=COLOURS[0]):
    return np.full((height, width, 3), colour, np.uint8)


def is_coloured(sheet, colour=COLOURS[0]):
    return (pixels(sheet) == colour).all(-1)


class TestOutline:
    @pytest.mark.parametrize("grey", [0, 128, 255])
    def test_is_one_pixel_wide_around_the_defect(self, grey):
        # At 298 pixels, the square inside of the outline's border, nothing is scaled.
        mask = np.zeros((298, 298), np.uint8)
        mask[100:140, 50:150] = 255
        sheet = sheet_of(np.full((298, 298, 3), grey, np.uint8), mask)
        magenta = is_magenta(sheet)
        top, bottom, left, right = extent(magenta)
        assert (bottom - top, right - left) == (41, 101)
        ring = np.ones((42, 102), bool)
        ring[1:-1, 1:-1] = False
        np.testing.assert_array_equal(magenta[top : bottom + 1, left : right + 1], ring)
        # The defect itself is not painted over.
        assert (pixels(sheet)[top + 1 : bottom, left + 1 : right] == grey).all()

    def test_threshold_is_that_of_training(self):
        mask = np.zeros((298, 298), np.uint8)
        mask[100, 100], mask[200, 200] = 127, 128
        assert is_magenta(sheet_of(coloured(298, 298), mask)).sum() == 8

    def test_wholly_defective_image_is_framed(self):
        sheet = sheet_of(coloured(298, 298), np.full((298, 298), 255, np.uint8))
        assert is_magenta(sheet).sum() == 4 * 299
        assert is_coloured(sheet).sum() == 298**2

    @pytest.mark.parametrize("side", [300, 1000, 2999])
    def test_crack_of_one_pixel_is_kept_whole_at_any_scale(self, side):
        mask = np.zeros((side, side), np.uint8)
        mask[side // 10 : side // 2, side // 3] = 255
        magenta = is_magenta(sheet_of(coloured(side, side), mask))
        top, bottom, left, right = extent(magenta)
        assert bottom - top + 1 == pytest.approx(0.4 * 298 + 2, abs=2)
        assert right - left + 1 == 3
        # Both sides of it, without a gap.
        assert magenta[top : bottom + 1, left].all()
        assert magenta[top : bottom + 1, right].all()

    def test_single_pixel_of_a_large_image_is_kept(self):
        # It is less than a 500th of the pixel of the sheet, half a step of 8 bits.
        mask = np.zeros((6900, 1730), np.uint8)
        mask[3000, 800] = 255
        assert is_magenta(sheet_of(coloured(6900, 1730), mask)).sum() == 8

    def test_lies_where_the_defect_is_when_scaled(self):
        image = coloured(600, 1200)
        mask = np.zeros((600, 1200), np.uint8)
        image[100:300, 400:800] = COLOURS[1]
        mask[100:300, 400:800] = 255
        sheet = sheet_of(image, mask)
        top, bottom, left, right = extent(is_magenta(sheet))
        inside = is_coloured(sheet, COLOURS[1])
        # Interpolation blurs the edges of the colour.
        np.testing.assert_allclose(extent(inside), (top + 1, bottom - 1, left + 1, right - 1), atol=3)
        assert not inside[:top].any()
        assert not inside[:, :left].any()

    def test_empty_or_unknown_mask_has_none(self):
        full = np.full((30, 20), 255, np.uint8)
        assert not is_magenta(sheet_of(coloured(30, 20), EMPTY)).any()
        assert not is_magenta(sheet_of(coloured(30, 20), full, has_mask=False)).any()
        assert is_magenta(sheet_of(coloured(30, 20), full, has_mask=True)).any()


class TestThumbnail:
    @pytest.mark.parametrize("size", [(298, 149), (149, 298), (1000, 500), (30, 15), (12, 45)])
    def test_fits_and_keeps_the_aspect(self, size):
        height, width = size
        top, bottom, left, right = extent(is_coloured(sheet_of(coloured(*size), np.zeros(size, np.uint8))))
        shown = (bottom - top + 1, right - left + 1)
        assert max(shown) == pytest.approx(298, abs=1)
        assert min(shown) == pytest.approx(298 * min(size) / max(size), abs=1)
        assert (shown[0] > shown[1]) == (height > width)

    @pytest.mark.parametrize("size", [(1250, 55), (1000, 160), (55, 1250), (400, 100), (5000, 1), (1, 1)])
    def test_long_image_is_shown_large_and_whole(self, size):
        sheet = sheet_of(coloured(*size), np.zeros(size, np.uint8))
        shown = is_coloured(sheet)
        top, bottom, left, right = extent(shown)
        assert bottom - top < 300
        assert right - left < 300
        if min(size) >= 55:
            # In one piece its scale would be 298 / its length.
            assert shown.sum() >= 2 * size[0] * size[1] * (298 / max(size)) ** 2
            assert shown.sum() / (bottom - top + 1) / (right - left + 1) > 0.9

    def test_pieces_of_a_tall_image_read_from_the_left_to_the_right(self):
        image = coloured(1200, 100)
        image[:400], image[400:800], image[800:] = COLOURS
        sheet = sheet_of(image, np.zeros((1200, 100), np.uint8))
        columns = [extent(is_coloured(sheet, colour))[2:] for colour in COLOURS]
        assert columns[0][1] < columns[1][0]
        assert columns[1][1] < columns[2][0]

    def test_pieces_of_a_wide_image_read_from_the_top_down(self):
        image = coloured(100, 1200)
        image[:, :400], image[:, 400:800], image[:, 800:] = COLOURS
        sheet = sheet_of(image, np.zeros((100, 1200), np.uint8))
        rows = [extent(is_coloured(sheet, colour))[:2] for colour in COLOURS]
        assert rows[0][1] < rows[1][0]
        assert rows[1][1] < rows[2][0]

    def test_defect_stays_in_its_place_in_a_long_image(self):
        image, mask = coloured(60, 1250), np.zeros((60, 1250), np.uint8)
        image[20:40, 700:740] = COLOURS[1]
        mask[20:40, 700:740] = 255
        sheet = sheet_of(image, mask)
        top, bottom, left, right = extent(is_magenta(sheet))
        inside = extent(is_coloured(sheet, COLOURS[1]))
        np.testing.assert_allclose(inside, (top + 1, bottom - 1, left + 1, right - 1), atol=3)


class TestPage:
    def test_is_deterministic(self, synthetic):
        first, second = (contact_sheet(synthetic, "train") for _ in range(2))
        assert first.tobytes() == second.tobytes()
        assert first.mode == "RGB"

    def test_shows_every_class_in_rows_of_its_own(self):
        counts = (7, 2, 1)
        train = [
            make_example(f"{label}-{i}", label, image=coloured(30, 30, COLOURS[label]), mask=EMPTY[:, :1].repeat(30, 1))
            for label, count in enumerate(counts)
            for i in range(count)
        ]
        dataset = HandMadeDataset(train=train, class_names=("good", "crack", "stain"))
        sheet = contact_sheet(dataset, "train")
        # Seven in two rows, of four and of three; then a row each.
        assert sheet.width == 4 * 316 + 16
        rows = []
        for colour, count in zip(COLOURS, counts, strict=True):
            shown = is_coloured(sheet, colour)
            assert shown.sum() == count * 298**2
            rows.append(extent(shown)[:2])
        assert rows[0][1] < rows[1][0]
        assert rows[1][1] < rows[2][0]
        # With room for four, the first two classes' second images do not displace the third class.
        fewer = contact_sheet(dataset, "train", count=4)
        assert [is_coloured(fewer, colour).sum() // 298**2 for colour in COLOURS] == [2, 1, 1]

    @pytest.mark.parametrize("count", [1, 5, 6, 24, 70])
    def test_is_not_too_wide(self, synthetic, count):
        assert contact_sheet(synthetic, "train", count=count).width <= 1600

    def test_caption_changes_with_class_name_and_what_is_known(self, dataset):
        (example,) = dataset.train
        plain = contact_sheet(dataset, "train")
        for changed in ({"label": np.int32(0)}, {"label": np.int32(-1)}, {"name": "b"}, {"has_mask": False}):
            other = contact_sheet(replace(dataset, train=[{**example, **changed}]), "train")
            assert other.size == plain.size
            assert other.tobytes() != plain.tobytes()
        known = contact_sheet(replace(dataset, train=[{**example, "has_mask": True}]), "train")
        assert known.tobytes() == plain.tobytes()

    @pytest.mark.parametrize("name", ["Übergröße/Fräsung.png", "漢字/🙂.png", "two\nlines\t.png", "", "\u202eabc"])
    def test_any_name_is_drawn(self, dataset, name):
        strange = [{**dataset.train[0], "name": name}]
        sheet = contact_sheet(replace(dataset, train=strange, class_names=("good", name), name=name), "train")
        assert sheet.size[1] == contact_sheet(dataset, "train").size[1]

    @pytest.mark.parametrize(
        ("name", "drawn"),
        [("Fräsung/café.png", "Frasung/cafe.png"), ("漢字 1.png", "?? 1.png"), ("two\nlines.png", "two?lines.png")],
    )
    def test_what_the_font_lacks_is_replaced(self, dataset, name, drawn):
        ours, plain = (
            contact_sheet(replace(dataset, train=[{**dataset.train[0], "name": text}]), "train")
            for text in (name, drawn)
        )
        assert ours.tobytes() == plain.tobytes()

    def test_long_name_is_cut_in_the_middle(self, dataset):
        def sheet(name):
            # A second class, so that the sheet is wide enough to see a name that runs on.
            train = [{**dataset.train[0], "name": name}, *(make_example(f"{i}", mask=EMPTY[:6, :5]) for i in range(2))]
            return pixels(contact_sheet(replace(dataset, train=train), "train"))

        long = sheet("first" + "x" * 300 + "last.png")
        np.testing.assert_array_equal(long, sheet("first" + "x" * 500 + "last.png"))
        for end in ("other" + "x" * 300 + "last.png", "first" + "x" * 300 + "lost.png"):
            assert (long != sheet(end)).any()
        # It stays beneath its own image.
        assert (long[:, 16 + 300 : 16 + 316] == sheet("a")[:, 16 + 300 : 16 + 316]).all()

    def test_empty_split(self, dataset):
        assert contact_sheet(dataset, "test").width > 100

    def test_refuses_no_images_at_all(self, dataset):
        with pytest.raises(UsageError, match="at least 1, not 0"):
            contact_sheet(dataset, "train", count=0)

    def test_refuses_an_unknown_split(self, synthetic):
        with pytest.raises(UsageError, match="split 'val' is unknown"):
            contact_sheet(synthetic, "val")


class TestWrite:
    def test_file_is_the_sheet(self, synthetic, tmp_path):
        path = tmp_path / "new" / "sheet.png"
        write_contact_sheet(synthetic, "validation", path, count=5)
        with Image.open(path) as written:
            assert written.format == "PNG"
            assert written.tobytes() == contact_sheet(synthetic, "validation", count=5).tobytes()
        assert list(path.parent.iterdir()) == [path]

    def test_refuses_another_format(self, dataset, tmp_path):
        with pytest.raises(UsageError, match=r"sheet\.jpg does not end in \.png"):
            write_contact_sheet(dataset, "train", tmp_path / "sheet.jpg")

    @pytest.mark.parametrize("name", ["file/sheet.png", "folder.png"])
    def test_place_that_cannot_be_written(self, dataset, tmp_path, name):
        (tmp_path / "file").touch()
        (tmp_path / "folder.png").mkdir()
        with pytest.raises(UserError, match=rf"{name} cannot be written .*choose another file\.") as caught:
            write_contact_sheet(dataset, "train", tmp_path / name)
        assert type(caught.value) is SheetNotWrittenError
        assert {path.name for path in tmp_path.iterdir()} == {"file", "folder.png"}
