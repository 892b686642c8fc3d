"""``nnunetv2_dycon simulate``."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

NAME = "simulate"
HELP = "make a dataset with few labels and many unlabeled scans from a fully labeled one, for experiments"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.description = (
        "Makes a new dataset in nnUNet_raw from a fully labeled one: a few labeled cases (imagesTr, labelsTr), the "
        "other training cases without their labels (imagesUnlabeled), and a test set (imagesTs, labelsTs). The labels "
        "of the unlabeled cases are neither opened nor copied, so planning and training cannot see them."
    )
    layouts = "in nnU-Net's raw layout, or with images/NAME.nii.gz and labels/NAME.nii.gz"
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("folder", type=Path, nargs="?", help=f"folder of a labeled dataset {layouts}")
    source.add_argument("-d", dest="dataset", metavar="ID_OR_NAME", help="or: a dataset in nnUNet_raw, by ID or name")
    text = "[REQUIRED] ID (501) or name (Dataset501_Hippocampus) of the new dataset in nnUNet_raw"
    parser.add_argument("-o", "--output", required=True, metavar="ID_OR_NAME", help=text)
    text = "[REQUIRED] number of cases that keep their labels: the first N training cases of the protocol"
    parser.add_argument("-n", "--labeled", type=int, required=True, metavar="N", help=text)
    text = (
        "JSON file with two lists of case names, 'train' (in order) and 'test', such as simulate.json of an earlier "
        "dataset. Default: protocol.json in the source where there is one, else a random protocol"
    )
    parser.add_argument("--protocol", type=Path, metavar="FILE", help=text)
    text = (
        "make a random protocol with this share of the training cases for testing. Default: the source's own test set "
        "(imagesTs with labelsTs) where there is one, else 0.25"
    )
    parser.add_argument("--test-fraction", type=float, metavar="F", help=text)
    parser.add_argument("--seed", type=int, default=12345, help="seed of the random protocol. Default: 12345")
    text = "what the images are, such as MRI or CT, by which nnU-Net normalises; only for a source without dataset.json"
    parser.add_argument("--channel-name", metavar="NAME", help=text)
    text = "names of the labels 1, 2, ... of a source without dataset.json. Default: class_1, class_2, ..."
    parser.add_argument("--labels", nargs="+", metavar="NAME", help=text)
    parser.add_argument("--link", action="store_true", help="make symbolic links to the source's files, not copies")
    text = "replace a dataset that this command made before, together with its preprocessed data"
    parser.add_argument("--overwrite", action="store_true", help=text)


def run(arguments: argparse.Namespace) -> None:
    """Make the dataset and print what to do next."""
    from nnunetv2_dycon.commands.next_steps import print_next_steps
    from nnunetv2_dycon.datasets.names import existing_dataset_folder
    from nnunetv2_dycon.datasets.raw_dataset import UNLABELED_FOLDER_NAME
    from nnunetv2_dycon.datasets.simulate import RECORD, simulate

    source = arguments.folder if arguments.dataset is None else existing_dataset_folder(arguments.dataset)
    folder = simulate(
        source,
        arguments.output,
        arguments.labeled,
        protocol_file=arguments.protocol,
        test_fraction=arguments.test_fraction,
        seed=arguments.seed,
        channel_name=arguments.channel_name,
        label_names=arguments.labels,
        link=arguments.link,
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
