import threading
import warnings

import pytest
from PIL import Image

from dms_jax.data.image_files import load_image
from dms_jax.data.library_warnings import library_warnings_ignored


def warn_as(module, category=UserWarning):
    warnings.warn_explicit("of what is read all the same", category, "file.py", 1, module)


def test_threads_that_overlap_leave_the_filters_as_they_were(tmp_path, monkeypatch):
    """Of two that read, the one that came first is done first, while the other one still reads."""
    before = list(warnings.filters)
    opens = Image.open
    begun, may_go_on = ({name: threading.Event() for name in ("first", "second")} for _ in range(2))

    def slow_open(path):
        name = threading.current_thread().name
        begun[name].set()
        assert may_go_on[name].wait(60)
        warn_as("PIL.Image")
        return opens(path)

    Image.new("L", (4, 4)).save(tmp_path / "image.bmp")
    monkeypatch.setattr(Image, "open", slow_open)
    read = []
    threads = {
        name: threading.Thread(target=lambda: read.append(load_image(tmp_path / "image.bmp").size), name=name)
        for name in begun
    }
    for name, thread in threads.items():
        thread.start()
        assert begun[name].wait(60)
    for name, thread in threads.items():
        may_go_on[name].set()
        thread.join()
    assert read == [(4, 4), (4, 4)]
    assert list(warnings.filters) == before


def test_warnings_of_others_are_shown():
    with library_warnings_ignored():
        warn_as("PIL.TiffImagePlugin")
        warn_as("pycocotools.mask", DeprecationWarning)
        for module in ("dms_jax.data.crops", "PILLAR"):
            with pytest.warns(UserWarning, match="of what is read"):
                warn_as(module)
    with pytest.warns(UserWarning, match="of what is read"):
        warn_as("PIL.Image")


def test_what_fails_to_be_read_leaves_the_filters_as_they_were(tmp_path):
    before = list(warnings.filters)
    (tmp_path / "image.png").write_bytes(b"no image")
    with pytest.raises(Exception, match="cannot be read"):
        load_image(tmp_path / "image.png")
    assert list(warnings.filters) == before
