"""``nnunetv2_dycon simulate``."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from nnunetv2_dycon.commands.shared_arguments import DATASET_HELP, add_copy_argument, add_new_dataset_argument

NAME = "simulate"
HELP = "make a dataset with few labels from a fully labeled one, for experiments"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.description = (
        "Makes a new dataset in nnUNet_raw from a fully labeled one: a few labeled cases (imagesTr, labelsTr), the "
        "other training cases without their labels (imagesUnlabeled), and a test set (imagesTs, labelsTs). The labels "
        "of the unlabeled cases are neither opened nor copied, so planning and training cannot see them."
    )
    layouts = "in nnU-Net's raw layout, or with images/NAME.nii.gz and labels/NAME.nii.gz"
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("-d", metavar="DATASET", help=f"{DATASET_HELP}; fully labeled")
    text = f"in place of -d, folder of a fully labeled dataset {layouts}"
    source.add_argument("-i", type=Path, metavar="FOLDER", help=text)
    add_new_dataset_argument(parser)
    text = "number of cases that keep their labels: the first N training cases of the protocol"
    parser.add_argument("-n", type=int, required=True, metavar="N", help=text)
    text = (
        "JSON file with two lists of case names, 'train' (in order) and 'test', such as simulate.json of an earlier "
        "dataset (default: protocol.json in the source where there is one, else a random protocol)"
    )
    parser.add_argument("--protocol", type=Path, metavar="FILE", help=text)
    text = (
        "make a random protocol with this share of the training cases for testing (default: the source's own test set, "
        "imagesTs with labelsTs, where there is one, else 0.25)"
    )
    parser.add_argument("--test_fraction", type=float, metavar="FRACTION", help=text)
    parser.add_argument("--seed", type=int, default=12345, help="seed of the random protocol (default: 12345)")
    text = "what the images are, such as MRI or CT, by which nnU-Net normalises; only for a source without dataset.json"
    parser.add_argument("--channel_name", metavar="NAME", help=text)
    text = "names of the labels 1, 2, ... of a source without dataset.json (default: class_1, class_2, ...)"
    parser.add_argument("--labels", nargs="+", metavar="NAME", help=text)
    add_copy_argument(parser)
    text = "replace a dataset that this command made before, together with its preprocessed data"
    parser.add_argument("--overwrite", action="store_true", help=text)


def run(arguments: argparse.Namespace) -> None:
    """Make the dataset and print what to do next."""
    from nnunetv2_dycon.commands.next_steps import print_next_steps
    from nnunetv2_dycon.datasets.names import existing_dataset_folder
    from nnunetv2_dycon.datasets.raw_file_names import UNLABELED_FOLDER_NAME
    from nnunetv2_dycon.datasets.simulate import RECORD, simulate

    source = arguments.i if arguments.d is None else existing_dataset_folder(arguments.d)
    folder = simulate(
        source,
        arguments.o,
        arguments.n,
        protocol_file=arguments.protocol,
        test_fraction=arguments.test_fraction,
        seed=arguments.seed,
        channel_name=arguments.channel_name,
        label_names=arguments.labels,
        copy=arguments.copy,
        overwrite=arguments.overwrite,
    )
    record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    labeled, unlabeled, test = (len(record[key]) for key in ("labeled", "unlabeled", "test"))
    print(f"{folder}: {labeled} labeled, {unlabeled} unlabeled, {test} test cases.")
    if left_out := len(list((source / UNLABELED_FOLDER_NAME).glob("[!.]*"))):
        files = "1 file" if left_out == 1 else f"{left_out} files"
        print(
            f"{files} in {source / UNLABELED_FOLDER_NAME} left out: the unlabeled cases are labeled ones of the source."
        )
    print_next_steps(folder, labeled, test)
