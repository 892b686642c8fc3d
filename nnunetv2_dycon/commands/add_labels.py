"""``nnunetv2_dycon add-labels``: annotated scans become labeled cases."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from nnunetv2_dycon.commands.shared_arguments import add_dataset_argument

if TYPE_CHECKING:
    from nnunetv2_dycon.annotation.add_labels import AddedLabels

NAME = "add-labels"
HELP = "make labeled cases of unlabeled scans that have been annotated"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.description = (
        "Checks labels, and moves their scans from imagesUnlabeled to imagesTr with the labels in labelsTr: all of "
        "them or, if one does not fit its scan or the dataset, none. Never overwrites a scan or label. Folds of "
        "splits_final.json train on the new cases and validate on what they did."
    )
    add_dataset_argument(parser)
    parser.add_argument(
        "-i",
        required=True,
        type=Path,
        metavar="FOLDER",
        help="folder of rank --annotate, whose labels that have changed are finished; or one with CASE.nii.gz files",
    )
    parser.add_argument(
        "--cases",
        nargs="+",
        default=[],
        metavar="CASE",
        help="add these, also if unchanged (default: all that have changed)",
    )


def run(arguments: argparse.Namespace) -> None:
    """Add the labels and say what to do next."""
    from nnunetv2_dycon.annotation.add_labels import add_labels
    from nnunetv2_dycon.exceptions import counted

    added = add_labels(arguments.d, arguments.i, arguments.cases)
    for names, what in (
        (added.added, "labeled now"),
        (added.added_before, "labeled before, by the same labels"),
        (
            added.unchanged,
            "left out: unchanged since rank wrote the label. Name with --cases what is right as it is",
        ),
        ([file.name for file in added.others], "left alone: not a label with the dataset's file ending"),
    ):
        if names:
            print(f"{', '.join(names)}: {what}.")
    if not added.added:
        print(f"Nothing has been added to {added.dataset}.")
        return
    print(f"{added.dataset} has {counted(added.number, 'labeled case')}.")
    _print_next_steps(added)


def _print_next_steps(added: AddedLabels) -> None:
    from nnunetv2_dycon.datasets.names import dataset_id
    from nnunetv2_dycon.datasets.planned_dataset import configurations_of, plans_there
    from nnunetv2_dycon.datasets.preprocessed_cases import preprocessing_command
    from nnunetv2_dycon.datasets.splits import NUMBER_OF_FOLDS
    from nnunetv2_dycon.nnunet_command import device_option

    dataset, few = dataset_id(added.dataset), added.number < NUMBER_OF_FOLDS
    if added.splits_file is not None:
        print(
            f"All folds of {added.splits_file} train on the new cases, and validate on what they did. To have nnU-Net "
            "make new folds, remove that file."
        )
    print("\nNext:")
    plans = plans_there(added.dataset)
    if plans:
        name = plans[0]
        there = configurations_of(added.dataset, name)
        configuration = there[0] if there and "3d_fullres" not in there else "3d_fullres"
        print(f"  {preprocessing_command(added.dataset, configuration, name)}")
    else:
        name, configuration = "nnUNetPlans", "3d_fullres"
        print(f"  nnUNetv2_plan_and_preprocess -d {dataset} -c 3d_fullres")
    fold = "all" if few and added.splits_file is None else "0"
    option = "" if name == "nnUNetPlans" else f" -p {shlex.quote(name)}"
    print(f"  nnUNetv2_train {dataset} {configuration} {fold} -tr nnUNetTrainerDyCON{option}{device_option()}")
    others = f" ({', '.join(plans)})" if len(plans) > 1 else ""
    print(
        f"with your own -c and plans{others}, and with every -tr that you compare. Without --c, trainers of this "
        "package move the earlier training's checkpoints and validation to a folder earlier_training_1 beside. Others, "
        "such as nnUNetTrainer, replace them: copy the model first if you want to keep it."
    )
