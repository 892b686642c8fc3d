"""The share of unlabeled patches that are drawn around the teacher's foreground, in a training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from nnunetv2_dycon.methods.method import Prediction
from nnunetv2_dycon.trainers import nnUNetTrainerDyCON
from nnunetv2_dycon.training.checkpoints import STATE_KEY
from tests.settings import FULL_WEIGHTS_AT_ONCE

if TYPE_CHECKING:
    from tests.conftest import Workspace

Make = Callable[..., nnUNetTrainer]
SETTINGS = {**FULL_WEIGHTS_AT_ONCE, "fecl_weight": 0}
BRIGHT = 1.5


def bright_voxels_are_lesions(weak: torch.Tensor) -> Prediction:
    """A teacher that takes what is bright for class 2, and nothing for class 1."""
    return Prediction(torch.cat([torch.full_like(weak, BRIGHT), torch.full_like(weak, -9), weak], dim=1))


@pytest.mark.parametrize("configuration", ["3d_fullres", "2d"])
def test_voxels_that_the_teacher_takes_for_foreground_are_found_again_in_their_case(
    workspace: Workspace, make_trainer: Make, monkeypatch: pytest.MonkeyPatch, configuration: str
) -> None:
    workspace.write_settings("nnUNetPlansForeground", configuration, **SETTINGS, unlabeled_foreground_fraction=0.5)
    trainer = make_trainer(nnUNetTrainerDyCON, "nnUNetPlansForeground", configuration, num_epochs=1)
    trainer.num_iterations_per_epoch = 8
    trainer.initialize()
    monkeypatch.setattr(trainer.students.teacher, "predict", bright_voxels_are_lesions)
    trainer.run_training()
    cases = [trainer.class_locations.of_case(name) for name in trainer.unlabeled_data.identifiers]
    assert sum(len(case[1]) for case in cases) == 0
    assert sum(len(case[2]) for case in cases) > 2
    dataset = trainer.unlabeled_stream._augmenter.data_loader._data
    brightest = []
    for name, case in zip(trainer.unlabeled_data.identifiers, cases, strict=True):
        image = dataset.load_case(name)[0][:][0]
        for _, *voxel in case[2]:
            # Blocks have up to two voxels along each axis, and what lies between two voxels is interpolated.
            reach = [2, 2, 2] if configuration == "3d_fullres" else [0, 3, 3]
            around = [slice(max(0, index - by), index + by + 1) for index, by in zip(voxel, reach, strict=True)]
            brightest.append(image[tuple(around)].max())
    assert min(brightest) > BRIGHT
    log = trainer.logger.get_checkpoint()
    assert 0 < log["patches_with_foreground"][0] <= 1
    assert log["cases_with_foreground"][0] == np.mean([len(case[2]) > 0 for case in cases])


def test_what_is_known_survives_a_resume(workspace: Workspace, make_trainer: Make) -> None:
    workspace.write_settings("nnUNetPlansForeground", **SETTINGS)
    trainer = make_trainer(nnUNetTrainerDyCON, "nnUNetPlansForeground", num_epochs=1)
    trainer.run_training()
    # An untrained teacher sees foreground nearly everywhere.
    state = trainer.class_locations.state_dict()
    assert state
    file = Path(trainer.output_folder) / "checkpoint_final.pth"
    stored = torch.load(file, weights_only=False)[STATE_KEY]["class_locations"]
    assert stored.keys() == state.keys()
    resumed = make_trainer(nnUNetTrainerDyCON, "nnUNetPlansForeground")
    resumed.load_checkpoint(str(file))
    resumed.on_train_start()
    for name, voxels in resumed.class_locations.state_dict().items():
        assert torch.equal(voxels, state[name])


def test_with_0_batches_and_losses_are_those_without_the_setting(workspace: Workspace, make_trainer: Make) -> None:
    workspace.write_settings("nnUNetPlansUniform", **SETTINGS, unlabeled_foreground_fraction=0)
    trainer = make_trainer(nnUNetTrainerDyCON, "nnUNetPlansUniform", num_epochs=1)
    trainer.run_training()
    assert trainer.class_locations.state_dict() == {}
    assert next(trainer.unlabeled_stream).keys() == {"data", "keys", "uniform"}
    log = trainer.logger.get_checkpoint()
    assert np.isnan(log["cases_with_foreground"][0])
    assert log["patches_with_foreground"][0] > 0
