"""What custom gradients must know of arrays that differ between devices."""

from typing import overload

import jax


@overload
def as_varying(parameter: jax.Array, x: jax.Array) -> jax.Array: ...
@overload
def as_varying(parameter: None, x: jax.Array) -> None: ...


def as_varying(parameter: jax.Array | None, x: jax.Array) -> jax.Array | None:
    """The parameter (or its gradient), marked as differing between devices where x does: its gradients are added up.

    JAX does so by itself for its own functions, but not for those with a custom gradient.
    """
    if parameter is None:
        return None
    axes = tuple(varying_axes(x) - varying_axes(parameter))
    return jax.lax.pcast(parameter, axes, to="varying") if axes else parameter


def varying_axes(x: jax.Array) -> frozenset[str]:
    """The mapped axes along which an array may differ."""
    return jax.typeof(x).manual_axis_type.varying
