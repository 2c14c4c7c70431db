"""Files of images to a folder of predictions."""
