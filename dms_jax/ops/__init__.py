"""Numerical kernels, each beside its plain formulation: arrays in, arrays out."""
