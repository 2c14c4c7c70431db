"""One HTML page that shows what a network predicts: metrics with their conventions, curves, and every image."""
