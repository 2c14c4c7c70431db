#!/usr/bin/env bash
# JAX: an entry of the persistent compilation cache that was cut short, as a full disk or a kill while it is written does.
#
# One would guess: the next start cannot use it, compiles the program and writes the entry anew; or entries are written
# beside their place and then moved there, so that none is ever cut short.
# Seen: with jax 0.11.2 every start warns ("Error reading persistent compilation cache entry ...: incomplete or truncated
# stream"), compiles, and leaves the entry as it is, since one that exists is never written again: the program is compiled
# at every start from then on. A process that reads while another one writes the entry warns of the same. To delete the
# file, or the folder, ends it.
#
# Needs Python 3.12 or later.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
"${PYTHON:-python3}" -m pip install --quiet --target "$scratch/site" jax==0.11.2 jaxlib==0.11.2
cat >"$scratch/program.py" <<'PROGRAM'
import warnings

import jax
import jax.numpy as jnp

jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
found = []
jax.monitoring.register_event_listener(lambda event, **_: found.append(event.rsplit("/", 1)[-1]))
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    jax.jit(lambda x: jnp.sin(x) @ x)(jnp.ones((64, 64)))
words = [str(warning.message) for warning in caught if "cache entry" in str(warning.message)]
print("hits", found.count("cache_hits"), "warnings", len(words), *(word[-60:] for word in words[:1]))
PROGRAM
start() {
    JAX_PLATFORMS=cpu JAX_COMPILATION_CACHE_DIR="$scratch/cache" PYTHONPATH="$scratch/site" \
        "${PYTHON:-python3}" "$scratch/program.py" 2>/dev/null
}

echo "first:  $(start)"
echo "second: $(start | tee "$scratch/second")"
for entry in "$scratch"/cache/*-cache; do
    truncate --size=$(($(stat --format=%s "$entry") / 2)) "$entry"
done
before=$(cat "$scratch"/cache/*-cache | md5sum)
echo "cut:    $(start | tee "$scratch/third")"
echo "again:  $(start | tee "$scratch/fourth")"
after=$(cat "$scratch"/cache/*-cache | md5sum)

grep --quiet --extended-regexp '^hits [1-9][0-9]* warnings 0' "$scratch/second"
grep --quiet --extended-regexp '^hits 0 warnings [1-9]' "$scratch/third"
grep --quiet --extended-regexp '^hits 0 warnings [1-9]' "$scratch/fourth"
[ "$before" = "$after" ]
echo 'the entries are still cut'
