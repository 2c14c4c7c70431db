"""The measures themselves: maps and masks to numbers."""
