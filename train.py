"""Train SDMS or BDMS: python train.py --config=configs/bdms.py [--workdir=DIR] [--config.field=value ...]."""

import sys
from pathlib import Path

from dms_jax.training.launch import launch

if __name__ == "__main__":
    sys.exit(launch(str(Path(__file__).parent / "configs" / "quickstart.py")))
