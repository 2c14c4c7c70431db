"""XLA's flags for quick compilation, where most of a test's time goes: its tiny network then runs once."""

from importlib.metadata import version


def xla_flags(devices: int) -> str:
    """For a CPU that shows itself as so many devices; XLA ends a process that names a flag it does not know."""
    flags = ["--xla_backend_optimization_level=0", "--xla_cpu_parallel_codegen_split_count=1"]
    if version("jaxlib").startswith("0.10."):
        # Each fusion goes through a pipeline of MLIR's otherwise: a third of a training step's compilation.
        flags.append("--xla_cpu_use_fusion_emitters=false")
    return " ".join([*flags, f"--xla_force_host_platform_device_count={devices}"])
