"""Steps of self-training: the trainings."""

from __future__ import annotations

import os
from pathlib import Path

from nnunetv2_dycon.self_training.check_self_training import is_trained
from nnunetv2_dycon.self_training.options import SelfTrainingOptions
from nnunetv2_dycon.utilities.nnunet_command import run_nnunet_command


def train_model(dataset_name: str, trainer: str, fold_folder: Path, options: SelfTrainingOptions) -> None:
    """Train with nnUNetv2_train, go on with a training that was interrupted, or leave a trained model as it is.

    Args:
        dataset_name: ``DatasetXXX_NAME``.
        trainer: name of the trainer.
        fold_folder: where the training writes.
        options: what is asked for.

    Raises:
        UserError: when the command fails.
    """
    arguments = [dataset_name, options.configuration, options.fold, "-tr", trainer, "-p", options.plans]
    arguments += ["-device", options.device]
    if is_trained(fold_folder):
        if (fold_folder / "validation" / "summary.json").is_file():
            print(f"{fold_folder} is trained.")
            return
        arguments.append("--val")
    elif any((fold_folder / f"checkpoint_{name}.pth").is_file() for name in ("latest", "best")):
        arguments.append("--c")
    run_nnunet_command("nnUNetv2_train", *arguments, environment=os.environ)
