"""Plans for the demo's network, small enough for a CPU."""

from __future__ import annotations

import math
from pathlib import Path

from batchgenerators.utilities.file_and_folder_operations import load_json, save_json

FIRST_FEATURES, MOST_FEATURES, BATCH_SIZE = 16, 128, 2
# The demo trains for some hundred steps, in which nnU-Net learns the lesions late: the teacher is heard after that.
SETTINGS = {"warmup_fraction": 0.5}


def write_small_plans(preprocessed_dataset_folder: Path, configuration: str, identifier: str) -> None:
    """Write plans with a smaller patch and fewer feature channels beside nnU-Net's own ones.

    The depth of the network and the preprocessed data stay as nnU-Net planned them: with ``data_identifier`` unchanged
    nothing is preprocessed again. The patch shrinks by one cell of the network's coarsest stage per axis, which keeps
    it divisible by the strides. DyCON's warm-up is made longer.

    Args:
        preprocessed_dataset_folder: ``…/nnUNet_preprocessed/DatasetXXX_NAME`` with ``nnUNetPlans.json``.
        configuration: the configuration to change, such as ``3d_fullres``.
        identifier: name of the new plans, for the option ``-p`` of nnU-Net's commands.
    """
    plans = load_json(str(preprocessed_dataset_folder / "nnUNetPlans.json"))
    plans["plans_name"] = identifier
    settings = plans["configurations"][configuration]
    settings["batch_size"] = BATCH_SIZE
    settings["dycon"] = SETTINGS
    network = settings["architecture"]["arch_kwargs"]
    cell = [math.prod(strides) for strides in zip(*network["strides"], strict=True)]
    settings["patch_size"] = [max(size - step, step) for size, step in zip(settings["patch_size"], cell, strict=True)]
    network["features_per_stage"] = [
        min(FIRST_FEATURES * 2**stage, MOST_FEATURES) for stage in range(network["n_stages"])
    ]
    save_json(plans, str(preprocessed_dataset_folder / f"{identifier}.json"), sort_keys=False)
