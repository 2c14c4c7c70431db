"""The flags that name a dataset, and say how its files are read."""

import argparse


def add_dataset_flags(command: argparse.ArgumentParser) -> None:
    """Add --dataset, --manual-dir, --data-dir, --split, --skip-bad, --mask-values and --value-range."""
    command.add_argument("--dataset", required=True, metavar="NAME", help="such as mtdd, or folder for your own")
    command.add_argument(
        "--manual-dir", default="", metavar="DIR", help="its files as published, or your folder, CSV or annotations"
    )
    command.add_argument("--data-dir", default="", metavar="DIR", help="where to build it (~/tensorflow_datasets)")
    command.add_argument("--split", default="", metavar="NAME", help="which way to split it, where it knows several")
    command.add_argument("--skip-bad", action="store_true", help="leave out files that cannot be used, and list them")
    command.add_argument(
        "--mask-values", default="", metavar="LIST", help="defective values of masks, like 1-4,ignore:255"
    )
    command.add_argument("--value-range", default="", metavar="LOW,HIGH", help="black and white of deep images: 0,4095")
