"""nnUNetTrainerDyCON with nnU-Net's own list of training lengths."""

from __future__ import annotations

import torch

from nnunetv2_dycon.training.nnUNetTrainer.nnUNetTrainerDyCON import nnUNetTrainerDyCON


def _with_epochs(num_epochs: int) -> type[nnUNetTrainerDyCON]:
    class Trainer(nnUNetTrainerDyCON):
        def __init__(
            self,
            plans: dict,
            configuration: str,
            fold: int,
            dataset_json: dict,
            device: torch.device = torch.device("cuda"),  # noqa: B008 (nnU-Net reads this signature)
        ) -> None:
            super().__init__(plans, configuration, fold, dataset_json, device)
            self.num_epochs = num_epochs

    Trainer.__name__ = Trainer.__qualname__ = f"nnUNetTrainerDyCON_{num_epochs}epoch{'s' if num_epochs > 1 else ''}"
    Trainer.__doc__ = f"nnUNetTrainerDyCON, {num_epochs} epochs long."
    return Trainer


nnUNetTrainerDyCON_1epoch = _with_epochs(1)
nnUNetTrainerDyCON_5epochs = _with_epochs(5)
nnUNetTrainerDyCON_10epochs = _with_epochs(10)
nnUNetTrainerDyCON_20epochs = _with_epochs(20)
nnUNetTrainerDyCON_50epochs = _with_epochs(50)
nnUNetTrainerDyCON_100epochs = _with_epochs(100)
nnUNetTrainerDyCON_250epochs = _with_epochs(250)
nnUNetTrainerDyCON_500epochs = _with_epochs(500)
nnUNetTrainerDyCON_750epochs = _with_epochs(750)
nnUNetTrainerDyCON_2000epochs = _with_epochs(2000)
nnUNetTrainerDyCON_4000epochs = _with_epochs(4000)
nnUNetTrainerDyCON_8000epochs = _with_epochs(8000)

__all__ = [name for name in dir() if name.startswith("nnUNetTrainerDyCON_")]
