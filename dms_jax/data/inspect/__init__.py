"""What is in a prepared dataset, as numbers and as images."""
