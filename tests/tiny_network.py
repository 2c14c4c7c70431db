"""A network that compiles in seconds, for the tests of the compiled steps."""

FIELDS = {
    "num_classes": 3,
    "stage_sizes": (1, 1, 1, 1),
    "groups": 2,
    "width_per_group": 32,
    "base_channels": 8,
    "side_channels": 4,
    "residual_channels": 4,
}
# The fields of a size in one group, which a CPU compiles sooner: for runs, in place of `SIZES["small"]`.
SIZE = {
    "stage_sizes": (1, 1, 1, 1),
    "groups": 1,
    "width_per_group": 64,
    "base_channels": 8,
    "side_channels": 4,
    "residual_channels": 4,
}
