from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax.numpy as jnp
import pytest

from dms_jax.runs.config.defaults import default_config
from dms_jax.runs.monitoring.run_summary import describe_run


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "drawn (any): 6 train, 2 validation, 3 test images"),
        # The numbers are the dataset's, and not those of the run.
        (
            {"folds": 4, "fold": 1},
            "drawn (any): 6 train, 2 validation, 3 test images; of train and validation together, fold 1 of folds 0 to "
            "3 is for validation",
        ),
    ],
)
def test_images_of_a_run(fields: dict[str, int], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = default_config()
    config.data.update(fields)
    sizes = {"train": 6, "validation": 2, "test": 3}
    dataset: Any = SimpleNamespace(name="drawn", config="any", sizes=sizes, skipped=(), notes=())
    describe_run(config, dataset, {"backbone": {"kernel": jnp.zeros(3)}}, tmp_path)
    assert said in capsys.readouterr().err.splitlines()
