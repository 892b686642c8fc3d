"""What a self-training is asked to do."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SelfTrainingOptions:
    """The options of ``nnunetv2_dycon self-train``.

    Attributes:
        dataset: ID or name of the dataset with ``imagesUnlabeled``.
        output: ID or name of the dataset to make.
        configuration: such as ``3d_fullres``.
        fold: ``0``, ``1``, … or ``all``.
        trainer: trainer of the first model.
        second_trainer: trainer of the second model; None: that of the first.
        plans: plans identifier of both.
        device: ``cuda``, ``cpu`` or ``mps``, as nnU-Net takes it.
        disable_tta: predict without mirroring.
        copy: copy images and labels instead of linking them.
        num_processes: processes for fingerprint, preprocessing and prediction; None: nnU-Net's own choice.
    """

    dataset: str
    output: str
    configuration: str = "3d_fullres"
    fold: str = "0"
    trainer: str = "nnUNetTrainer"
    second_trainer: str | None = None
    plans: str = "nnUNetPlans"
    device: str = "cuda"
    disable_tta: bool = False
    copy: bool = False
    num_processes: int | None = None

    @property
    def last_trainer(self) -> str:
        """The trainer of the second model."""
        return self.second_trainer or self.trainer
