"""What pyproject.toml cannot say: `configs/` is installed as `dms_jax.configs`.

Not by `pip install -e`: there the package finds `configs/` beside itself, and with the plain layout that is left, it is
imported by path. Else a script in the folder that holds the checkout would take the folder `dms_jax` for the package.
"""

import sys

from setuptools import find_packages, setup

packages = find_packages(include=["dms_jax*"])
if "editable_wheel" in sys.argv:
    setup(packages=packages, package_dir={"": "."})
else:
    setup(packages=[*packages, "dms_jax.configs"], package_dir={"dms_jax.configs": "configs"})
