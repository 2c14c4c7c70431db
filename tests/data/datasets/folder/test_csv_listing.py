import pytest

from dms_jax.data.datasets.folder.csv_listing import list_csv
from dms_jax.errors import UserError


@pytest.fixture
def folder(tmp_path):
    """Files that a CSV may name; nothing is opened here."""
    for name in ("a.png", "b.png", "c.png", "sub/ä 1.png", "m/a.png", "m/b.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


@pytest.fixture
def listing_of(folder):
    def read(text, encoding="utf-8"):
        (folder / "list.csv").write_text(text, encoding=encoding)
        return list_csv(folder / "list.csv")

    return read


@pytest.fixture
def rows_of(listing_of, folder):
    """Every usable image: the path of its mask relative to the CSV, its label and its split."""

    def read(text, **options):
        found = listing_of(text, **options)
        assert found.problems == ()
        return {
            image.name: (
                image.mask_path and image.mask_path.relative_to(folder).as_posix(),
                image.label,
                image.split,
            )
            for image in found.images
        }

    return read


class TestRows:
    def test_all_columns(self, rows_of):
        assert rows_of(
            "image,mask,label,split\na.png,m/a.png,dent,train\nb.png,,ok,test\nc.png,m/b.png,,validation\n"
        ) == {
            "a.png": ("m/a.png", "dent", "train"),
            "b.png": (None, "ok", "test"),
            "c.png": ("m/b.png", None, "validation"),
        }

    @pytest.mark.parametrize(
        ("text", "row"),
        [
            ("image,label\na.png,dent", (None, "dent", None)),
            ("image,mask\na.png,m/a.png", ("m/a.png", None, None)),
            ("split,label,image\nVal,dent,a.png", (None, "dent", "validation")),
            (" Image ; LABEL\n a.png ; hot  spot", (None, "hot spot", None)),
            ('image\tlabel\na.png\t"x\ty"', (None, "x y", None)),
            ('image,label\r\na.png,"a, b"\r\n\r\n,\r\n', (None, "a, b", None)),
            ("image,mask,label,split\na.png,,dent", (None, "dent", None)),
            ("image,mask\n.\\a.png,m\\a.png", ("m/a.png", None, None)),
        ],
    )
    def test_what_spreadsheets_write(self, rows_of, text, row):
        assert rows_of(text) == {"a.png": row}

    def test_byte_order_mark(self, rows_of):
        assert rows_of("image,label\na.png,dent", encoding="utf-8-sig") == {"a.png": (None, "dent", None)}

    def test_names_that_are_not_ascii(self, rows_of):
        assert rows_of("image,label\nsub/ä 1.png,Öl") == {"sub/ä 1.png": (None, "Öl", None)}

    def test_absolute_path(self, listing_of, folder):
        (image,) = listing_of(f"image,label\n{folder}/a.png,dent").images
        assert image.image_path == folder / "a.png"

    def test_splits_and_classes_with_masks(self, listing_of):
        listing = listing_of(
            "image,mask,label,split\na.png,m/a.png,dent,train\nb.png,,ok,train\nx.png,m/b.png,hole,test"
        )
        assert listing.splits == {"train", "test"}
        assert listing.masked == {"dent", "hole"}

    def test_files(self, listing_of, folder):
        listing = listing_of("image,mask,label\na.png,m/a.png,dent\nx.png,,ok")
        assert sorted(listing.files) == sorted(folder / name for name in ("list.csv", "a.png", "m/a.png", "x.png"))

    def test_a_mask_of_several_images_is_told(self, listing_of):
        text = "image,mask\na.png,m/a.png\nb.png,m/b.png\nsub/ä 1.png,m/a.png"
        assert listing_of(text).notes == ("1 mask is that of several images, such as a.png of 2.",)
        assert listing_of(text.rpartition("\n")[0]).notes == ()
        assert listing_of(text + "\nc.png,m/b.png").notes[0].startswith("2 masks are those of several images")


class TestProblems:
    @pytest.mark.parametrize(
        ("row", "message"),
        [
            (",m/a.png,dent,", "line 3, names no image"),
            ("a.png,,dent,", "line 3, names a.png again"),
            ("./a.png,,dent,", "line 3, names a.png again"),
            ("b.png,,dent,tset", "line 3, has the unknown split 'tset': it is one of train, validation, test"),
            ("b.png,,,train", "line 3, gives b.png neither a mask nor a label"),
            ("x.png,,dent,", "line 3, names x.png, which does not exist in "),
            ("b.png,m/x.png,dent,", "line 3, names m/x.png, which does not exist in "),
        ],
    )
    def test_row(self, listing_of, folder, row, message):
        listing = listing_of(f"image,mask,label,split\na.png,,dent,\n{row}\nc.png,,dent,")
        assert [image.name for image in listing.images] == ["a.png", "c.png"]
        (problem,) = listing.problems
        assert problem.startswith(f"{folder}/list.csv, {message}")

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("", "must begin with a line of column names, which are image, mask, label, split"),
            ("a.png,m/a.png\n", "must begin with a line of column names"),
            ("image,image\na.png,b.png\n", "must begin with a line of column names"),
            ("image,masks\na.png,m/a.png\n", r"has the unknown column 'masks': rename or remove it \(image, mask"),
            ("image,label\n", "lists no images"),
            ("image,label\na.png,a,b\n", "line 2, has 3 cells for 2 columns: put cells"),
            ('image,label\na.png,"dent\n', "line 2, is not valid CSV"),
        ],
    )
    def test_file(self, listing_of, text, message):
        with pytest.raises(UserError, match=rf"list\.csv.{message}|list\.csv, {message}") as caught:
            listing_of(text)
        assert len(str(caught.value).splitlines()) == 1

    def test_other_encoding(self, listing_of):
        with pytest.raises(UserError, match=r"list\.csv is not UTF-8 text: save it"):
            listing_of("image,label\nä.png,Öl", encoding="cp1252")
