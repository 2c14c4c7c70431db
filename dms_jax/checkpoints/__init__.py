"""Trees of arrays on disk."""
