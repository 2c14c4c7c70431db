"""The sub-commands of `dms-jax`: from flags to a call of the library, and its answer to the terminal."""
