"""The second stage of a cascade."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import blosc2
import numpy as np
import pytest
import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from nnunetv2_dycon import trainers
from nnunetv2_dycon.exceptions import UnsupportedFeatureError, UserError
from nnunetv2_dycon.methods import all_methods
from nnunetv2_dycon.methods.dycon import DyCON
from nnunetv2_dycon.methods.method import Method
from nnunetv2_dycon.nnunet_command import device_option
from nnunetv2_dycon.trainers import nnUNetTrainerDyCON
from nnunetv2_dycon.training import start
from nnunetv2_dycon.training.previous_stage import previous_stage_of
from tests.cascade import (
    CASCADE,
    LOW_RESOLUTION,
    PLANS,
    copy_model,
    preprocess_labeled,
    train_briefly,
    write_cascade_plans,
)
from tests.settings import FULL_WEIGHTS_AT_ONCE, WITH_FECL

if TYPE_CHECKING:
    from tests.conftest import Workspace

MODEL = f"nnUNetTrainerDyCON__{PLANS}__{LOW_RESOLUTION}"


@pytest.fixture
def workspace(workspace: Workspace, trained_low_resolution: Path) -> Workspace:
    shutil.copytree(trained_low_resolution, workspace.root, dirs_exist_ok=True)
    return workspace


@pytest.mark.parametrize("method", all_methods(), ids=lambda method: method.__name__)
def test_every_method_trains_the_second_stage(
    method: type[Method], workspace: Workspace, make_trainer: Callable[..., nnUNetTrainer]
) -> None:
    plans = workspace.read_plans(PLANS)
    plans["configurations"][CASCADE][method.settings_section] = (
        FULL_WEIGHTS_AT_ONCE | WITH_FECL if issubclass(method, DyCON) else FULL_WEIGHTS_AT_ONCE
    )
    workspace.write_plans(plans, PLANS)
    name = f"nnUNetTrainer{method.__name__}"
    if method.__name__ != "DyCON":
        copy_model(workspace, name)
    trainer = make_trainer(getattr(trainers, name), PLANS, CASCADE)
    trainer.on_train_start()
    trainer.on_train_epoch_start()
    trainer.train_step(next(trainer.dataloader_train))
    means = trainer.statistics.pop_means()
    for term in trainer.method.terms:
        assert means[f"{term}_weight"] > 0
        assert math.isfinite(means[f"{term}_loss"])
    assert next(trainer.student_network.parameters()).shape[1] == 3
    # An image channel and one for each foreground label of the previous stage, then the same of the strong view.
    views = [trainer.next_unlabeled_batch()["data"] for _ in range(6)]
    assert views[0].shape == (2, 6, 16, 24, 16)
    weak, strong = torch.cat(views)[:, [1, 2, 4, 5]].chunk(2, dim=1)
    assert set(weak.unique().tolist()) | set(strong.unique().tolist()) == {0, 1}
    assert (weak.sum(dim=1) <= 1).all()
    damaged = [not torch.equal(*pair) for pair in zip(weak, strong, strict=True)]
    assert any(damaged)
    assert not all(damaged)


def test_regions_and_ignore_label(workspace: Workspace, make_trainer: Callable[..., nnUNetTrainer]) -> None:
    workspace.write_labels(regions=True, ignores=True)
    for name in (LOW_RESOLUTION, CASCADE):
        preprocess_labeled(workspace, name)
    shutil.rmtree(workspace.results / MODEL / "fold_0")
    train_briefly(make_trainer(nnUNetTrainerDyCON, PLANS, LOW_RESOLUTION))
    trainer = make_trainer(nnUNetTrainerDyCON, PLANS, CASCADE)
    train_briefly(trainer)
    assert trainer.label_manager.has_regions
    assert trainer.label_manager.has_ignore_label
    # The labels 1 and 2, whatever regions they make.
    assert trainer.next_unlabeled_batch()["data"].shape[1] == 6
    assert math.isfinite(trainer.logger.get_checkpoint()["uncl_loss"][-1])


def refused(make_trainer: Callable[..., nnUNetTrainer], message: str, **options: object) -> str:
    with pytest.raises(UserError, match=message) as error:
        make_trainer(nnUNetTrainerDyCON, PLANS, CASCADE, **options).on_train_start()
    return str(error.value)


def test_a_missing_model_is_named_with_the_command(
    workspace: Workspace, make_trainer: Callable[..., nnUNetTrainer]
) -> None:
    command = f"too): nnUNetv2_train 501 3d_lowres 0 -tr nnUNetTrainerDyCON -p {PLANS}"
    # A training that has not ended goes on.
    for name, option in (("checkpoint_final.pth", " --c"), ("checkpoint_best.pth", "")):
        (workspace.results / MODEL / "fold_0" / name).unlink()
        text = refused(make_trainer, "needs the model of 3d_lowres for the same fold")
        assert text.endswith(f"{command}{option}{device_option()}")
    assert not (workspace.preprocessed / "nnUNetPlans_3d_fullres_unlabeled").exists()


def test_missing_predictions_of_labeled_cases_are_named_with_the_commands(
    workspace: Workspace, make_trainer: Callable[..., nnUNetTrainer]
) -> None:
    for case in ("demo_001", "demo_004"):
        (workspace.results / MODEL / "predicted_next_stage" / CASCADE / f"{case}.b2nd").unlink()
    text = refused(make_trainer, r"2 are not in .*predicted_next_stage.* \(demo_001, demo_004\)")
    assert "no fold of" in text
    assert "validates demo_001" in text
    train = [f"demo_{i:03d}" for i in range(4)]
    val = ["demo_004", "demo_005"]
    workspace.write_splits({"train": train, "val": val}, {"train": val, "val": train})
    text = refused(make_trainer, "Run first")
    options = f"-tr nnUNetTrainerDyCON -p {PLANS}{device_option()}"
    commands = [f"nnUNetv2_train 501 3d_lowres {fold} {options}" for fold in (0, 1)]
    assert text.endswith(f"Run first: {commands[1]}; {commands[0]} --val")
    text = refused(make_trainer, "Run first", fold="all")
    assert f"3d_lowres all {options} --val" in text
    trainer = make_trainer(nnUNetTrainerDyCON, PLANS, CASCADE)
    with pytest.raises(UserError, match=r"1 are not in .* \(demo_004\)"):
        trainer.perform_actual_validation()


def test_labels_off_limits_do_not_come_in_through_another_fold(
    workspace: Workspace, make_trainer: Callable[..., nnUNetTrainer]
) -> None:
    fold = {"train": ["demo_000", "demo_001"], "val": ["demo_004"], "unlabeled": ["demo_002"]}
    workspace.write_splits(fold, {"train": ["demo_002", "demo_004"], "val": ["demo_000", "demo_001"]})
    text = refused(make_trainer, "demo_002")
    assert 'under "unlabeled" in fold 0 and under "train" in fold 1' in text


def test_plans_with_half_a_cascade_are_refused(
    workspace: Workspace, make_trainer: Callable[..., nnUNetTrainer]
) -> None:
    plans = workspace.read_plans(PLANS)
    del plans["configurations"][LOW_RESOLUTION]["next_stage"]
    workspace.write_plans(plans, PLANS)
    refused(make_trainer, f'3d_lowres does not have the "next_stage" {CASCADE}')


def test_three_stages_are_refused(workspace: Workspace, make_trainer: Callable[..., nnUNetTrainer]) -> None:
    plans = workspace.read_plans(PLANS)
    write_cascade_plans(workspace, plans)
    plans["configurations"][LOW_RESOLUTION]["previous_stage"] = "3d_fullres"
    workspace.write_plans(plans, PLANS)
    with pytest.raises(UnsupportedFeatureError, match="Cascades of two stages are supported"):
        previous_stage_of(make_trainer(nnUNetTrainerDyCON, PLANS, CASCADE))


def test_the_dataset_opens_what_the_previous_stage_predicted(
    workspace: Workspace, make_trainer: Callable[..., nnUNetTrainer]
) -> None:
    trainer = make_trainer(nnUNetTrainerDyCON, PLANS, CASCADE)
    trainer.initialize()
    data = start.prepare_unlabeled_cases(trainer)
    dataset = trainer.make_unlabeled_loader(data)._data
    folder = workspace.results / MODEL / "predicted_next_stage_unlabeled" / CASCADE / "fold_0"
    assert len(dataset.identifiers) == 4
    for case in dataset.identifiers:
        image, _, segmentation, _ = dataset.load_case(case)
        assert segmentation.shape == image.shape[1:]
        assert np.array_equal(segmentation[:], blosc2.open(str(folder / f"{case}.b2nd"), mode="r")[:])


def test_the_first_stage_is_not_trained_without_the_data_of_the_next(
    workspace: Workspace, make_trainer: Callable[..., nnUNetTrainer]
) -> None:
    shutil.rmtree(workspace.preprocessed / "nnUNetPlans_3d_fullres")
    with pytest.raises(UserError, match=f"Run nnUNetv2_preprocess -d [0-9]+ -c {CASCADE}"):
        make_trainer(nnUNetTrainerDyCON, PLANS, LOW_RESOLUTION).initialize()
