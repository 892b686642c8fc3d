"""What to do with a dataset of few labels that a command has made."""

from __future__ import annotations

import shlex
from pathlib import Path

from nnunetv2_dycon.datasets.names import dataset_id
from nnunetv2_dycon.datasets.splits import NUMBER_OF_FOLDS
from nnunetv2_dycon.exceptions import counted
from nnunetv2_dycon.nnunet_command import device_option


def print_next_steps(folder: Path, labeled: int, test: int) -> None:
    """Print the commands that follow.

    Args:
        folder: of the dataset.
        labeled: number of labeled cases.
        test: number of test cases.
    """
    dataset, few = dataset_id(folder.name), labeled < NUMBER_OF_FOLDS
    fold = "all" if few else "0"
    print("\nNext:")
    print(f"  nnUNetv2_plan_and_preprocess -d {dataset} -c 3d_fullres")
    print(f"  nnUNetv2_train {dataset} 3d_fullres {fold} -tr nnUNetTrainerDyCON{device_option()}")
    if test:
        model = f"$nnUNet_results/{folder.name}/nnUNetTrainerDyCON__nnUNetPlans__3d_fullres"
        print(f"  nnUNetv2_predict -d {dataset} -c 3d_fullres -f {fold} -tr nnUNetTrainerDyCON{device_option()} \\")
        print(f"      -i {shlex.quote(str(folder / 'imagesTs'))} -o PREDICTIONS")
        print(f"  nnUNetv2_evaluate_folder {shlex.quote(str(folder / 'labelsTs'))} PREDICTIONS \\")
        print(f'      -djfile "{model}/dataset.json" \\\n      -pfile "{model}/plans.json"')
    print("For plain nnU-Net on the same labels, leave -tr out.\n")
    if few:
        print(
            f"With {counted(labeled, 'labeled case')}, nnU-Net cannot make its {NUMBER_OF_FOLDS} folds. Fold "
            "'all' trains on all of them, so the scores logged while training are no validation: judge by the test "
            "cases."
        )
    else:
        print(
            f"Fold 0 trains on about {100 - 100 // NUMBER_OF_FOLDS} % of the labeled cases and validates on the "
            "others; fold 'all' trains on all of them."
        )
