"""A file of jax.export computes what the live network does, and is read without Flax and without this package."""

import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from real_images import mtdd_images
from realistic_variables import live_outputs, realistic_variables
from tiny_network import FIELDS

from dms_jax.data.framing import Framing, crops_of, cut, join
from dms_jax.errors import UserError
from dms_jax.inference.description import ModelDescription
from dms_jax.inference.exported import extras
from dms_jax.inference.exported.jax_program import PLATFORMS, export_program, read_jax_program, write_jax_program
from dms_jax.models.dms import BDMS, SDMS

ROOT = Path(__file__).parents[3]
SIZE = 64
DESCRIPTION = ModelDescription(("free", "crack", "Löcher"), "free", Framing(size=SIZE))
pytest.importorskip("flatbuffers", reason="flatbuffers is not installed")


def images_of(batch: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (batch, SIZE, SIZE, 3), np.uint8)


def test_any_batch_of_real_images(tmp_path: Path) -> None:
    model = BDMS(**FIELDS)
    images = mtdd_images(SIZE, 5)
    variables = realistic_variables(model, images)
    metadata = write_jax_program(tmp_path / "model.jaxexport", model, variables, DESCRIPTION, "all")
    predict, read = read_jax_program(tmp_path / "model.jaxexport")
    assert read == metadata
    assert read.description == DESCRIPTION
    assert "six months" in read.note
    assert read.form == f"jax.export, jax {jax.__version__}, float32"
    for batch in (images, images[:2]):
        saliency, probabilities = predict(batch)
        own_saliency, own_probabilities = live_outputs(model, variables, batch)
        assert own_probabilities is not None
        assert own_saliency.std() > 0.03
        assert saliency.shape == own_saliency.shape
        assert np.abs(saliency - own_saliency).max() < 1e-4
        assert np.abs(probabilities - own_probabilities).max() < 1e-4


@pytest.mark.full
def test_real_images_at_full_size(tmp_path: Path) -> None:
    model = BDMS(num_classes=3)
    images = mtdd_images(300, 2)
    variables = realistic_variables(model, images)
    description = ModelDescription(DESCRIPTION.class_names, "free", Framing(size=300))
    write_jax_program(tmp_path / "model.jaxexport", model, variables, description, "all")
    predict, _ = read_jax_program(tmp_path / "model.jaxexport")
    for exported, own in zip(predict(images), live_outputs(model, variables, images), strict=True):
        assert np.abs(exported - own).max() < 1e-4


def test_the_program_is_for_cpus_and_gpus_whatever_the_network_was_trained_in() -> None:
    model = SDMS(**FIELDS, ablation="b", dtype=jax.numpy.bfloat16, axis_name="data")
    variables = realistic_variables(model.clone(axis_name=None), images_of(2))
    exported = export_program(model, variables, SIZE)
    assert exported.platforms == PLATFORMS == ("cpu", "cuda")
    assert [str(shape.dtype) for shape in exported.out_avals] == ["float32", "float32"]
    saliency, probabilities = exported.call(images_of(2))
    assert saliency.shape == (2, 1, SIZE, SIZE)
    assert probabilities.shape == (2, 0, FIELDS["num_classes"])


def test_the_example_needs_neither_flax_nor_this_package(tmp_path: Path) -> None:
    (example,) = re.findall(r"```python\n(.*?model\.jaxexport.*?)```", (ROOT / "docs/export.md").read_text(), re.DOTALL)
    assert len(example.splitlines()) <= 20
    model = SDMS(**FIELDS)
    variables = realistic_variables(model, images_of(2))
    write_jax_program(tmp_path / "model.jaxexport", model, variables, DESCRIPTION)
    image = np.random.default_rng(1).integers(0, 256, (50, 70, 3), np.uint8)
    Image.fromarray(image).save(tmp_path / "image.png")
    script = tmp_path / "example.py"
    ending = (
        "import sys\nassert not {'flax', 'dms_jax', 'orbax'} & set(sys.modules)\nnp.save('saliency.npy', saliency)\n"
    )
    script.write_text(example + ending)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "example.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert any(name in done.stdout for name in DESCRIPTION.class_names)
    (crop,) = crops = crops_of((50, 70), DESCRIPTION.framing)
    own, _ = live_outputs(model, variables, cut(image, crop, DESCRIPTION.framing)[None])
    assert np.abs(np.load(tmp_path / "saliency.npy")[0, 0] - own[0, -1]).max() < 1e-4
    # The map that `Predictor` gives, but for what rounds the other way.
    expected = join([np.round(255 * own[0, -1]).astype(np.uint8)], crops, (50, 70))
    assert np.abs(np.asarray(Image.open(tmp_path / "map.png")).astype(int) - expected).max() <= 1


def test_what_cannot_be_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model.jaxexport"
    with pytest.raises(UserError, match="cannot be read"):
        read_jax_program(path)
    path.write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"is no file of dms-jax export that jax .* reads"):
        read_jax_program(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.json", json.dumps({"dms_jax": {}}))
    with pytest.raises(UserError, match="is no file of dms-jax export"):
        read_jax_program(path)
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"need the package flatbuffers.*pip install 'dms-jax\[export\]'"):
        write_jax_program(path, SDMS(**FIELDS), {}, DESCRIPTION)


def test_bfloat16_is_half_as_large_and_differs_in_few_digits(tmp_path: Path) -> None:
    model = SDMS(**FIELDS)
    images = images_of(2)
    variables = realistic_variables(model, images)
    answers, sizes = [], []
    for dtype in (jnp.float32, jnp.bfloat16):
        path = tmp_path / f"{dtype.__name__}.jaxexport"
        metadata = write_jax_program(path, model, variables, DESCRIPTION, dtype=dtype)
        assert metadata.form.endswith(dtype.__name__)
        answers.append(np.asarray(read_jax_program(path)[0](images)[0]))
        sizes.append(path.stat().st_size)
    assert 0 < np.abs(answers[0] - answers[1]).max() < 0.05
    assert sizes[1] < 0.8 * sizes[0]
