"""Trainers with short epochs, written as a user would write trainers of their own."""

from __future__ import annotations

from pathlib import Path

PLAIN_TRAINER, DYCON_TRAINER = "nnUNetTrainerDemo", "nnUNetTrainerDyCONDemo"

_HEADER = '''"""Trainers of the demo, found by nnU-Net through the environment variable nnUNet_extTrainer.

An own trainer on top of nnUNetTrainerDyCON is made the same way: a class in a file of your own.
"""

import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2_dycon.training.nnUNetTrainer.nnUNetTrainerDyCON import nnUNetTrainerDyCON
'''

_CLASS = '''

class {name}({base}):
    """{base} with few and short epochs."""

    # nnU-Net reads the names of these arguments: a trainer keeps them.
    def __init__(self, plans: dict, configuration: str, fold: int, dataset_json: dict, device=torch.device("cuda")):
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.num_epochs = {epochs}
        self.num_iterations_per_epoch = {steps}
        self.num_val_iterations_per_epoch = {validation_steps}

    def perform_actual_validation(self, save_probabilities: bool = False) -> None:
        """Skip the validation after training: fold all would predict the cases that were trained on."""
'''


def write_short_trainers(folder: Path, *, epochs: int, steps: int, validation_steps: int) -> None:
    """Write ``demo_trainers.py`` with :data:`PLAIN_TRAINER` and :data:`DYCON_TRAINER`.

    Args:
        folder: folder to write into; name it in ``nnUNet_extTrainer``.
        epochs: number of epochs.
        steps: training steps an epoch (nnU-Net: 250).
        validation_steps: validation steps an epoch (nnU-Net: 50).
    """
    lengths = {"epochs": epochs, "steps": steps, "validation_steps": validation_steps}
    classes = [
        _CLASS.format(name=name, base=base, **lengths)
        for name, base in ((PLAIN_TRAINER, "nnUNetTrainer"), (DYCON_TRAINER, "nnUNetTrainerDyCON"))
    ]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "demo_trainers.py").write_text("".join([_HEADER, *classes]), encoding="utf-8")
