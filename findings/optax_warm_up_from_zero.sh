#!/usr/bin/env bash
# optax: a warm-up from a learning rate of 0, or a first batch without a pixel that counts, with the optimizers that
# find the learning rate themselves.
#
# One would guess: the first step changes nothing, as it does with every optimizer whose learning rate or gradient is 0;
# a schedule as optax.warmup_cosine_decay_schedule(0.0, 1.0, ...) suits Prodigy as any other.
# Seen: with optax 0.2.8 (jax 0.10.2) optax.contrib.prodigy makes all weights NaN at the first such step, and
# optax.contrib.dadapt_adamw at the one after it: the learning rate is estimated by a quotient of sums over the steps so
# far, which are both 0 then. The loss of that step is still finite, and optax.apply_if_finite does not help, as it
# looks at gradients. From a warm-up that starts at 0.001, and with an empty batch later on, both train. Adam, Lion,
# schedule-free, Mechanic, DoG and DoWG train in all cases. No issue was found that says so.
#
# Needs Python 3.11 or later.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cat >"$scratch/measure.py" <<'PROGRAM'
import jax
import jax.numpy as jnp
import numpy as np
import optax
from optax import contrib

STEPS = 60
random = np.random.default_rng(0)
IMAGES = jnp.asarray(random.normal(size=(4, 16, 16, 3)).astype(np.float32))
SOUGHT = jnp.asarray(random.normal(size=(3, 3, 3, 1)).astype(np.float32))


def maps(kernel):
    return jax.lax.conv_general_dilated(IMAGES, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))


TRUTH = maps(SOUGHT)


def loss_of(kernel, counted):
    return jnp.sum(jnp.square(maps(kernel) - TRUTH) * counted) / jnp.maximum(jnp.sum(counted), 1)


def train(optimizer, empty=None):
    @jax.jit
    def step(kernel, state, counted):
        loss, gradient = jax.value_and_grad(loss_of)(kernel, counted)
        updates, state = optimizer.update(gradient, state, kernel)
        return loss, optax.apply_updates(kernel, updates), state

    kernel = jnp.zeros_like(SOUGHT)
    state = optimizer.init(kernel)
    for number in range(1, STEPS + 1):
        _, kernel, state = step(kernel, state, jnp.full_like(TRUTH, number != empty))
        if not jnp.isfinite(kernel).all():
            return f"NaN at step {number}"
    return "trains" if loss_of(kernel, jnp.ones_like(TRUTH)) < loss_of(jnp.zeros_like(SOUGHT), 1.0) else "stays"


OPTIMIZERS = {
    "adamw": (optax.adamw, 0.1),
    "lion": (optax.lion, 0.1),
    "schedule_free_adamw": (contrib.schedule_free_adamw, 0.1),
    "mechanize, adam": (lambda rate: contrib.mechanize(optax.adam(rate)), 0.1),
    "dog": (contrib.dog, 1.0),
    "dowg": (contrib.dowg, 1.0),
    "prodigy": (contrib.prodigy, 1.0),
    "dadapt_adamw": (contrib.dadapt_adamw, 1.0),
    "prodigy, finite steps only": (lambda rate: optax.apply_if_finite(contrib.prodigy(rate), 10), 1.0),
}
HEADS = "constant", "from 0", "from 0.001", "1st batch empty", "9th batch empty"
print(f"{'':28}" + "".join(f"{head:18}" for head in HEADS).rstrip())
for name, (create, rate) in OPTIMIZERS.items():
    warm, warmer = (optax.warmup_cosine_decay_schedule(start, rate, 10, STEPS) for start in (0.0, 0.001))
    runs = (rate, None), (warm, None), (warmer, None), (rate, 1), (rate, 9)
    results = [train(create(schedule), empty) for schedule, empty in runs]
    print(f"{name:28}" + "".join(f"{result:18}" for result in results).rstrip())
PROGRAM

"${PYTHON:-python3}" -m pip install --quiet --target "$scratch/site" \
    optax==0.2.8 jax==0.10.2 jaxlib==0.10.2 numpy==2.3.4
JAX_PLATFORMS=cpu PYTHONPATH="$scratch/site" "${PYTHON:-python3}" "$scratch/measure.py" 2>"$scratch/log" |
    tee "$scratch/seen" || tail "$scratch/log"

# Output seen on 2026-11-30.
diff - "$scratch/seen" <<'SEEN'
                            constant          from 0            from 0.001        1st batch empty   9th batch empty
adamw                       trains            trains            trains            trains            trains
lion                        trains            trains            trains            trains            trains
schedule_free_adamw         trains            trains            trains            trains            trains
mechanize, adam             trains            trains            trains            trains            trains
dog                         trains            trains            trains            trains            trains
dowg                        trains            trains            trains            trains            trains
prodigy                     trains            NaN at step 1     trains            NaN at step 1     trains
dadapt_adamw                trains            NaN at step 2     trains            NaN at step 2     trains
prodigy, finite steps only  trains            NaN at step 1     trains            NaN at step 1     trains
SEEN
