"""``nnunetv2_dycon demo``."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

NAME = "demo"
HELP = "try everything on a small generated data set (about six minutes on two CPU cores)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.description = (
        "Generates 20 small 3D scans (4 labeled, 12 unlabeled, 4 for testing), lets nnU-Net plan and preprocess, "
        "trains plain nnU-Net and nnUNetTrainerDyCON, predicts and evaluates the test scans, and writes a table "
        "(results.md, results.csv) and a picture (demo.png). Each of nnU-Net's commands is printed as you would type "
        "it. Trainings this short show how it works, not which trainer is better."
    )
    folder = Path("nnunetv2_dycon_demo")
    parser.add_argument(
        "-o", "--output", type=Path, default=folder, metavar="FOLDER", help=f"folder for everything. Default: {folder}"
    )
    parser.add_argument("--epochs", type=int, default=10, help="epochs of each training. Default: 10")
    parser.add_argument("--steps", type=int, default=40, help="training steps an epoch (nnU-Net: 250). Default: 40")
    parser.add_argument(
        "--device", choices=("auto", "cpu", "cuda"), default="auto", help="auto (default): a GPU where there is one"
    )
    parser.add_argument("--overwrite", action="store_true", help="remove the folder of an earlier demo first")


def run(arguments: argparse.Namespace) -> None:
    """Run the demo."""
    from nnunetv2_dycon.demo.run_demo import run_demo

    started, lengths = time.monotonic(), {"epochs": arguments.epochs, "steps": arguments.steps}
    run_demo(arguments.output, **lengths, device=arguments.device, overwrite=arguments.overwrite)
    minutes = (time.monotonic() - started) / 60
    print(
        f"\nDone in {minutes:.1f} minutes: results.md, results.csv and demo.png are in {arguments.output.resolve()}.\n"
        "Trainings this short show how it works, not which trainer is better."
    )
