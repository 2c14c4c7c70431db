"""What is traced for which platform."""

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import AbstractDevice, AbstractMesh, AxisType

from dms_jax.ops.dispatch import by_platform

X = jnp.ones(3)


def traced_on(platform: str | None) -> tuple[set[str], str]:
    """Which ways are traced where the mesh is of a platform (None: there is none), and the program."""
    traced = set()

    def way(name: str, factor: float) -> jax.Array:
        return lambda x: traced.add(name) or factor * x

    def function(x: jax.Array) -> jax.Array:
        return by_platform(x, cpu=way("cpu", 2.0), default=way("default", 3.0))

    if platform is None:
        return traced, str(jax.make_jaxpr(function)(X))
    device = AbstractDevice(platform, None, platform)
    mesh = AbstractMesh((1,), ("data",), (AxisType.Auto,), abstract_device=device)
    with jax.sharding.use_abstract_mesh(mesh):
        return traced, str(jax.make_jaxpr(function)(X))


@pytest.mark.parametrize("platform", [None, "cpu"])
def test_one_program_serves_every_platform(platform: str | None) -> None:
    traced, program = traced_on(platform)
    assert traced == {"cpu", "default"}
    assert "platform_index" in program


def test_on_a_gpu_nothing_is_traced_for_a_cpu() -> None:
    traced, program = traced_on("gpu")
    assert traced == {"default"}
    assert "platform_index" not in program


def test_the_mesh_of_a_shard_map_says_what_it_is_of() -> None:
    """The part of JAX that `by_platform` relies on."""
    mesh = jax.make_mesh((1,), ("data",), (AxisType.Auto,))
    seen = []

    def function(x: jax.Array) -> jax.Array:
        seen.append(jax.sharding.get_abstract_mesh().abstract_device.platform)
        return x

    spec = jax.sharding.PartitionSpec()
    jax.jit(jax.shard_map(function, mesh=mesh, in_specs=spec, out_specs=spec))(X)
    assert seen == ["cpu"]
    assert by_platform(X, cpu=lambda x: 2 * x, default=lambda x: 3 * x).tolist() == [2, 2, 2]
