"""The flags that name a dataset."""

import argparse


def add_dataset_flags(command: argparse.ArgumentParser) -> None:
    """Add --dataset, --manual-dir, --data-dir and --split."""
    command.add_argument("--dataset", required=True, metavar="NAME", help="such as mtdd, or folder for your own")
    command.add_argument(
        "--manual-dir", default="", metavar="DIR", help="its files as published, or your folder, CSV or annotations"
    )
    command.add_argument("--data-dir", default="", metavar="DIR", help="where to build it (~/tensorflow_datasets)")
    command.add_argument("--split", default="", metavar="NAME", help="which way to split it, where it knows several")
