"""``nnunetv2_dycon demo``."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

NAME = "demo"
HELP = "see on generated scans what unlabeled ones are worth (about five minutes on two CPU cores)"
# What to type for data of one's own.
NEXT = """\
Next, with your own data: put the unlabeled scans into the folder imagesUnlabeled of your nnU-Net dataset,
here 501, and type

  nnUNetv2_plan_and_preprocess -d 501 -c 3d_fullres
  nnUNetv2_train 501 3d_fullres 0 -tr nnUNetTrainerDyCON"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.description = (
        "Generates 60 small scans: 4 labeled ones of one scanner and of patients who are alike, 40 unlabeled and 16 "
        "test scans of many. Lets nnU-Net plan and preprocess, trains plain nnU-Net and nnUNetTrainerDyCON side by "
        "side with the same labels, steps and seed, predicts and evaluates the test scans, and writes a table "
        "(results.md, results.csv) and a picture (demo.png). Each of nnU-Net's commands is printed as you would type "
        "it. The data are made so that unlabeled scans matter: how much they do in yours, only yours can tell."
    )
    folder = Path("nnunetv2_dycon_demo")
    parser.add_argument(
        "-o", type=Path, default=folder, metavar="FOLDER", help=f"folder for everything (default: {folder})"
    )
    parser.add_argument("--epochs", type=int, default=20, metavar="N", help="epochs of each training (default: 20)")
    parser.add_argument(
        "--steps", type=int, default=100, metavar="N", help="training steps an epoch; nnU-Net has 250 (default: 100)"
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="seed of both trainings; the data stay the same (default: 0)"
    )
    parser.add_argument("--overwrite", action="store_true", help="remove the folder of an earlier demo first")
    parser.add_argument(
        "-device",
        choices=("auto", "cpu", "cuda"),
        default="auto",
        help="where to train and predict; auto takes a GPU where there is one (default: auto)",
    )


def run(arguments: argparse.Namespace) -> None:
    """Run the demo."""
    from nnunetv2_dycon.demo.run_demo import run_demo
    from nnunetv2_dycon.nnunet_command import device_option

    started = time.monotonic()
    lengths = {"epochs": arguments.epochs, "steps": arguments.steps, "seed": arguments.seed}
    run_demo(arguments.o, **lengths, device=arguments.device, overwrite=arguments.overwrite)
    minutes = (time.monotonic() - started) / 60
    print(
        f"\nDone in {minutes:.1f} minutes: results.md, results.csv and demo.png are in {arguments.o.resolve()}."
        f"\n\n{NEXT}{device_option()}"
    )
