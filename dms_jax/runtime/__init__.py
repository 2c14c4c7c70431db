"""How JAX, XLA and the process are run: devices, compilation, caches, signals."""
