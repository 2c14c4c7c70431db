"""Plain mistakes are answered before what takes seconds is imported."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

# What the command prints, and then, on a line of its own, what it need not have imported.
PROGRAM = """
import sys
from dms_jax.cli import main
code = main(sys.argv[1:])
print(code, *({"jax", "onnxruntime", "tensorflow_datasets"} & set(sys.modules)), file=sys.stderr)
"""


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        ("export --workdir none --output x.onnx", 1, "none holds no run "),
        ("export --workdir run --output x.foo", 2, "x.foo must end in .jaxexport or .onnx, "),
        ("export --workdir run --output x.onnx --format jax", 2, "--format=jax contradicts x.onnx, "),
        ("export --workdir run --output run", 2, "run must end in "),
        ("export --workdir run --output x.onnx --manual-dir x", 2, "--manual-dir has no meaning without --int8"),
        ("evaluate --workdir none", 1, "none holds no run "),
        ("evaluate --workdir none --onnx x.onnx", 1, "none holds no run "),
        ("evaluate --workdir run --onnx x.onnx", 1, "x.onnx is not there: "),
        ("evaluate --workdir run --onnx run", 1, "run is not there: "),
        ("evaluate --workdir run --onnx a.jaxexport", 1, "a.jaxexport is a file of jax.export: name an ONNX file "),
    ],
)
def test_nothing_slow_is_imported(tmp_path: Path, arguments: str, code: int, sentence: str) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text("{}")
    (tmp_path / "a.jaxexport").touch()
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments.split()],
        capture_output=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        text=True,
        check=True,
    )
    said, last = done.stderr.splitlines()
    assert said.startswith(f"dms-jax: {sentence}")
    assert last == str(code)
