"""A temporary nnU-Net workspace with generated scans, and trainers on it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from batchgenerators.utilities.file_and_folder_operations import load_json, save_json
from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
from tqdm import tqdm

from benchmarks.common.configuration import CONFIGURATION, DATASET_NAME, Configuration
from nnunetv2_dycon.demo.dataset import write_demo_dataset

PLANS_FILE = "nnUNetPlans.json"


def use_workspace(folder: Path) -> None:
    """Point nnU-Net's variables to a workspace, and let batches be made in this process.

    Args:
        folder: the workspace.
    """
    for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
        os.environ[name] = str(folder / name)
    os.environ["nnUNet_n_proc_DA"] = "0"


def write_workspace(
    folder: Path, configuration: Configuration, shape: tuple[int, int, int], scans: int, settings: dict[str, Any]
) -> None:
    """Generate scans and preprocess the labeled ones with nnU-Net; the unlabeled ones are left to the training.

    Args:
        folder: the workspace, an empty folder; nnU-Net's variables point to it afterwards.
        configuration: what to plan for.
        shape: typical size of a scan, in voxels.
        scans: how many labeled and how many unlabeled scans.
        settings: the settings of DyCON that differ from the defaults.
    """
    use_workspace(folder)
    raw, preprocessed = folder / "nnUNet_raw" / DATASET_NAME, folder / "nnUNet_preprocessed" / DATASET_NAME
    write_demo_dataset(raw, labeled=scans, unlabeled=scans, test=0, shape=shape, channels=configuration.channels)
    dataset_json = load_json(str(raw / "dataset.json"))
    plans = configuration.plans(settings)
    plans_manager = PlansManager(plans)
    configuration_manager = plans_manager.get_configuration(CONFIGURATION)
    cases = preprocessed / configuration_manager.data_identifier
    cases.mkdir(parents=True)
    for segmentation in tqdm(sorted((raw / "labelsTr").iterdir()), desc="Preprocessing labeled cases"):
        identifier = segmentation.name.removesuffix(dataset_json["file_ending"])
        images = sorted((raw / "imagesTr").glob(f"{identifier}_*"))
        DefaultPreprocessor(verbose=False).run_case_save(
            str(cases / identifier),
            [str(image) for image in images],
            str(segmentation),
            plans_manager,
            configuration_manager,
            dataset_json,
        )
    save_json(plans, str(preprocessed / PLANS_FILE), sort_keys=False)
    save_json(dataset_json, str(preprocessed / "dataset.json"), sort_keys=False)
    # nnU-Net copies it to the results; there is no planner here that would read it.
    save_json({}, str(preprocessed / "dataset_fingerprint.json"))


def make_trainer(trainer_class: type[nnUNetTrainer], folder: Path, device: torch.device) -> nnUNetTrainer:
    """Make a trainer as ``nnUNetv2_train`` does, on all labeled scans.

    Args:
        trainer_class: which one.
        folder: the workspace; nnU-Net's variables point to it afterwards.
        device: where it trains.

    Returns:
        The trainer, not initialized.
    """
    use_workspace(folder)
    preprocessed = folder / "nnUNet_preprocessed" / DATASET_NAME
    plans = {**load_json(str(preprocessed / PLANS_FILE)), "continue_training": False}
    return trainer_class(plans, CONFIGURATION, "all", load_json(str(preprocessed / "dataset.json")), device)
