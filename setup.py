"""The one thing that pyproject.toml cannot say: `configs/` is installed as `dms_jax.configs`."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["dms_jax*"]), "dms_jax.configs"],
    package_dir={"dms_jax.configs": "configs"},
)
