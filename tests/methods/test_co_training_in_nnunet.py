"""Two students through what users of nnU-Net do."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from batchgenerators.utilities.file_and_folder_operations import load_pickle, write_pickle
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

from nnunetv2_dycon.trainers import nnUNetTrainerCoTraining, nnUNetTrainerDyCONCoTraining
from tests.methods.two_students import (
    MakeTrainer,
    Start,
    TrainerClass,
    assert_equal,
    each_method,
    fix_batches,
    seed,
    take_steps,
)
from tests.settings import FULL_WEIGHTS_AT_ONCE

if TYPE_CHECKING:
    from tests.conftest import Workspace


@each_method
def test_training_goes_on_as_if_never_stopped(
    start: Start, make_trainer: MakeTrainer, trainer_class: TrainerClass, tmp_path: Path
) -> None:
    trainer = start(trainer_class, **FULL_WEIGHTS_AT_ONCE)
    take_steps(trainer, 2)
    trainer.save_checkpoint(str(tmp_path / "checkpoint.pth"))
    resumed = make_trainer(trainer_class, "nnUNetPlansCoTraining", seed=9)
    resumed.load_checkpoint(str(tmp_path / "checkpoint.pth"))
    resumed.current_epoch = trainer.current_epoch
    resumed.steps_in_epoch = trainer.steps_in_epoch
    labeled, unlabeled = fix_batches(trainer)
    resumed.unlabeled_stream = iter(lambda: unlabeled, None)
    resumed.network.train()
    for one in (trainer, resumed):
        seed(1)
        one.train_step(copy.deepcopy(labeled))
    assert_equal(resumed.network.state_dict(), trainer.network.state_dict())
    assert_equal(resumed.students.auxiliary.state_dict(), trainer.students.auxiliary.state_dict())
    assert_equal(resumed.students.average.state_dict(), trainer.students.average.state_dict())


@pytest.mark.parametrize("deployed", ["teacher", "student"])
def test_two_epochs_and_a_checkpoint_that_nnunet_predicts_with(
    workspace: Workspace, make_trainer: MakeTrainer, deployed: str
) -> None:
    trainer_class = {"teacher": nnUNetTrainerCoTraining, "student": nnUNetTrainerDyCONCoTraining}[deployed]
    plans = workspace.read_plans()
    settings = {"warmup_fraction": 0.5, "wait_for_labels": False, "deployed_network": deployed}
    if trainer_class is nnUNetTrainerDyCONCoTraining:
        settings["fecl_weight"] = 0.1
    plans["configurations"]["3d_fullres"][trainer_class.method_class.settings_section] = settings
    workspace.write_plans(plans, "nnUNetPlansRun")
    trainer = make_trainer(trainer_class, "nnUNetPlansRun")
    trainer.run_training()
    log = trainer.logger.get_checkpoint()
    for term in trainer.method.terms:
        assert math.isnan(log[f"{term}_loss"][0])
        assert log[f"{term}_loss"][1] > 0
    expected = (trainer.students.average.module["network"] if deployed == "teacher" else trainer.network).state_dict()
    checkpoint = Path(trainer.output_folder) / "checkpoint_final.pth"
    # As nnUNetv2_predict does on a machine that has nnU-Net alone.
    contents = torch.load(checkpoint, weights_only=False)
    torch.save({**contents, "trainer_name": "nnUNetTrainer"}, checkpoint)
    predictor = nnUNetPredictor(device=torch.device("cpu"), allow_tqdm=False)
    predictor.initialize_from_trained_model_folder(trainer.output_folder_base, (0,), "checkpoint_final.pth")
    predictor.network.load_state_dict(predictor.list_of_parameters[0])
    assert_equal(predictor.network.state_dict(), expected)
    assert predictor.predict_logits_from_preprocessed_data(torch.zeros(1, 16, 24, 16)).isfinite().all()


def test_the_second_student_is_compiled_with_the_first(make_trainer: MakeTrainer) -> None:
    class Compiled(nnUNetTrainerDyCONCoTraining):
        def _do_i_compile(self) -> bool:
            return True

    trainer = make_trainer(Compiled)
    trainer.initialize()
    _, second = trainer.students
    assert isinstance(second.running, torch._dynamo.OptimizedModule)
    assert second.running._orig_mod is trainer.students.auxiliary["second_student"]
    assert not any("_orig_mod" in name for name in trainer.students.auxiliary.state_dict())


@each_method
def test_2d_with_another_unlabeled_batch_size(start: Start, trainer_class: TrainerClass) -> None:
    trainer = start(trainer_class, "2d", unlabeled_batch_size=3, **FULL_WEIGHTS_AT_ONCE)
    take_steps(trainer, 2)
    assert all(math.isfinite(value) for value in trainer.statistics.pop_means().values())


@each_method
def test_regions(start: Start, workspace: Workspace, trainer_class: TrainerClass) -> None:
    dataset_json = workspace.read_dataset_json()
    dataset_json |= {"labels": {"background": 0, "whole": [1, 2], "lesion": 2}, "regions_class_order": [1, 2]}
    workspace.write_dataset_json(dataset_json)
    for file in (workspace.preprocessed / "nnUNetPlans_3d_fullres").glob("*.pkl"):
        properties = load_pickle(str(file))
        organ, lesion = properties["class_locations"][1], properties["class_locations"][2]
        # Preprocessing would store them so.
        properties["class_locations"] = {(1, 2): np.concatenate([organ, lesion]), 2: lesion}
        write_pickle(properties, str(file))
    trainer = start(trainer_class, **FULL_WEIGHTS_AT_ONCE)
    assert trainer.label_manager.has_regions
    take_steps(trainer, 2)
    means = trainer.statistics.pop_means()
    assert all(math.isfinite(value) for value in means.values())
    assert all(means[f"{term}_loss"] > 0 for term in trainer.method.terms)


def test_dycon_without_fecl_needs_no_heads(start: Start) -> None:
    trainer = start(nnUNetTrainerDyCONCoTraining, fecl_weight=0, copy_paste_fraction=0.5, **FULL_WEIGHTS_AT_ONCE)
    take_steps(trainer, 1)
    assert list(trainer.students.auxiliary) == ["second_student"]
