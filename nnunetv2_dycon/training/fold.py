"""The cases of a fold, as nnU-Net's trainer finds them."""

from __future__ import annotations

from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer


class nnUNetTrainerOfOneFold(nnUNetTrainer):
    """nnUNetTrainer that reads its fold once, though several ask for it, so that its log says once what is in it."""

    _split: tuple[list[str], list[str]] | None = None

    def do_split(self) -> tuple[list[str], list[str]]:
        """Training and validation cases. See nnUNetTrainer.do_split."""
        if self._split is None:
            self._split = super().do_split()
        train, val = self._split
        return list(train), list(val)
