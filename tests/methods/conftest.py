from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from tests.settings import WITH_FECL

if TYPE_CHECKING:
    from tests.conftest import Workspace


@pytest.fixture
def start(workspace: Workspace, make_trainer: Callable[..., nnUNetTrainer]) -> Callable[..., nnUNetTrainer]:
    """Start a training with settings of the method; DyCON's with both losses where they do not say."""

    def run(trainer_class: type[nnUNetTrainer], configuration: str = "3d_fullres", **settings: object) -> nnUNetTrainer:
        plans = workspace.read_plans()
        section = getattr(getattr(trainer_class, "method_class", None), "settings_section", "none")
        defaults = WITH_FECL if section.startswith("dycon") else {}
        plans["configurations"][configuration][section] = {**defaults, **settings}
        workspace.write_plans(plans, "nnUNetPlansCoTraining")
        trainer = make_trainer(trainer_class, "nnUNetPlansCoTraining", configuration)
        shutil.rmtree(trainer.output_folder_base, ignore_errors=True)
        Path(trainer.output_folder).mkdir(parents=True)
        trainer.on_train_start()
        trainer.on_train_epoch_start()
        return trainer

    return run
