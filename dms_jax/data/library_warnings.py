"""Reading files in several threads without what the libraries that read them warn of."""

import contextlib
import threading
import warnings
from collections.abc import Iterator

_lock = threading.Lock()
_inside = 0
_outer: warnings.catch_warnings | None = None


@contextlib.contextmanager
def library_warnings_ignored() -> Iterator[None]:
    """Hides what Pillow and pycocotools warn of, in all threads.

    Pillow warns of what it reads all the same: many pixels, EXIF data cut short. pycocotools 2.0.11 converts its arrays
    in a way that NumPy 2 warns of. The filters of warnings are the whole process's. If each thread set them and set
    them back, one would do so while another still reads, and the last would leave them as another had set them, for
    good. So the first thread sets them, and the last one sets them back; the warnings of others are shown meanwhile.
    """
    global _inside, _outer
    with _lock:
        if not _inside:
            _outer = warnings.catch_warnings()
            _outer.__enter__()
            warnings.filterwarnings("ignore", module=r"PIL\.")
            warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"pycocotools\.")
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if not _inside and _outer is not None:
                _outer.__exit__(None, None, None)
