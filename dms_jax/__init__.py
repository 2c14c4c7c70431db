"""Deeper and mixed supervision networks (SDMS, BDMS) for automated surface inspection."""

from typing import TYPE_CHECKING, Any

from dms_jax.version import __version__ as __version__

if TYPE_CHECKING:
    from dms_jax.runs.predictor import Predictor as Predictor


def __getattr__(name: str) -> Any:
    # Imported late: whoever asks for the version need not wait for JAX.
    if name == "Predictor":
        from dms_jax.runs.predictor import Predictor

        return Predictor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
