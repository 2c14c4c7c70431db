"""Weights of other frameworks, to and from ours."""
