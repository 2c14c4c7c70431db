"""Two and four devices on any machine, and helper modules beside the tests."""

import os
import sys
from pathlib import Path

# Before the first import of jax, here and in whatever the tests start.
os.environ["JAX_PLATFORMS"] = os.environ.get("JAX_PLATFORMS", "cpu")
os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=4".strip()

sys.path.insert(0, str(Path(__file__).parent))
