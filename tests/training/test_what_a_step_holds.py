"""The unlabeled pass leaves nothing behind that the labeled pass would have to share the memory with."""

from __future__ import annotations

import weakref
from collections.abc import Callable

import pytest
from torch import Tensor

from nnunetv2_dycon.methods.dycon import DyCON, PastedTask
from nnunetv2_dycon.methods.method import Losses, Prediction
from nnunetv2_dycon.trainers import trainer_of
from nnunetv2_dycon.training.trainer import nnUNetTrainerSemiSupervised
from tests.conftest import Workspace
from tests.settings import FULL_WEIGHTS_AT_ONCE, WITH_FECL


class WatchingDyCON(DyCON):
    """Looks in the labeled pass at what is left of the tensors of the unlabeled one."""

    def unlabeled_losses(self, student: Prediction, task: PastedTask, progress: float) -> Losses:
        self.seen = {
            f"{name} {part}": weakref.ref(tensor)
            for name, prediction in (("student", student), ("teacher", task.teacher))
            for part, tensor in (
                ("logits", prediction.logits),
                ("features", prediction.features),
                ("embeddings", prediction.embeddings),
            )
        }
        losses = super().unlabeled_losses(student, task, progress)
        self.seen |= {f"loss {term}": weakref.ref(value) for term, value in losses.terms.items()}
        return losses

    def labeled_losses(self, student: Prediction, target: Tensor, progress: float) -> Losses:
        self.held = [name for name, reference in self.seen.items() if reference() is not None]
        return super().labeled_losses(student, target, progress)


@pytest.fixture
def trainer(
    workspace: Workspace, make_trainer: Callable[..., nnUNetTrainerSemiSupervised]
) -> nnUNetTrainerSemiSupervised:
    workspace.write_settings("nnUNetPlansStep", copy_paste_fraction=0.5, **WITH_FECL, **FULL_WEIGHTS_AT_ONCE)
    trainer = make_trainer(trainer_of(WatchingDyCON), "nnUNetPlansStep")
    trainer.on_train_start()
    trainer.on_train_epoch_start()
    return trainer


def test_nothing_of_the_unlabeled_pass_is_held_during_the_labeled_one(trainer: nnUNetTrainerSemiSupervised) -> None:
    trainer.train_step(next(trainer.dataloader_train))
    assert len(trainer.method.seen) == 8
    assert trainer.method.held == []
