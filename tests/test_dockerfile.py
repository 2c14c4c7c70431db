"""What the Dockerfile copies, installs and runs is there; to build it takes Docker, which the tests do not."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
LINES = [line for line in (ROOT / "Dockerfile").read_text().splitlines() if line and not line.startswith("#")]


def arguments_of(instruction: str) -> list[str]:
    return [line.removeprefix(instruction).strip() for line in LINES if line.startswith(f"{instruction} ")]


def test_what_is_copied_is_there_and_not_ignored() -> None:
    sources = {source for copy in arguments_of("COPY") for source in copy.split()[:-1]}
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert sources == allowed
    assert all((ROOT / source).exists() for source in sources)


def test_the_package_is_built_from_what_is_copied() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    copied = " ".join(arguments_of("COPY"))
    assert project["readme"] in copied
    assert all(file in copied for file in project["license-files"])


def test_the_extras_are_known() -> None:
    known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    named = re.findall(r"EXTRAS=([a-z,]+)", (ROOT / "Dockerfile").read_text())
    assert len(named) == 2
    assert all(extra in known for extras in named for extra in extras.split(","))


def test_the_python_is_supported_and_the_default_is_the_quickstart() -> None:
    (image,) = arguments_of("FROM")
    supported = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["classifiers"]
    assert any(image == f"python:{name.rpartition(' ')[2]}-slim" for name in supported)
    (command,) = arguments_of("CMD")
    program, script, flag = re.findall(r'"([^"]+)"', command)
    assert (program, script) == ("python", "train.py")
    assert (ROOT / flag.removeprefix("--config=")).exists()
