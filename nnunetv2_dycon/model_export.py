"""Export of a model that a stock nnU-Net runs."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
from tqdm import tqdm

from nnunetv2_dycon.datasets.names import is_file_name
from nnunetv2_dycon.datasets.plans_schema import check_plans
from nnunetv2_dycon.datasets.schemas import check_dataset_json
from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.files import copy_files, refuse_existing_output, scratch_folder
from nnunetv2_dycon.json_files import read_json_file
from nnunetv2_dycon.training.checkpoints import STATE_KEY, read_checkpoint, without_training_state
from nnunetv2_dycon.training.earlier_training import refuse_folds_in_training
from nnunetv2_dycon.training.find_trainer import find_semi_supervised_trainer

STOCK_TRAINER = "nnUNetTrainer"


def export_model(
    model_folder: Path, output: Path, folds: Sequence[str], checkpoint_name: str = "checkpoint_final.pth"
) -> None:
    """Write a trained model for machines without this package.

    Weights and mirroring axes stay as they are; the trainer's name becomes nnU-Net's own, and the state of student,
    teacher and optimizer is left out. Predictions are identical.

    Args:
        model_folder: ``nnUNet_results/DatasetXXX_NAME/TRAINER__PLANS__CONFIGURATION``.
        output: a file that ends in ``.zip``, for ``nnUNetv2_install_pretrained_model_from_zip``, or a folder, for
            ``nnUNetv2_predict_from_modelfolder -m``. It must not be there yet.
        folds: the folds to export; all that have the checkpoint where empty.
        checkpoint_name: such as ``checkpoint_best.pth``.

    Raises:
        UserError: for a missing folder or fold, an output that is there, a checkpoint that is not whole, and a trainer
            with a network of its own.
    """
    refuse_existing_output(output)
    if not (model_folder / "plans.json").exists():
        raise UserError(f"{model_folder} is not a trained model: there is no plans.json. Check -d, -c, -p and -tr.")
    if unsafe := [name for name in (*folds, checkpoint_name) if not is_file_name(name)]:
        raise UserError(f"{unsafe[0]!r} names neither a fold nor a checkpoint of a fold: correct -f or -chk.")
    # What a stock nnU-Net reads first.
    plans_file, dataset_file = model_folder / "plans.json", model_folder / "dataset.json"
    check_plans(read_json_file(plans_file), str(plans_file))
    check_dataset_json(read_json_file(dataset_file), str(dataset_file))
    trainer, plans, configuration = model_folder.name.split("__")
    trainer_class = find_semi_supervised_trainer(trainer)
    if trainer_class.build_network_architecture is not nnUNetTrainer.build_network_architecture:
        raise UserError(f"{trainer} builds a network of its own, which a stock nnU-Net cannot build.")
    checkpoints = _find_checkpoints(model_folder, folds, checkpoint_name)
    output.parent.mkdir(parents=True, exist_ok=True)
    with scratch_folder(output) as scratch:
        root = scratch / "results"
        exported = root / model_folder.parent.name / f"{STOCK_TRAINER}__{plans}__{configuration}"
        exported.mkdir(parents=True)
        for name in ("plans.json", "dataset.json", "dataset_fingerprint.json"):
            _copy_if_there(model_folder / name, exported / name)
        for file in tqdm(checkpoints, desc="Exporting folds"):
            _export_fold(file, exported / file.parent.name)
        if output.suffix == ".zip":
            archive = shutil.make_archive(str(scratch / "model"), "zip", root)
            os.replace(archive, output)
        else:
            os.replace(exported, output)


def previous_stage_name(model_folder: Path) -> str | None:
    """The configuration whose predictions a model needs, such as ``3d_lowres``; None outside of cascades."""
    plans_manager = PlansManager(read_json_file(model_folder / "plans.json"))
    return plans_manager.get_configuration(model_folder.name.split("__")[-1]).previous_stage_name


def _find_checkpoints(model_folder: Path, folds: Sequence[str], checkpoint_name: str) -> list[Path]:
    if folds:
        files = [model_folder / f"fold_{fold}" / checkpoint_name for fold in folds]
        if missing := [str(file) for file in files if not file.is_file()]:
            raise UserError(f"{', '.join(missing)}: not there. Train these folds, or correct -f or -chk.")
        return files
    refuse_folds_in_training(sorted(model_folder.glob("fold_*")), checkpoint_name)
    files = sorted(model_folder.glob(f"fold_*/{checkpoint_name}"))
    if not files:
        raise UserError(f"No fold of {model_folder} has a {checkpoint_name}. Train to the end, or name one with -chk.")
    return files


def _export_fold(checkpoint_file: Path, folder: Path) -> None:
    remedy = "Name another checkpoint with -chk, or other folds with -f."
    checkpoint = read_checkpoint(checkpoint_file, "cpu", weights_only=True, remedy=remedy)
    if STATE_KEY not in checkpoint:
        raise UserError(f"{checkpoint_file} was not written by a semi-supervised trainer; nnU-Net exports it itself.")
    folder.mkdir()
    torch.save(without_training_state(checkpoint, STOCK_TRAINER), folder / checkpoint_file.name)
    origin = {"trainer": checkpoint["trainer_name"], "settings": checkpoint[STATE_KEY]["settings"]}
    (folder / "trained_with.json").write_text(json.dumps(origin, indent=1))
    # nnU-Net's own tools expect these two in a fold.
    for name in ("progress.png", "validation/summary.json"):
        _copy_if_there(checkpoint_file.parent / name, folder / name)


def _copy_if_there(file: Path, target: Path) -> None:
    if file.is_file():
        copy_files([(file, target)])
