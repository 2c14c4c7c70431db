"""What is found in the published datasets beside the repository: once for all files of tests, in whatever process."""

import os
import pickle
from contextlib import suppress
from pathlib import Path

from dms_jax.data.datasets import mtdd, neu_seg
from dms_jax.data.datasets.base import LabelledImage
from dms_jax.whole_files import write_whole

DATASETS = Path(__file__).parents[2] / "shared" / "datasets"
# As they are before a test replaces them.
_FIND = {"mtdd": mtdd.find_images, "neu_seg": neu_seg.find_images}


def found_in(name: str) -> list[LabelledImage]:
    """What `find_images` of `mtdd` or `neu_seg` lists, which compares the images, for seconds.

    Tests skip where the dataset is not there.
    """
    kept = Path(os.environ["DMS_JAX_TESTS"]) / f"{name}.pickle"
    with suppress(FileNotFoundError):
        return pickle.loads(kept.read_bytes())
    found = _FIND[name](DATASETS / name)
    write_whole(kept, lambda file: pickle.dump(found, file))
    return found
