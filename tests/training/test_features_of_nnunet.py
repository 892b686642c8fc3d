"""Features of nnU-Net that users run: each works or is refused at start."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.losses.fecl import fecl_loss
from nnunetv2_dycon.methods import dycon
from nnunetv2_dycon.trainers import nnUNetTrainerDyCON
from tests.settings import FULL_WEIGHTS_AT_ONCE

if TYPE_CHECKING:
    from tests.conftest import Workspace

SETTINGS = {**FULL_WEIGHTS_AT_ONCE, "copy_paste_fraction": 0.5, "fecl_weight": 0.1}


def _train_and_check(trainer: nnUNetTrainerDyCON) -> dict:
    trainer.run_training()
    log = trainer.logger.get_checkpoint()
    for key in ("train_losses", "uncl_loss", "fecl_loss", "student_entropy", "teacher_pseudo_dice"):
        assert all(math.isfinite(value) for value in log[key]), key
    assert log["fecl_loss"][-1] > 0
    assert log["uncl_loss"][-1] > 0
    return log


def test_2d(workspace: Workspace, make_trainer: Callable[..., nnUNetTrainer]) -> None:
    workspace.write_settings("nnUNetPlans2D", "2d", **SETTINGS)
    trainer = make_trainer(nnUNetTrainerDyCON, "nnUNetPlans2D", "2d")
    _train_and_check(trainer)
    assert next(trainer.unlabeled_stream)["data"].shape == (2, 2, 32, 32)


def test_regions(workspace: Workspace, make_trainer: Callable[..., nnUNetTrainer]) -> None:
    dataset_json = workspace.read_dataset_json()
    dataset_json["labels"] = {"background": 0, "organ": [1, 2], "lesion": 2}
    dataset_json["regions_class_order"] = [1, 2]
    workspace.write_dataset_json(dataset_json)
    _use_regions_as_class_locations(workspace, [(1, 2), 2])
    workspace.write_settings("nnUNetPlansRegions", **SETTINGS)
    trainer = make_trainer(nnUNetTrainerDyCON, "nnUNetPlansRegions")
    assert trainer.label_manager.has_regions
    log = _train_and_check(trainer)
    # Two Bernoulli distributions: more than the log 2 that two classes could have is possible, 2 log 2 is not exceeded.
    assert log["student_entropy"][-1] <= 2 * math.log(2)


def _use_regions_as_class_locations(workspace: Workspace, keys: list) -> None:
    """Preprocessing would store them; the tiny dataset was preprocessed with labels."""
    from batchgenerators.utilities.file_and_folder_operations import load_pickle, write_pickle

    for file in (workspace.preprocessed / "nnUNetPlans_3d_fullres").glob("*.pkl"):
        properties = load_pickle(str(file))
        locations = properties["class_locations"]
        properties["class_locations"] = {keys[0]: np.concatenate([locations[1], locations[2]]), keys[1]: locations[2]}
        write_pickle(properties, str(file))


def test_ignore_label(workspace: Workspace, make_trainer: Callable[..., nnUNetTrainer]) -> None:
    dataset_json = workspace.read_dataset_json()
    dataset_json["labels"] = {"background": 0, "organ": 1, "ignore": 2}
    workspace.write_dataset_json(dataset_json)
    workspace.run("nnUNetv2_preprocess", "-d", 501, "-plans_name", "nnUNetPlansSmall", "-c", "3d_fullres", "-np", 1)
    workspace.write_settings("nnUNetPlansIgnore", **SETTINGS)
    trainer = make_trainer(nnUNetTrainerDyCON, "nnUNetPlansIgnore")
    assert trainer.label_manager.ignore_label == 2
    _train_and_check(trainer)


def test_ignored_voxels_are_ignored_in_both_validations(
    workspace: Workspace, make_trainer: Callable[..., nnUNetTrainer]
) -> None:
    dataset_json = workspace.read_dataset_json()
    dataset_json["labels"] = {"background": 0, "organ": 1, "ignore": 2}
    workspace.write_dataset_json(dataset_json)
    trainer = make_trainer(nnUNetTrainerDyCON)
    trainer.initialize()
    trainer.network.eval()
    data = torch.randn(2, 1, 16, 24, 16)
    target = torch.ones(2, 1, 16, 24, 16, dtype=torch.int16)
    target[..., 8:] = 2
    targets = [target, target[..., ::2, ::2, ::2].clone()]
    with torch.no_grad():
        trainer.validation_step({"data": data, "target": targets})
    for name in ("student", "teacher"):
        tp, fp, fn = trainer.pseudo_dice[name]._counts
        assert tp + fp + fn == target[target == 1].numel()


def test_residual_encoder(workspace: Workspace, make_trainer: Callable[..., nnUNetTrainer]) -> None:
    plans = workspace.read_plans()
    configuration = plans["configurations"]["3d_fullres"]
    architecture = configuration["architecture"]
    architecture["network_class_name"] = "dynamic_network_architectures.architectures.unet.ResidualEncoderUNet"
    arguments = architecture["arch_kwargs"]
    arguments["n_blocks_per_stage"] = arguments.pop("n_conv_per_stage")
    configuration["dycon"] = SETTINGS
    workspace.write_plans(plans, "nnUNetPlansResEnc")
    _train_and_check(make_trainer(nnUNetTrainerDyCON, "nnUNetPlansResEnc"))


def test_without_deep_supervision(workspace: Workspace, make_trainer: Callable[..., nnUNetTrainer]) -> None:
    class NoDeepSupervision(nnUNetTrainerDyCON):
        def initialize(self) -> None:
            self.enable_deep_supervision = False
            super().initialize()

    workspace.write_settings("nnUNetPlansNoDS", **SETTINGS)
    _train_and_check(make_trainer(NoDeepSupervision, "nnUNetPlansNoDS"))


def test_masked_normalization(workspace: Workspace, make_trainer: Callable[..., nnUNetTrainer]) -> None:
    plans = workspace.read_plans()
    plans["configurations"]["3d_fullres"].update(use_mask_for_norm=[True], dycon=SETTINGS)
    workspace.write_plans(plans, "nnUNetPlansMasked")
    trainer = make_trainer(nnUNetTrainerDyCON, "nnUNetPlansMasked")
    _train_and_check(trainer)


def test_unlabeled_batch_size(workspace: Workspace, make_trainer: Callable[..., nnUNetTrainer]) -> None:
    workspace.write_settings("nnUNetPlansBatch", unlabeled_batch_size=3, **SETTINGS)
    trainer = make_trainer(nnUNetTrainerDyCON, "nnUNetPlansBatch")
    _train_and_check(trainer)
    assert next(trainer.unlabeled_stream)["data"].shape[0] == 3


def test_fold_all(workspace: Workspace, make_trainer: Callable[..., nnUNetTrainer]) -> None:
    workspace.write_settings("nnUNetPlansAll", **SETTINGS)
    _train_and_check(make_trainer(nnUNetTrainerDyCON, "nnUNetPlansAll", fold="all"))


def test_official_fecl_is_given_no_entropy(
    workspace: Workspace, make_trainer: Callable[..., nnUNetTrainer], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {"paper": [], "official": []}

    def spy(*arguments: object, **options: object) -> torch.Tensor:
        given[options["variant"]].append(options["entropy"] is not None)
        return fecl_loss(*arguments, **options)

    monkeypatch.setattr(dycon, "fecl_loss", spy)
    for variant in given:
        workspace.write_settings(f"nnUNetPlans{variant}", fecl_variant=variant, **SETTINGS)
        _train_and_check(make_trainer(nnUNetTrainerDyCON, f"nnUNetPlans{variant}"))
    assert set(given["paper"]) == {True}
    assert set(given["official"]) == {False}


def test_uncl_alone_needs_no_encoder(workspace: Workspace, make_trainer: Callable[..., nnUNetTrainer]) -> None:
    workspace.write_settings("nnUNetPlansUnCL", **{**SETTINGS, "fecl_weight": 0})
    trainer = make_trainer(nnUNetTrainerDyCON, "nnUNetPlansUnCL")
    trainer.run_training()
    assert len(trainer.students.auxiliary) == 0
    assert trainer.logger.get_checkpoint()["uncl_loss"][-1] > 0


def test_no_unlabeled_scans(workspace: Workspace, make_trainer: Callable[..., nnUNetTrainer]) -> None:
    for file in (workspace.raw / "imagesUnlabeled").iterdir():
        file.unlink()
    with pytest.raises(UserError, match="has no unlabeled scans"):
        make_trainer(nnUNetTrainerDyCON).on_train_start()


def test_a_scan_that_is_labeled_too(workspace: Workspace, make_trainer: Callable[..., nnUNetTrainer]) -> None:
    unlabeled = workspace.raw / "imagesUnlabeled"
    (unlabeled / "demo_004_0000.nii.gz").write_bytes((unlabeled / "demo_006_0000.nii.gz").read_bytes())
    with pytest.raises(UserError, match="demo_004"):
        make_trainer(nnUNetTrainerDyCON).on_train_start()


def test_labeled_cases_that_are_not_preprocessed(
    workspace: Workspace, make_trainer: Callable[..., nnUNetTrainer]
) -> None:
    shutil.rmtree(workspace.preprocessed / "nnUNetPlans_3d_fullres")
    with pytest.raises(UserError, match="Run nnUNetv2_preprocess -d 501 -c 3d_fullres -plans_name nnUNetPlansSmall"):
        make_trainer(nnUNetTrainerDyCON).on_train_start()
