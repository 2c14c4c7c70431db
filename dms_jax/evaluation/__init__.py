"""Measuring saliency maps and labels the way the field does, and showing the metrics."""
