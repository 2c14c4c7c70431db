"""The other methods of the paper's Table 4."""
