"""Predicting the test cases with a final checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.label_handling.label_handling import determine_num_input_channels
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from benchmarks.label_efficiency.reduced_plans import CONFIGURATION


def predict(
    trainer_class: type[nnUNetTrainer],
    checkpoint_file: Path,
    plans: dict[str, Any],
    dataset_json: dict[str, Any],
    images: Path,
    output: Path,
    *,
    device: torch.device,
    bfloat16: bool,
    mirroring: bool = True,
) -> None:
    """Predict a folder of images as nnUNetv2_predict does, in this process.

    Args:
        trainer_class: builds the network.
        checkpoint_file: holds its weights.
        plans: the plans it was trained with.
        dataset_json: the dataset's dataset.json.
        images: folder of ``CASE_0000`` files.
        output: folder for the segmentations; what an earlier attempt left there is written again.
        device: where.
        bfloat16: compute on the CPU in bfloat16, as nnU-Net does in float16 on a GPU.
        mirroring: at test time, nnU-Net's default.
    """
    plans_manager = PlansManager(plans)
    configuration = plans_manager.get_configuration(CONFIGURATION)
    checkpoint = torch.load(checkpoint_file, map_location="cpu", weights_only=False)
    heads = plans_manager.get_label_manager(dataset_json).num_segmentation_heads
    channels = determine_num_input_channels(plans_manager, configuration, dataset_json)
    network = trainer_class.build_network_architecture(plans_manager, configuration, channels, heads, False)
    predictor = nnUNetPredictor(
        use_mirroring=mirroring,
        perform_everything_on_device=device.type == "cuda",
        device=device,
        allow_tqdm=False,
    )
    predictor.manual_initialization(
        network.to(device),
        plans_manager,
        configuration,
        [checkpoint["network_weights"]],
        dataset_json,
        trainer_class.__name__,
        checkpoint["inference_allowed_mirroring_axes"],
    )
    output.mkdir(parents=True, exist_ok=True)
    with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
        predictor.predict_from_files_sequential(str(images), str(output))
