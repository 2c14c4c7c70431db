"""Other ways to compute the network's parts, timed alone: python benchmarks/leads.py [--only NAME] [--batch 64].

Each lead is a function written in two or more ways with the same result, at the shapes of BDMS ("wide": of FCN-8s) on
300 x 300 images. For each way: milliseconds of the forward pass, and of the forward and backward pass together. What
came of them stands in benchmarks/README.md.
"""

import argparse
import sys
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from timing import seconds_per_call

from dms_jax.ops import convolution, resize

Ways = dict[str, Callable[..., jax.Array]]
_LAYOUT = ("NHWC", "HWIO", "NHWC")


def conv(x: jax.Array, kernel: jax.Array, groups: int = 1, stride: int = 1) -> jax.Array:
    """A convolution with the padding of its kernel."""
    pads = [(size // 2, size // 2) for size in kernel.shape[:2]]
    return jax.lax.conv_general_dilated(
        x, kernel, (stride, stride), pads, dimension_numbers=_LAYOUT, feature_group_count=groups
    )


def plain() -> tuple[Ways, list[tuple[int, ...]]]:
    """The largest convolution, as the measure of the others."""
    return {"conv": conv}, [(75, 75, 768), (3, 3, 768, 768)]


def saliency_joined() -> tuple[Ways, list[tuple[int, ...]]]:
    """conv(cat(F, S)) of a residual block: 769 channels."""

    def joined(f: jax.Array, s: jax.Array, k: jax.Array) -> jax.Array:
        return conv(jnp.concatenate((f, s), -1), k)

    def padded(f: jax.Array, s: jax.Array, k: jax.Array) -> jax.Array:
        s = jnp.pad(s, ((0, 0), (0, 0), (0, 0), (0, 7)))
        return conv(jnp.concatenate((f, s), -1), jnp.pad(k, ((0, 0), (0, 0), (0, 7), (0, 0))))

    def summed(f: jax.Array, s: jax.Array, k: jax.Array) -> jax.Array:
        return conv(f, k[:, :, :-1]) + conv(s, k[:, :, -1:])

    def taps(f: jax.Array, s: jax.Array, k: jax.Array) -> jax.Array:
        height, width = s.shape[1:3]
        edge = jnp.pad(s, ((0, 0), (1, 1), (1, 1), (0, 0)))
        windows = [edge[:, i : i + height, j : j + width] for i in range(3) for j in range(3)]
        return conv(f, k[:, :, :-1]) + jnp.concatenate(windows, -1) @ k[:, :, -1].reshape(9, -1)

    ways = {"concatenated": joined, "padded to 776": padded, "sum": summed, "sum, nine taps": taps}
    return ways, [(75, 75, 768), (75, 75, 1), (3, 3, 769, 128)]


def features_joined() -> tuple[Ways, list[tuple[int, ...]]]:
    """phi(cat(F, side)) of step 2 and 5: 512 and 256 channels."""

    def joined(a: jax.Array, b: jax.Array, k: jax.Array) -> jax.Array:
        return conv(jnp.concatenate((a, b), -1), k)

    def summed(a: jax.Array, b: jax.Array, k: jax.Array) -> jax.Array:
        return conv(a, k[:, :, : a.shape[-1]]) + conv(b, k[:, :, a.shape[-1] :])

    return {"concatenated": joined, "sum": summed}, [(75, 75, 512), (75, 75, 256), (3, 3, 768, 768)]


def grouped(side: int, width: int, stride: int = 1) -> tuple[Ways, list[tuple[int, ...]]]:
    """The grouped convolution of a stage: 32 groups, or fewer larger ones with zeros in their kernels."""
    each = width // 32

    def merged(into: int) -> Callable[[jax.Array, jax.Array], jax.Array]:
        def way(x: jax.Array, k: jax.Array) -> jax.Array:
            together = into // each
            blocks = k.reshape(3, 3, each, width // into, together, each)
            mask = jnp.eye(together, dtype=k.dtype)
            # [h, w, (group, in), (super-group, group, out)]
            kernel = jnp.einsum("hwisgo,gt->hwtisgo", blocks, mask).reshape(3, 3, into, width)
            return conv(x, kernel, width // into, stride)

        return way

    ways: Ways = {"32 groups": lambda x, k: conv(x, k, 32, stride)}
    ways |= {f"{width // into} groups": merged(into) for into in (32, 64, 128, width) if each < into <= width}
    return ways, [(side, side, width), (3, 3, each, width)]


def transposed() -> tuple[Ways, list[tuple[int, ...]]]:
    """The transposed convolution of step 1."""
    ways = {"transposed": convolution.transposed_conv, "four phases": convolution.transposed_conv_by_phases}
    return ways, [(38, 38, 512), (4, 4, 512, 512)]


def pointwise(side: int, inputs: int, outputs: int) -> tuple[Ways, list[tuple[int, ...]]]:
    """A 1 x 1 convolution of a bottleneck, as one and as a matrix product."""
    ways: Ways = {"conv": conv, "product": lambda x, k: jnp.dot(x, k[0, 0])}
    return ways, [(side, side, inputs), (1, 1, inputs, outputs)]


def stem() -> tuple[Ways, list[tuple[int, ...]]]:
    """The 7 x 7 convolution of stride 2 on three channels, as one and as 4 x 4 of stride 1 on twelve."""

    def direct(x: jax.Array, k: jax.Array) -> jax.Array:
        return conv(x, k, stride=2)

    ways: Ways = {"7 x 7, stride 2": direct, "4 x 4 of 12 channels": convolution.strided_by_phases}
    return ways, [(300, 300, 3), (7, 7, 3, 64)]


def wide() -> tuple[Ways, list[tuple[int, ...]]]:
    """FCN-8s's fc6, 7 x 7 on a small map to 4096 channels: as a convolution, and its 49 taps as one product."""

    def product(x: jax.Array, k: jax.Array) -> jax.Array:
        height, width = x.shape[1:3]
        edge = jnp.pad(x, ((0, 0), (3, 3), (3, 3), (0, 0)))
        windows = [edge[:, i : i + height, j : j + width] for i in range(7) for j in range(7)]
        return jnp.concatenate(windows, -1) @ k.reshape(-1, k.shape[-1])

    return {"conv": conv, "product": product}, [(10, 10, 512), (7, 7, 512, 4096)]


def saliency_head() -> tuple[Ways, list[tuple[int, ...]]]:
    """The last 1 x 1 convolution of a residual block, to one channel in float32."""

    def as_conv(x: jax.Array, k: jax.Array) -> jax.Array:
        return conv(x.astype(jnp.float32), k.astype(jnp.float32))

    def as_sum(x: jax.Array, k: jax.Array) -> jax.Array:
        return jnp.sum(x.astype(jnp.float32) * k[0, 0, :, 0].astype(jnp.float32), -1, keepdims=True)

    return {"conv": as_conv, "multiplied and summed": as_sum}, [(75, 75, 128), (1, 1, 128, 1)]


def normalised() -> tuple[Ways, list[tuple[int, ...]]]:
    """BatchNorm with a batch's statistics and PReLU; reading and writing alone is the floor."""

    def two_moments(x: jax.Array, scale: jax.Array) -> jax.Array:
        y = x.astype(jnp.float32)
        mean = jnp.mean(y, (0, 1, 2))
        variance = jnp.maximum(jnp.mean(y * y, (0, 1, 2)) - mean * mean, 0)
        y = (y - mean) * (scale * jax.lax.rsqrt(variance + 1e-5))
        return jnp.where(y >= 0, y, 0.25 * y).astype(x.dtype)

    def in_bfloat16(x: jax.Array, scale: jax.Array) -> jax.Array:
        y = x.astype(jnp.float32)
        mean = jnp.mean(y, (0, 1, 2))
        variance = jnp.maximum(jnp.mean(y * y, (0, 1, 2)) - mean * mean, 0)
        factor = scale * jax.lax.rsqrt(variance + 1e-5)
        z = x * factor.astype(x.dtype) - (mean * factor).astype(x.dtype)
        return jnp.where(z >= 0, z, 0.25 * z)

    def floor(x: jax.Array, scale: jax.Array) -> jax.Array:
        return jnp.where(x >= 0, x, 0.25 * x) * scale.astype(x.dtype)

    @jax.custom_vjp
    def by_hand(x: jax.Array, scale: jax.Array) -> jax.Array:
        return two_moments(x, scale)

    def by_hand_forward(x: jax.Array, scale: jax.Array) -> tuple[jax.Array, Any]:
        y = x.astype(jnp.float32)
        mean = jnp.mean(y, (0, 1, 2))
        variance = jnp.maximum(jnp.mean(y * y, (0, 1, 2)) - mean * mean, 0)
        inverse = jax.lax.rsqrt(variance + 1e-5)
        y = (y - mean) * (scale * inverse)
        return jnp.where(y >= 0, y, 0.25 * y).astype(x.dtype), (x, scale, mean, inverse)

    def by_hand_backward(kept: Any, g: jax.Array) -> tuple[jax.Array, jax.Array]:
        x, scale, mean, inverse = kept
        # One pass reads x and the cotangent for the sums, the second for the gradient; nothing else is kept.
        x, g = jax.lax.optimization_barrier((x, g))
        normal = (x.astype(jnp.float32) - mean) * inverse
        d = jnp.where(normal * scale >= 0, 1.0, 0.25) * g.astype(jnp.float32)
        sums = jnp.mean(d, (0, 1, 2)), jnp.mean(d * normal, (0, 1, 2))
        count = x.size // x.shape[-1]
        dx = (scale * inverse) * (d - sums[0] - normal * sums[1])
        return dx.astype(x.dtype), (sums[1] * count).astype(scale.dtype)

    by_hand.defvjp(by_hand_forward, by_hand_backward)

    ways = {
        "float32": two_moments,
        "float32, gradient by hand": by_hand,
        "applied in bfloat16": in_bfloat16,
        "PReLU alone": floor,
    }
    return ways, [(75, 75, 768), (768,)]


def resized() -> tuple[Ways, list[tuple[int, ...]]]:
    """up(HF) from 19 to 75 pixels."""

    def matrices(x: jax.Array, precision: Any) -> jax.Array:
        weights = jnp.asarray(resize.aligned_corner_weights(19, 75), x.dtype)
        x = jnp.einsum("oh,bhwc->bowc", weights, x, precision=precision)
        return jnp.einsum("ow,bhwc->bhoc", weights, x, precision=precision)

    def at_once(x: jax.Array) -> jax.Array:
        weights = jnp.asarray(resize.aligned_corner_weights(19, 75), x.dtype)
        both = jnp.kron(weights, weights)
        flat = x.reshape(x.shape[0], -1, x.shape[-1])
        return jnp.einsum("op,bpc->boc", both, flat).reshape(x.shape[0], 75, 75, -1)

    def gathered(x: jax.Array) -> jax.Array:
        scale = (19 - 1) / (75 - 1)
        position = jnp.arange(75) * scale
        low = jnp.minimum(position.astype(jnp.int32), 17)
        part = (position - low).astype(x.dtype)
        rows = x[:, low] * (1 - part)[:, None, None] + x[:, low + 1] * part[:, None, None]
        return rows[:, :, low] * (1 - part)[:, None] + rows[:, :, low + 1] * part[:, None]

    ways = {
        "two products, highest": lambda x: matrices(x, jax.lax.Precision.HIGHEST),
        "two products, default": lambda x: matrices(x, None),
        "one product": at_once,
        "gathered": gathered,
    }
    return ways, [(19, 19, 256)]


LEADS: dict[str, Callable[[], tuple[Ways, list[tuple[int, ...]]]]] = {
    "plain": plain,
    "saliency_joined": saliency_joined,
    "features_joined": features_joined,
    "pointwise_stage1": lambda: pointwise(75, 256, 128),
    "pointwise_stage3": lambda: pointwise(19, 512, 1024),
    "stem": stem,
    "wide": wide,
    "grouped_stage1": lambda: grouped(75, 128),
    "grouped_stage2": lambda: grouped(38, 256),
    "grouped_stage3": lambda: grouped(19, 512),
    "grouped_stage4": lambda: grouped(10, 1024),
    "transposed": transposed,
    "saliency_head": saliency_head,
    "normalised": normalised,
    "resized": resized,
}


def forward_and_backward(function: Callable[..., jax.Array], *arrays: jax.Array) -> Any:
    """The result and the gradients of all arguments, for a cotangent that is the result itself."""
    result, pull_back = jax.vjp(function, *arrays)
    return result, pull_back(result)


def measure(name: str, batch: int, dtype: Any, budget: float) -> None:
    """Print a row for each way of a lead, after a check that they agree."""
    ways, shapes = LEADS[name]()
    keys = jax.random.split(jax.random.key(0), len(shapes))
    # Images have three dimensions, to which the batch is added; parameters have one or four.
    arrays = [
        jax.random.normal(key, (batch, *shape) if len(shape) == 3 else shape, dtype) * (1 if len(shape) == 3 else 0.05)
        for key, shape in zip(keys, shapes, strict=True)
    ]
    expected = None
    for way, function in ways.items():
        forward = jax.jit(function)
        both = jax.jit(lambda *arrays, f=function: forward_and_backward(f, *arrays))
        result = forward(*arrays).astype(jnp.float32)
        expected = result if expected is None else expected
        difference = float(jnp.max(jnp.abs(result - expected)) / jnp.max(jnp.abs(expected)))
        times = [seconds_per_call(lambda f=f: f(*arrays), budget, 3) * 1e3 for f in (forward, both)]
        print(f"| {name} | {way} | {times[0]:.3f} | {times[1]:.3f} | {difference:.0e} |", flush=True)


def main() -> int:
    """Measure the leads that the flags name."""
    parser = argparse.ArgumentParser(description="Time other ways to compute the network's parts.")
    parser.add_argument("--only", default=",".join(LEADS), metavar="NAME,NAME", help="%(default)s")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=0.2)
    arguments = parser.parse_args()
    names = arguments.only.split(",")
    if unknown := set(names) - LEADS.keys():
        parser.error(f"--only: there is no lead '{min(unknown)}': choose among {', '.join(LEADS)}")
    dtype = jnp.float32 if jax.default_backend() == "cpu" else jnp.bfloat16
    print("| lead | way | forward, ms | and backward, ms | differs by |\n| --- | --- | --- | --- | --- |")
    for name in names:
        measure(name, arguments.batch, dtype, arguments.seconds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
