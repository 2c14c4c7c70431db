"""From variables and images to maps and classes."""
