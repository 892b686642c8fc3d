"""How much of the labels a training has learnt, which the weight of the teacher's word depends on."""

from __future__ import annotations

import math

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

    Epochs whose mean loss is not finite are passed over: a single step can make it so, and tells nothing of the labels.
    """
    if not settings.wait_for_labels or trainer.method.least_supervised_loss != Method.least_supervised_loss:
        return 1.0
    losses = trainer.logger.get_value("train_losses", step=None)
    last = next((float(loss) for loss in reversed(losses) if math.isfinite(loss)), 0.0)
    return min(max(last / _LOSS_AT_FULL_SHARE, 0.0), 1.0)


def why_not_yet(trainer: nnUNetTrainer, settings: MethodSettings) -> str | None:
    """Why the unsupervised losses had no weight in the epoch that has just ended, for the log; None where they had.

    None also where none of them ever counts.
    """
    if not trainer.needs_unlabeled_data:
        return None
    ramp = trainer.logger.get_value("ramp", step=None)[-1]
    if math.isnan(ramp) or ramp > 0:
        return None
    if trainer.current_epoch < settings.warmup_fraction * trainer.num_epochs:
        first = math.ceil(settings.warmup_fraction * trainer.num_epochs)
        return f"The unsupervised losses have no weight before epoch {first} (warmup_fraction)."
    return (
        "The unsupervised losses have no weight yet: they wait until nnU-Net's training loss of the epoch before is "
        "below 0 (wait_for_labels)."
    )
