"""The twelve classic methods of Table 4, one module each, written from their papers.

Each is a pure function of an image, uint8 [H, W, 3], 0..255, or floating point, 0..1, and returns a saliency map,
float32 [H, W], 0..1, whose smallest value is 0 and whose largest is 1; an image without contrast has a map of zeros.
They are in NumPy and SciPy rather than JAX: hardly two images of MTDD have one size, and each size would be compiled by
itself. Arguments that a paper does not have are for what the numbers of Table 4 turned out to need; their defaults are
the paper's. What a paper leaves open is set as Table 4 has it (docs/comparison.md).
"""
