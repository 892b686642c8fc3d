"""What makes the demo's trainings cheap: trainers with short epochs, and plans with a very small network.

The trainers are written as a user would write trainers of their own.
"""

from __future__ import annotations

import math
from pathlib import Path

from batchgenerators.utilities.file_and_folder_operations import load_json, save_json

PLAIN_TRAINER, DYCON_TRAINER = "nnUNetTrainerDemo", "nnUNetTrainerDyCONDemo"
FIRST_FEATURES, BATCH_SIZE = 8, 2

_HEADER = '''"""Trainers of the demo, found by nnU-Net through the environment variable nnUNet_extTrainer.

An own trainer on top of nnUNetTrainerDyCON is made the same way: a class in a file of your own.
"""

import random

import numpy as np
import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2_dycon.trainers import nnUNetTrainerDyCON
'''

_CLASS = '''

class {name}({base}):
    """{base} with few and short epochs, and a seed."""

    # nnU-Net reads the names of these arguments: a trainer keeps them.
    def __init__(self, plans: dict, configuration: str, fold: int, dataset_json: dict, device=torch.device("cuda")):
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.num_epochs = {epochs}
        self.num_iterations_per_epoch = {steps}
        self.num_val_iterations_per_epoch = {validation_steps}
        # The two train side by side: one core each. The result does not depend on the number of cores either.
        torch.set_num_threads(1)

    def initialize(self) -> None:
        """Begin with the same weights in every training of this seed; nnU-Net draws others each time."""
        random.seed({seed})
        np.random.seed({seed})
        torch.manual_seed({seed})
        super().initialize()

    def perform_actual_validation(self, save_probabilities: bool = False) -> None:
        """Skip the validation after training: fold all would predict the cases that were trained on."""
'''


def write_short_trainers(folder: Path, *, epochs: int, steps: int, validation_steps: int, seed: int) -> None:
    """Write ``demo_trainers.py`` with :data:`PLAIN_TRAINER` and :data:`DYCON_TRAINER` into a folder.

    nnU-Net takes 250 steps and 50 validation steps an epoch. The seed is that of weights, batches and augmentation.
    """
    text, lengths = _HEADER, {"epochs": epochs, "steps": steps, "validation_steps": validation_steps}
    for name, base in ((PLAIN_TRAINER, "nnUNetTrainer"), (DYCON_TRAINER, "nnUNetTrainerDyCON")):
        text += _CLASS.format(name=name, base=base, seed=seed, **lengths)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "demo_trainers.py").write_text(text, encoding="utf-8")


def write_small_plans(preprocessed_dataset_folder: Path, configuration: str, identifier: str) -> None:
    """Write plans with a smaller patch and a very small network beside nnU-Net's own ones.

    A step costs a few hundredths of a second on one core. Strides, kernels and the preprocessed data stay as nnU-Net
    planned them: with ``data_identifier`` unchanged nothing is preprocessed again. The patch shrinks by one cell of the
    network's coarsest stage per axis, which keeps it divisible by the strides. The coarsest stage is then left out, and
    every stage has one convolution. The identifier is for the option ``-p`` of nnU-Net's commands.
    """
    plans = load_json(str(preprocessed_dataset_folder / "nnUNetPlans.json"))
    plans["plans_name"] = identifier
    settings = plans["configurations"][configuration]
    settings["batch_size"] = BATCH_SIZE
    network = settings["architecture"]["arch_kwargs"]
    cell = [math.prod(strides) for strides in zip(*network["strides"], strict=True)]
    settings["patch_size"] = [max(size - step, step) for size, step in zip(settings["patch_size"], cell, strict=True)]
    stages = network["n_stages"] - 1
    network["n_stages"] = stages
    network["features_per_stage"] = [FIRST_FEATURES * 2**stage for stage in range(stages)]
    network["n_conv_per_stage"] = [1] * stages
    network["n_conv_per_stage_decoder"] = [1] * (stages - 1)
    for key in ("strides", "kernel_sizes"):
        network[key] = network[key][:stages]
    save_json(plans, str(preprocessed_dataset_folder / f"{identifier}.json"), sort_keys=False)
