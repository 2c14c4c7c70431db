"""From files on disk to batches: datasets, splits and their examples."""
