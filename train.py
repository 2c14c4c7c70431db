"""Train SDMS or BDMS: python train.py --config=configs/bdms.py [--workdir=DIR] [--config.field=value ...]."""

import sys
import time
from pathlib import Path

if __name__ == "__main__":
    started = time.monotonic()
    # The clock runs already: this takes a second or two.
    from dms_jax.commands.train import launch

    sys.exit(launch(str(Path(__file__).parent / "configs" / "quickstart.py"), started=started))
