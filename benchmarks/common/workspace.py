"""A temporary nnU-Net workspace: plans as nnU-Net's planner could have made them, generated scans, trainers."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from batchgenerators.utilities.file_and_folder_operations import load_json, save_json
from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
from tqdm import tqdm

from nnunetv2_dycon.demo.dataset import write_demo_dataset
from nnunetv2_dycon.files import copy_files

DATASET_NAME = "Dataset999_Benchmark"
CONFIGURATION = "3d_fullres"
PLANS_FILE = "nnUNetPlans.json"


@dataclass(frozen=True)
class Configuration:
    """A 3D configuration of nnU-Net: PlainConvUNet, kernel 3, stride 2 after the first stage, two convolutions a stage.

    Attributes:
        patch_size: of the network's input, in voxels.
        features: channels of each stage.
        batch_size: patches of a batch.
        channels: of the images.
        spacing: of the preprocessed scans, in mm.
        batch_dice: one Dice over a batch; nnU-Net's choice where a patch is a small part of a scan.
    """

    patch_size: tuple[int, int, int]
    features: tuple[int, ...]
    batch_size: int = 2
    channels: int = 1
    spacing: tuple[float, float, float] = (1.2, 1.0, 1.0)
    batch_dice: bool = False

    def plans(self, settings: dict[str, Any]) -> dict[str, Any]:
        """Plans for nnU-Net.

        Args:
            settings: the settings of DyCON that differ from the defaults.

        Returns:
            The content of a plans file.
        """
        stages = len(self.features)
        resampling = {"order_z": 0, "force_separate_z": None}
        architecture = {
            "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
            "arch_kwargs": {
                "n_stages": stages,
                "features_per_stage": list(self.features),
                "conv_op": "torch.nn.modules.conv.Conv3d",
                "kernel_sizes": [[3, 3, 3]] * stages,
                "strides": [[1, 1, 1]] + [[2, 2, 2]] * (stages - 1),
                "n_conv_per_stage": [2] * stages,
                "n_conv_per_stage_decoder": [2] * (stages - 1),
                "conv_bias": True,
                "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
                "norm_op_kwargs": {"eps": 1e-05, "affine": True},
                "dropout_op": None,
                "dropout_op_kwargs": None,
                "nonlin": "torch.nn.LeakyReLU",
                "nonlin_kwargs": {"inplace": True},
            },
            "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
        }
        configuration = {
            "data_identifier": f"nnUNetPlans_{CONFIGURATION}",
            "preprocessor_name": "DefaultPreprocessor",
            "batch_size": self.batch_size,
            "patch_size": list(self.patch_size),
            "spacing": list(self.spacing),
            "normalization_schemes": ["ZScoreNormalization"] * self.channels,
            "use_mask_for_norm": [False] * self.channels,
            "resampling_fn_data": "resample_data_or_seg_to_shape",
            "resampling_fn_data_kwargs": {"is_seg": False, "order": 3, **resampling},
            "resampling_fn_seg": "resample_data_or_seg_to_shape",
            "resampling_fn_seg_kwargs": {"is_seg": True, "order": 1, **resampling},
            "resampling_fn_probabilities": "resample_data_or_seg_to_shape",
            "resampling_fn_probabilities_kwargs": {"is_seg": False, "order": 1, **resampling},
            "architecture": architecture,
            "batch_dice": self.batch_dice,
            "dycon": settings,
        }
        return {
            "dataset_name": DATASET_NAME,
            "plans_name": "nnUNetPlans",
            "image_reader_writer": "SimpleITKIO",
            "transpose_forward": [0, 1, 2],
            "transpose_backward": [0, 1, 2],
            "configurations": {CONFIGURATION: configuration},
            "label_manager": "LabelManager",
            # Z-score normalization reads none of them.
            "foreground_intensity_properties_per_channel": {str(channel): {} for channel in range(self.channels)},
        }


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
    raw = folder / "nnUNet_raw" / DATASET_NAME
    write_demo_dataset(raw, labeled=scans, unlabeled=scans, test=0, shape=shape, channels=configuration.channels)
    preprocess_workspace(folder, configuration, settings)


def preprocess_workspace(folder: Path, configuration: Configuration, settings: dict[str, Any]) -> None:
    """Write the plans of a raw dataset and preprocess its labeled scans with nnU-Net.

    Args:
        folder: the workspace, with the raw dataset; nnU-Net's variables point to it.
        configuration: what to plan for.
        settings: the settings of DyCON that differ from the defaults.
    """
    raw, preprocessed = folder / "nnUNet_raw" / DATASET_NAME, folder / "nnUNet_preprocessed" / DATASET_NAME
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
        copy_files([(segmentation, preprocessed / "gt_segmentations" / segmentation.name)])
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
