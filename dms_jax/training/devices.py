"""Which devices there are."""

import jax


def cpu_device() -> jax.Device | None:
    """The first CPU device of this process; None where JAX_PLATFORMS leaves the CPU out."""
    try:
        return jax.local_devices(backend="cpu")[0]
    except RuntimeError:
        return None
