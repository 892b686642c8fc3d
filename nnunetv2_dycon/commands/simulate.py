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
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "folder",
        type=Path,
        nargs="?",
        help="folder of a labeled dataset: in nnU-Net's raw layout (dataset.json, imagesTr, labelsTr), or with "
        "images/NAME.nii.gz and labels/NAME.nii.gz",
    )
    source.add_argument("-d", dest="dataset", metavar="ID_OR_NAME", help="or: a dataset in nnUNet_raw, by ID or name")
    parser.add_argument(
        "-o",
        "--output",
        required=True,
        metavar="ID_OR_NAME",
        help="[REQUIRED] ID (501) or name (Dataset501_Hippocampus) of the new dataset in nnUNet_raw",
    )
    parser.add_argument(
        "-n",
        "--labeled",
        type=int,
        required=True,
        metavar="N",
        help="[REQUIRED] number of cases that keep their labels: the first N training cases of the protocol",
    )
    parser.add_argument(
        "--protocol",
        type=Path,
        metavar="FILE",
        help="JSON file with two lists of case names, 'train' (in order) and 'test'. simulate.json in a dataset that "
        "this command made is one. Default: protocol.json in the source where there is one, else a random protocol",
    )
    parser.add_argument(
        "--test-fraction",
        type=float,
        metavar="F",
        help="make a random protocol with this share of the training cases for testing. Default: the source's own test "
        "set (imagesTs with labelsTs) where there is one, else 0.25",
    )
    parser.add_argument("--seed", type=int, default=12345, help="seed of the random protocol. Default: 12345")
    parser.add_argument(
        "--channel-name",
        metavar="NAME",
        help="what the images are, such as MRI or CT (nnU-Net chooses the normalisation by it). Needed for, and only "
        "for, a source without dataset.json",
    )
    parser.add_argument(
        "--labels",
        nargs="+",
        metavar="NAME",
        help="names of the labels 1, 2, ... of a source without dataset.json. Default: class_1, class_2, ... for the "
        "labels found in the labeled cases",
    )
    parser.add_argument("--link", action="store_true", help="make symbolic links to the source's files, not copies")
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="replace a dataset that this command made before, together with its preprocessed data",
    )


def run(arguments: argparse.Namespace) -> None:
    """Make the dataset and print what to do next."""
    from nnunetv2_dycon.datasets.names import existing_dataset_folder
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
    print(_report(folder, len(record["labeled"]), len(record["unlabeled"]), len(record["test"])))


def _report(folder: Path, labeled: int, unlabeled: int, test: int) -> str:
    """What was made, and the commands to run next."""
    from nnunetv2_dycon.datasets.names import dataset_id
    from nnunetv2_dycon.datasets.splits import NUMBER_OF_FOLDS

    dataset = dataset_id(folder.name)
    few = labeled < NUMBER_OF_FOLDS
    fold = "all" if few else "0"
    model = f"$nnUNet_results/{folder.name}/nnUNetTrainerDyCON__nnUNetPlans__3d_fullres"
    lines = [
        f"{folder}: {labeled} labeled, {unlabeled} unlabeled, {test} test cases.",
        "",
        "Next:",
        f"  nnUNetv2_plan_and_preprocess -d {dataset} -c 3d_fullres",
        f"  nnUNetv2_train {dataset} 3d_fullres {fold} -tr nnUNetTrainerDyCON",
    ]
    if test:
        lines += [
            f"  nnUNetv2_predict -d {dataset} -c 3d_fullres -f {fold} -tr nnUNetTrainerDyCON \\",
            f"      -i {folder / 'imagesTs'} -o PREDICTIONS",
            f"  nnUNetv2_evaluate_folder {folder / 'labelsTs'} PREDICTIONS \\",
            f"      -djfile {model}/dataset.json \\",
            f"      -pfile {model}/plans.json",
        ]
    lines += ["For plain nnU-Net on the same labels, leave -tr out.", ""]
    if few:
        lines.append(
            f"With {labeled} labeled case(s), nnU-Net cannot make its {NUMBER_OF_FOLDS} folds. Fold 'all' trains on "
            "all of them, so the scores logged while training are no validation: judge by the test cases."
        )
    else:
        lines.append(
            f"Fold 0 trains on about {100 - 100 // NUMBER_OF_FOLDS} % of the labeled cases and validates on the "
            "others; fold 'all' trains on all of them."
        )
    return "\n".join(lines)
