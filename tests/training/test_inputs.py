"""What a trainer checks of folders and cases, beside the rows of tests/bad_input."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from nnunetv2.run.load_pretrained_weights import load_pretrained_weights
from nnunetv2.run.run_training import get_trainer_from_args
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.trainers import nnUNetTrainerDyCON
from tests.conftest import Workspace


@pytest.mark.parametrize("goes_on", [True, False])
def test_plans_of_results_that_were_cut_short_are_written_anew(
    goes_on: bool, make_trainer: Callable[..., nnUNetTrainer]
) -> None:
    trainer = make_trainer(nnUNetTrainerDyCON)
    if goes_on:
        trainer.initialize()
        trainer.save_checkpoint(str(Path(trainer.output_folder) / "checkpoint_latest.pth"))
    plans_file = Path(trainer.output_folder_base) / "plans.json"
    plans_file.write_text('{"configurations": {')
    trainer = make_trainer(nnUNetTrainerDyCON, continue_training=goes_on)
    if goes_on:
        trainer.load_checkpoint(str(Path(trainer.output_folder) / "checkpoint_latest.pth"))
    trainer.on_train_start()
    trainer.unlabeled_stream.close()
    assert json.loads(plans_file.read_text())["plans_name"] == "nnUNetPlansSmall"


def test_folds_are_checked_for_a_training_without_unlabeled_scans_too(
    workspace: Workspace, make_trainer: Callable[..., nnUNetTrainer]
) -> None:
    workspace.write_settings("nnUNetPlansOff", uncl_weight=0, fecl_weight=0)
    workspace.write_splits({"train": ["demo_000"], "val": ["demo_004"], "unlabeled": ["demo_001"]})
    with pytest.raises(UserError, match="puts the labels of 1 cases off limits"):
        make_trainer(nnUNetTrainerDyCON, "nnUNetPlansOff", fold="all").on_train_start()


def test_the_frames_of_nnunet_that_messages_are_made_from_have_these_names() -> None:
    names = inspect.signature(get_trainer_from_args).parameters
    assert {"trainer_name", "dataset_name_or_id", "plans_identifier", "configuration"} <= names.keys()
    assert get_trainer_from_args.__module__ == "nnunetv2.run.run_training"
    assert "fname" in inspect.signature(load_pretrained_weights).parameters
