"""A run's configuration: its fields, their checks, and the objects it describes."""
