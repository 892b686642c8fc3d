"""``nnunetv2_dycon convert``."""

from __future__ import annotations

import argparse
import json
from fractions import Fraction
from pathlib import Path

from nnunetv2_dycon.commands.shared_arguments import add_new_dataset_argument, add_processes_argument

NAME = "convert"
HELP = "make a dataset of LA, Pancreas-CT, BraTS19, ISLES22 or ACDC, with few labels by the papers' splits"
_NAMES = ("la", "pancreas", "brats19", "isles22", "acdc")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.description = (
        "Turns the files that people have of the literature's data sets, the original releases or the h5 files of "
        "semi-supervised papers, into a dataset in nnUNet_raw: labeled cases (imagesTr, labelsTr), training cases "
        "without their labels (imagesUnlabeled), test cases (imagesTs, labelsTs) and, where a split has them, "
        "validation cases (imagesVal, labelsVal), which nnU-Net does not read. Splits are the published ones. The "
        "labels of unlabeled cases are neither opened nor written. convert.json in the dataset says which case is "
        "where, and why."
    )
    parser.add_argument("name", choices=_NAMES, help="the data set")
    parser.add_argument("-i", required=True, type=Path, metavar="FOLDER", help="folder with its files, at any depth")
    add_new_dataset_argument(parser)
    labeled = parser.add_mutually_exclusive_group(required=True)
    text = "share of the training patients that keep their labels, such as 10%%: the first ones of the published list"
    labeled.add_argument("--labels", type=_percentage, metavar="SHARE", help=text)
    labeled.add_argument("-n", type=int, metavar="N", help="in place of --labels, number of labeled cases")
    text = "h5, nrrd, nifti or dicom, where the folder has files of several formats"
    parser.add_argument("--format", metavar="FORMAT", help=text)
    text = (
        "published split: mc-net or dycon for Pancreas-CT, fold0, fold1 or fold2 for ISLES22; the others have one "
        "(default: the first of these)"
    )
    parser.add_argument("--split", metavar="SPLIT", help=text)
    text = "cases to leave out, of which files are missing or broken"
    parser.add_argument("--without", nargs="+", default=[], metavar="CASE", help=text)
    text = "spacing in mm of h5 files, which have none (default: what the data set has as a rule; the output tells)"
    parser.add_argument("--spacing", type=float, nargs=3, metavar=("X", "Y", "Z"), help=text)
    text = "take labels voxel by voxel where their header puts them elsewhere in space than their scan"
    parser.add_argument("--match_voxels", action="store_true", help=text)
    add_processes_argument(parser, "conversion")


def run(arguments: argparse.Namespace) -> None:
    """Make the dataset and print what to do next."""
    from nnunetv2_dycon.commands.next_steps import print_next_steps
    from nnunetv2_dycon.conversion.convert import RECORD, convert
    from nnunetv2_dycon.exceptions import UserError

    if arguments.np < 1:
        raise UserError(f"-np must be at least 1, not {arguments.np}.")
    if arguments.spacing is not None and not all(0 < length < float("inf") for length in arguments.spacing):
        raise UserError(f"--spacing must be three lengths above 0, not {' '.join(map(str, arguments.spacing))}.")
    folder = convert(
        arguments.name,
        arguments.i,
        arguments.o,
        arguments.labels if arguments.n is None else arguments.n,
        format_name=arguments.format,
        split_name=arguments.split,
        without=arguments.without,
        spacing=None if arguments.spacing is None else tuple(arguments.spacing),
        match_voxels=arguments.match_voxels,
        num_processes=arguments.np,
    )
    record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    labeled, unlabeled, validation, test = (
        len(record[role]) for role in ("labeled", "unlabeled", "validation", "test")
    )
    print(f"{folder}: {labeled} labeled, {unlabeled} unlabeled, {validation} validation, {test} test cases.")
    print_next_steps(folder, labeled, test)


def _percentage(text: str) -> Fraction:
    if not text.endswith("%"):
        raise argparse.ArgumentTypeError(f"{text} is no share: write {text}%, or give a number of cases with -n")
    try:
        return Fraction(text[:-1].strip())
    except (ValueError, ZeroDivisionError):
        raise argparse.ArgumentTypeError(f"{text} is no share such as 10%") from None
