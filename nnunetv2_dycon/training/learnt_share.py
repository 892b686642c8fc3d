"""How much of the labels a training has learnt, which the weight of the teacher's word depends on."""

from __future__ import annotations

from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from nnunetv2_dycon.methods.method import Method
from nnunetv2_dycon.methods.settings import MethodSettings

# nnU-Net's loss is cross-entropy minus Dice: about 0 where no structure is found, -1 at best.
_LOSS_AT_FULL_SHARE = -0.5


def learnt_share(trainer: nnUNetTrainer, settings: MethodSettings) -> float:
    """How much of the labels a training has learnt, in [0, 1], as a factor on the unsupervised weights.

    A teacher that has not found a structure yet confirms that there is none, and a student that is held to it never
    finds it. So the unsupervised weights are 0 while nnU-Net's loss of the last epoch is above 0, grow as it falls, and
    have their full values from -0.5 on. 1 where they do not wait, and where a method has another supervised loss.
    """
    if not settings.wait_for_labels or trainer.method.least_supervised_loss != Method.least_supervised_loss:
        return 1.0
    losses = trainer.logger.get_value("train_losses", step=None)
    return min(max(float(losses[-1]) / _LOSS_AT_FULL_SHARE, 0.0), 1.0) if losses else 0.0
