"""A cascade on the tiny dataset, with a low-resolution model that was trained for a step."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from nnunetv2_dycon.datasets.planned_dataset import read_planned_dataset
from nnunetv2_dycon.trainers import nnUNetTrainerDyCON
from nnunetv2_dycon.training.checkpoints import FINAL_CHECKPOINT, STATE_KEY, TRAINING_CASES_KEY
from tests.settings import FULL_WEIGHTS_AT_ONCE

if TYPE_CHECKING:
    from tests.conftest import Workspace

PLANS = "nnUNetPlansCascade"
LOW_RESOLUTION = "3d_lowres"
CASCADE = "3d_cascade_fullres"


def write_cascade_plans(workspace: Workspace, plans: dict, identifier: str = PLANS) -> None:
    """Write plans with a cascade as nnU-Net's planner makes them for larger images, here at half the resolution."""
    full = plans["configurations"]["3d_fullres"]
    plans["configurations"][LOW_RESOLUTION] = {
        "inherits_from": "3d_fullres",
        "data_identifier": f"{PLANS}_{LOW_RESOLUTION}",
        "spacing": [2 * spacing for spacing in full["spacing"]],
        "patch_size": [8, 12, 12],
        "next_stage": CASCADE,
    }
    plans["configurations"][CASCADE] = {"inherits_from": "3d_fullres", "previous_stage": LOW_RESOLUTION}
    workspace.write_plans(plans, identifier)


def preprocess_labeled(workspace: Workspace, configuration_name: str) -> None:
    """What nnUNetv2_preprocess does, without its processes."""
    dataset = read_planned_dataset(workspace.raw.name, PLANS)
    configuration = dataset.configuration(configuration_name)
    folder = workspace.preprocessed / configuration.data_identifier
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for label in sorted((workspace.raw / "labelsTr").glob("*.nii.gz")):
        case = label.name.removesuffix(".nii.gz")
        configuration.preprocessor_class(verbose=False).run_case_save(
            str(folder / case),
            [str(workspace.raw / "imagesTr" / f"{case}_0000.nii.gz")],
            str(label),
            dataset.plans_manager,
            configuration,
            dataset.dataset_json,
        )


def train_briefly(trainer: nnUNetTrainer) -> None:
    """An epoch of one step."""
    trainer.num_epochs = trainer.num_iterations_per_epoch = trainer.num_val_iterations_per_epoch = 1
    trainer.run_training()


def copy_model(workspace: Workspace, trainer_name: str) -> None:
    """Give the low-resolution model to another trainer."""
    model = f"nnUNetTrainerDyCON__{PLANS}__{LOW_RESOLUTION}"
    shutil.copytree(workspace.results / model, workspace.results / model.replace("nnUNetTrainerDyCON", trainer_name))


def note_training_cases(fold: Path, cases: list[str] | None) -> None:
    """Have the last checkpoint in a folder say that it has learnt from the labels of these cases."""
    file = fold / FINAL_CHECKPOINT
    checkpoint = torch.load(file, weights_only=False)
    checkpoint[STATE_KEY][TRAINING_CASES_KEY] = cases
    torch.save(checkpoint, file)


@pytest.fixture(scope="session")
def trained_low_resolution(_planned_workspace: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders to copy into a workspace: the plans, preprocessed labeled cases, and the model of folds all and 0.

    Both folds have the same weights, trained on all labeled cases, whose predictions for the next stage are there. Of
    fold 0 it is not known which cases it was trained on.
    """
    workspace = replace(_planned_workspace, root=tmp_path_factory.mktemp("cascade"))
    shutil.copytree(_planned_workspace.root, workspace.root, dirs_exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
            patch.setenv(name, workspace.environment[name])
        plans = workspace.read_plans()
        plans["configurations"]["3d_fullres"]["dycon"] = {**FULL_WEIGHTS_AT_ONCE, "copy_paste_fraction": 0.5}
        write_cascade_plans(workspace, plans)
        preprocess_labeled(workspace, LOW_RESOLUTION)
        np.random.seed(0)  # noqa: NPY002 (nnU-Net's loaders draw from it)
        torch.manual_seed(0)
        trainer = nnUNetTrainerDyCON(
            {**workspace.read_plans(PLANS), "continue_training": False},
            LOW_RESOLUTION,
            "all",
            workspace.read_dataset_json(),
            torch.device("cpu"),
        )
        train_briefly(trainer)
        trainer.perform_actual_validation()
    fold = Path(trainer.output_folder)
    shutil.copytree(fold, fold.with_name("fold_0"))
    note_training_cases(fold.with_name("fold_0"), None)
    for note in fold.parent.glob("predicted_next_stage/*/*.json"):
        note.unlink()
    for folder in ("nnUNet_raw", "trainers"):
        shutil.rmtree(workspace.root / folder)
    shutil.rmtree(workspace.preprocessed / "nnUNetPlans_3d_fullres")
    return workspace.root
