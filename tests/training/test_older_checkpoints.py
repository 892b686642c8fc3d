"""Trainings that an earlier release began go on, step for step as they would have there.

``version_0_1_0`` holds results folders that release 0.1.0 wrote: two epochs of tiny networks. What its next two steps
were on the batch below was noted with that release.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from nnunetv2_dycon import trainers
from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.training.checkpoints import STATE_KEY
from nnunetv2_dycon.training.trainer import nnUNetTrainerSemiSupervised
from tests.conftest import Workspace
from tests.settings import LABELED_BOXES, WITH_FECL

FOLDER = Path(__file__).parent / "version_0_1_0"
CONFIGURATION = "nnUNetPlansOld__3d_fullres"
# Supervised loss, UnCL and FeCL of the next two steps.
NEXT_STEPS = {
    "nnUNetTrainerDyCON": [
        (0.8587557077407837, 0.35828471183776855, 5.37149715423584),
        (0.8561898469924927, 0.35441944003105164, 1.628225564956665),
    ],
    "nnUNetTrainerDyCONCoTraining": [
        (0.8587306141853333, 0.38612309098243713, 4.889976501464844),
        (0.8561166524887085, 0.38312825560569763, 1.756614089012146),
    ],
}


@pytest.fixture(params=list(NEXT_STEPS))
def results(request: pytest.FixtureRequest, workspace: Workspace) -> Path:
    """The results folder of the earlier release, where nnU-Net looks for it.

    The plans are the dataset's too, and say what that release did where a setting that is new would not by default.
    """
    folder = workspace.results / f"{request.param}__{CONFIGURATION}"
    shutil.copytree(FOLDER / folder.name, folder)
    plans = json.loads((folder / "plans.json").read_text())
    section = getattr(trainers, request.param).method_class.settings_section
    settings = plans["configurations"]["3d_fullres"].setdefault(section, {})
    settings |= {"unlabeled_foreground_fraction": 0, "wait_for_labels": False, **WITH_FECL, **LABELED_BOXES}
    workspace.write_plans(plans, "nnUNetPlansOld")
    return folder


def resume(results: Path, make_trainer: Callable[..., nnUNetTrainer]) -> nnUNetTrainerSemiSupervised:
    trainer = make_trainer(getattr(trainers, results.name.split("__")[0]), "nnUNetPlansOld", num_epochs=4)
    trainer.load_checkpoint(str(results / "fold_0" / "checkpoint_latest.pth"))
    return trainer


def test_the_next_steps_are_those_of_the_earlier_release(
    results: Path, make_trainer: Callable[..., nnUNetTrainer]
) -> None:
    trainer = resume(results, make_trainer)
    trainer.network.train()
    generator = torch.Generator().manual_seed(0)
    data = torch.randn(2, 1, 16, 24, 16, generator=generator)
    target = torch.randint(3, (2, 1, 16, 24, 16), generator=generator).to(torch.int16)
    views = torch.randn(2, 2, 16, 24, 16, generator=generator)
    trainer.unlabeled_stream = iter([{"data": views}] * 2)
    torch.manual_seed(0)
    for supervised, uncl, fecl in NEXT_STEPS[type(trainer).__name__]:
        result = trainer.train_step({"data": data, "target": [target, target[:, :, ::2, ::2, ::2]]})
        means = trainer.statistics.pop_means()
        found = (result["loss"].item(), means["uncl_loss"], means["fecl_loss"])
        assert found == pytest.approx((supervised, uncl, fecl), rel=1e-3)


def test_the_training_goes_on_to_its_end(results: Path, make_trainer: Callable[..., nnUNetTrainer]) -> None:
    trainer = resume(results, make_trainer)
    assert trainer.current_epoch == 2
    trainer.run_training()
    checkpoint = torch.load(results / "fold_0" / "checkpoint_final.pth", weights_only=False)
    assert len(checkpoint["logging"]["uncl_loss"]) == 4


def test_a_setting_that_the_earlier_release_did_not_have_is_no_obstacle(
    results: Path, workspace: Workspace, make_trainer: Callable[..., nnUNetTrainer]
) -> None:
    file = results / "fold_0" / "checkpoint_latest.pth"
    checkpoint = torch.load(file, weights_only=False)
    del checkpoint[STATE_KEY]["settings"]["copy_paste_fraction"]
    torch.save(checkpoint, file)
    assert resume(results, make_trainer).current_epoch == 2
    plans = workspace.read_plans("nnUNetPlansOld")
    section = "dycon_co_training" if "CoTraining" in results.name else "dycon"
    plans["configurations"]["3d_fullres"][section]["copy_paste_fraction"] = 0.5
    workspace.write_plans(plans, "nnUNetPlansOld")
    with pytest.raises(UserError, match=r"copy_paste_fraction: 0.75 there, which 0.1.0 did without this setting, 0.5"):
        resume(results, make_trainer)
