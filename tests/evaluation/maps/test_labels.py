import pytest

from dms_jax.data.class_names import FREE_NAMES
from dms_jax.errors import UserError
from dms_jax.evaluation.maps.labels import read_labels


def write(tmp_path, text, encoding="utf-8"):
    path = tmp_path / "labels.csv"
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize("key", ["name", "image", "map"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_columns(tmp_path, key, encoding):
    text = f"{key},exposure,label,predicted\r\nsub/é (1).png,6,crack,free\r\nb,1,free,\r\nc.1, ,,crack\r\n"
    labels = read_labels(write(tmp_path, text, encoding))
    assert labels.class_names == ("free", "crack")
    assert labels.free_class == 0
    assert labels.classes == {"sub/é (1)": (1, 0), "b": (0, None), "c.1": (None, 1)}


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_columns_are_separated_as_spreadsheets_do(tmp_path, separator):
    text = "name,label,predicted\r\na,crack,free\r\n".replace(",", separator)
    assert read_labels(write(tmp_path, text)).classes == {"a": (1, 0)}


@pytest.mark.parametrize("header", ["Name,Label,Predicted", "name, label, predicted", "NAME ,LABEL,predicted,,"])
def test_names_of_columns_may_be_written_otherwise(tmp_path, header):
    labels = read_labels(write(tmp_path, f"{header}\na,crack,free\nb,free,free\n"))
    assert labels.classes == {"a": (1, 0), "b": (0, 0)}


def test_classes_are_in_order_of_names_where_none_is_free(tmp_path):
    labels = read_labels(write(tmp_path, "name,label\na,crack\nb,break\n"))
    assert labels.class_names == ("break", "crack")
    assert labels.free_class is None


def test_free_class_may_have_another_name(tmp_path):
    labels = read_labels(write(tmp_path, "name,label\na,crack\nb,sound\n"), "sound")
    assert labels.class_names == ("sound", "crack")
    assert labels.free_class == 0


@pytest.mark.parametrize("name", ["free", "Good", "NORMAL", "ok"])
def test_the_defect_free_class_is_known_by_its_name(tmp_path, name):
    labels = read_labels(write(tmp_path, f"name,label\na,crack\nb,{name}\n"))
    assert (labels.class_names, labels.free_class) == ((name, "crack"), 0)


def test_of_two_names_for_the_defect_free_class_one_must_be_chosen(tmp_path):
    path = write(tmp_path, "name,label,predicted\na,crack,crack\nb,good,OK\n")
    with pytest.raises(UserError, match=r"labels\.csv: OK and good are both free of .* name one with --free-class"):
        read_labels(path)
    assert read_labels(path, "good").class_names == ("good", "OK", "crack")


@pytest.mark.parametrize("name", FREE_NAMES)
def test_names_are_those_of_a_users_own_folder(tmp_path, name):
    labels = read_labels(write(tmp_path, f"name,label\na,crack\nb,{name.title()}\n"))
    assert labels.class_names[labels.free_class] == name.title()


def test_lines_without_a_name_are_left_alone(tmp_path):
    labels = read_labels(write(tmp_path, "name,label\na,crack\n,\n\n,\n"))
    assert labels.classes == {"a": (0, None)}


def test_a_class_that_was_only_predicted_is_a_class(tmp_path):
    labels = read_labels(write(tmp_path, "name,label,predicted\na,crack,fray\n"))
    assert labels.class_names == ("crack", "fray")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("name,class\na,b\n", r"has the columns name, class: it needs name and label, in its first line\."),
        ("file,label\na,b\n", r"has the columns file, label: it needs name and label"),
        ("", r"has the columns none: it needs name and label"),
        ("name,label\na.png,crack\na.jpg,free\n", r"names 'a' twice: remove one of the lines\."),
        ("name,label\na,\nb\n", r"holds no label: fill in the column label\."),
        ("name,label,predicted\na,,crack\n", r"holds no label"),
    ],
)
def test_files_that_say_too_little_or_too_much_are_refused(tmp_path, text, sentence):
    with pytest.raises(UserError, match=rf"labels\.csv {sentence}"):
        read_labels(write(tmp_path, text))


def test_files_that_cannot_be_read_are_refused(tmp_path):
    for path in (tmp_path / "nowhere.csv", tmp_path, write(tmp_path, "name,label\na,b\n", "utf-16")):
        with pytest.raises(UserError, match=r"cannot be read \(.*\): name a CSV file with the columns name and label"):
            read_labels(path)


def test_a_quotation_mark_that_is_not_closed_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"cannot be read \(unexpected end of data\): name a CSV file"):
        read_labels(write(tmp_path, 'name,label\na,"crack\nb,good\n'))
    assert read_labels(write(tmp_path, 'name,label\n"a, 1","the ""crack"""\n')).class_names == ('the "crack"',)


def test_classes_that_differ_in_case_alone_are_refused(tmp_path):
    path = write(tmp_path, "name,label,predicted\na,crack,Crack\nb,good,good\n")
    with pytest.raises(
        UserError, match=r"labels\.csv: The classes Crack and crack differ in case alone: give them one"
    ):
        read_labels(path)


def test_two_columns_of_one_name_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"cannot be read \(two columns are called label\): name a CSV file"):
        read_labels(write(tmp_path, "name,label,Label\na,crack,free\n"))


def test_images_that_are_not_in_the_file_are_named(tmp_path):
    labels = read_labels(write(tmp_path, "name,label\nBlowhole(1),blowhole\nfree 2.png,free\nunused,free\n"))
    assert labels.match(["Blowhole (1)", "free 2"]) == {"Blowhole (1)": (1, None), "free 2": (0, None)}
    with pytest.raises(UserError) as error:
        labels.match(["x", "free 2", "sub/y"])
    assert str(error.value).splitlines() == [
        f"{name} is not in {labels.path}: add a line for it." for name in ("x", "sub/y")
    ]
