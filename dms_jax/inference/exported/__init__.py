"""A network in one file, for machines that have none of this package."""
