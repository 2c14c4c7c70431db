"""Folders of saliency maps, from any method."""
