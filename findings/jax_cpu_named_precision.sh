#!/usr/bin/env bash
# JAX on a CPU: trying out what an accelerator's precision will do to a defect map, by naming the algorithm of its
# matrix products.
#
# One would guess: precision="BF16_BF16_F32" rounds both factors to bfloat16 whatever the device, or is refused, as XLA
# promises of an algorithm that a device does not have; JAX's page on precision says that such a name fixes the
# computation.
# Seen: with jax 0.10.2 and 0.12.0.1, a CPU takes BF16_BF16_F32 and BF16_BF16_F32_X3 and computes in float32, bit for
# bit what F32_F32_F32 gives, so that a trial finds that nothing is lost, where factors that are rounded before move the
# map by a thousandth of its range. So it is for jax.default_matmul_precision, products of batches, gradients, and a
# program of jax.export, which has the algorithm in its text. The others are refused (TF32_TF32_F32, F16_F16_F32,
# BF16_BF16_BF16), but for F16_F16_F16, which does round. Nothing warns, and no issue was found.
#
# Needs Python 3.11 or later.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cat >"$scratch/measure.py" <<'PROGRAM'
import jax
import jax.numpy as jnp
import numpy as np

random = np.random.default_rng(0)
features = jnp.asarray(random.standard_normal((64 * 64, 256)), jnp.float32)
head = jnp.asarray(random.standard_normal((256, 1)) / 16, jnp.float32)
rounded = [np.asarray(x.astype(jnp.bfloat16).astype(jnp.float32), np.float64) for x in (features, head)]
float32 = np.asarray(jnp.matmul(features, head, precision="F32_F32_F32"))
span = np.ptp(float32)


def compare(logits):
    logits = np.asarray(logits)
    if np.array_equal(logits, float32):
        return "float32, bit for bit"
    if np.abs(logits - rounded[0] @ rounded[1]).max() < 1e-4 * span:
        return "factors rounded to bfloat16"
    return f"{np.abs(logits - float32).max() / span:.2%} of the map's range beside float32"


print(f"jax {jax.__version__} on a {jax.default_backend()}")
for name in "BF16_BF16_F32", "BF16_BF16_F32_X3", "TF32_TF32_F32", "F16_F16_F32", "F16_F16_F16", "BF16_BF16_BF16":
    try:
        print(f"    {name}: {compare(jax.jit(lambda x, y: jnp.matmul(x, y, precision=name))(features, head))}")
    except Exception as error:
        print(f"    {name}: refused with {type(error).__name__}")
with jax.default_matmul_precision("BF16_BF16_F32"):
    program = jax.export.export(jax.jit(jnp.matmul))(features, head)
    batch = jnp.matmul(features.reshape(4, 1024, 256), jnp.stack([head] * 4)).reshape(-1, 1)
    print(f"    BF16_BF16_F32 as the default: {compare(jnp.matmul(features, head))}; a batch: {compare(batch)}")
    gradient = jax.grad(lambda y: jnp.sum(jnp.matmul(features, y) * float32))(head)
exact = jax.grad(lambda y: jnp.sum(jnp.matmul(features, y, precision="F32_F32_F32") * float32))(head)
print(
    f"    its gradient: {'the same' if np.allclose(gradient, exact, rtol=1e-6, atol=0) else 'another one'} as float32's"
)
print(
    f"    exported: {'bf16' if 'lhs_precision_type = bf16' in program.mlir_module() else 'no algorithm'} in its text, "
    f"and {compare(program.call(features, head))}"
)
moved = np.abs(rounded[0] @ rounded[1] - float32).max() / span
print(f"    with factors that are rounded to bfloat16 before: {moved:.2%} of the map's range beside float32")
PROGRAM

# Output seen on 2026-11-30, with either version.
cat >"$scratch/expected" <<'SEEN'
    BF16_BF16_F32: float32, bit for bit
    BF16_BF16_F32_X3: float32, bit for bit
    TF32_TF32_F32: refused with ValueError
    F16_F16_F32: refused with ValueError
    F16_F16_F16: 0.02% of the map's range beside float32
    BF16_BF16_BF16: refused with ValueError
    BF16_BF16_F32 as the default: float32, bit for bit; a batch: float32, bit for bit
    its gradient: the same as float32's
    exported: bf16 in its text, and float32, bit for bit
    with factors that are rounded to bfloat16 before: 0.11% of the map's range beside float32
SEEN

for version in 0.10.2 0.12.0.1; do
    rm -rf "$scratch/site"
    "${PYTHON:-python3}" -m pip install --quiet --target "$scratch/site" jax==$version jaxlib==$version numpy==2.3.4
    JAX_PLATFORMS=cpu PYTHONPATH="$scratch/site" "${PYTHON:-python3}" "$scratch/measure.py" 2>/dev/null |
        tee "$scratch/seen"
    diff <(echo "jax $version on a cpu" && cat "$scratch/expected") "$scratch/seen"
done
