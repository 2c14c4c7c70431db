"""Losses, optimizer, state, steps and the loop that trains a network."""
