"""The unlabeled pass leaves nothing behind that the labeled pass would have to share the memory with."""

from __future__ import annotations

import weakref
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from nnunetv2_dycon.networks.network_output import NetworkOutput
from nnunetv2_dycon.trainers import nnUNetTrainerDyCON
from tests.conftest import Workspace


class Watching(nnUNetTrainerDyCON):
    """Looks in the labeled pass at what is left of the tensors of the unlabeled one."""

    def unlabeled_losses(self, student: NetworkOutput, teacher: NetworkOutput) -> dict[str, Tensor]:
        self.seen = {
            f"{name} {part}": weakref.ref(tensor)
            for name, output in (("student", student), ("teacher", teacher))
            for part, tensor in (("logits", output.logits), ("bottleneck", output.bottleneck))
        }
        losses = super().unlabeled_losses(student, teacher)
        self.seen |= {f"loss {term}": weakref.ref(value) for term, value in losses.items()}
        return losses

    def labeled_losses(self, student: NetworkOutput, target: Tensor) -> dict[str, Tensor]:
        self.held = [name for name, reference in self.seen.items() if reference() is not None]
        return super().labeled_losses(student, target)


@pytest.fixture
def trainer(workspace: Workspace, make_trainer: Callable[..., Watching]) -> Watching:
    workspace.write_settings("nnUNetPlansStep", warmup_fraction=0, rampup_fraction=0, copy_paste_fraction=0.5)
    trainer = make_trainer(Watching, "nnUNetPlansStep")
    trainer.on_train_start()
    trainer.on_train_epoch_start()
    return trainer


def test_nothing_of_the_unlabeled_pass_is_held_during_the_labeled_one(trainer: Watching) -> None:
    trainer.train_step(next(trainer.dataloader_train))
    assert len(trainer.seen) == 6
    assert trainer.held == []


@pytest.mark.parametrize("num_classes", [2, 5])
def test_the_foreground_fraction_is_that_of_the_most_probable_classes(trainer: Watching, num_classes: int) -> None:
    generator = torch.Generator().manual_seed(0)
    # Few different values, so that there are ties, of which background wins all that it takes part in.
    logits = torch.randint(0, 3, (2, num_classes, 6, 5, 4), generator=generator).float()
    expected = (logits.argmax(1) > 0).float().mean()
    assert trainer._foreground_fraction(logits.softmax(1)) == expected
