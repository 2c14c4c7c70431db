"""How XLA is asked to compile the steps."""

from jax.sharding import Mesh

# Of an NVIDIA GPU.
_GPU_OPTIONS: dict[str, str | bool | int] = {
    # A map that is bfloat16 in the network is kept as that between kernels, not also as the float32 before rounding.
    "xla_allow_excess_precision": False,
}


def compiler_options(mesh: Mesh) -> dict[str, str | bool | int] | None:
    """Options of `jax.jit` for a program that runs on the devices of a mesh; None for the defaults."""
    return _GPU_OPTIONS if mesh.devices.flat[0].platform == "gpu" else None
