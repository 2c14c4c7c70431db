"""What the names of a user's classes say."""

FREE_NAMES = ("free", "good", "normal", "ok")


def is_free(label: str) -> bool:
    """Whether a class is free of defects by its name."""
    return label.lower() in FREE_NAMES
