"""Configurations: one file each, which `train.py --config=FILE[:ARGUMENT]` reads."""
