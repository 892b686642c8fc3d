"""What holds for each of the methods that DyCON is compared with."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from typing import TYPE_CHECKING

import blosc2
import numpy as np
import pytest
import torch
from batchgenerators.utilities.file_and_folder_operations import load_pickle, write_pickle
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from nnunetv2_dycon.commands.main import main
from nnunetv2_dycon.methods.settings import settings_table
from nnunetv2_dycon.trainers import nnUNetTrainerBCP, nnUNetTrainerMeanTeacher, nnUNetTrainerUAMT
from nnunetv2_dycon.training.find_trainer import find_semi_supervised_trainer
from nnunetv2_dycon.training.trainer import nnUNetTrainerSemiSupervised
from nnunetv2_dycon.training.watch import WATCHED
from tests.settings import FULL_WEIGHTS_AT_ONCE

if TYPE_CHECKING:
    from tests.conftest import Workspace

TRAINERS = {
    nnUNetTrainerMeanTeacher: "consistency_weight",
    nnUNetTrainerUAMT: "consistency_weight",
    nnUNetTrainerBCP: "bcp_weight",
}
AT_ONCE = {**FULL_WEIGHTS_AT_ONCE, "ignored_voxels_as_unlabeled": False}

pytestmark = pytest.mark.parametrize(
    "trainer_class", TRAINERS, ids=lambda trainer: trainer.method_class.settings_section
)

TrainerClass = type[nnUNetTrainerSemiSupervised]
MakeTrainer = Callable[..., nnUNetTrainer]


def write_settings(
    workspace: Workspace, trainer_class: TrainerClass, configuration: str = "3d_fullres", **settings: object
) -> str:
    """Small plans with settings of the method; returns their name."""
    plans = workspace.read_plans()
    plans["configurations"][configuration][trainer_class.method_class.settings_section] = settings
    workspace.write_plans(plans, "nnUNetPlansBaseline")
    return "nnUNetPlansBaseline"


def take_steps(trainer: nnUNetTrainer, num_steps: int = 2) -> list[float]:
    """Train for some steps; returns the supervised losses."""
    trainer.on_train_start()
    trainer.on_train_epoch_start()
    return [trainer.train_step(next(trainer.dataloader_train))["loss"].item() for _ in range(num_steps)]


def take_steps_and_check(trainer: nnUNetTrainerSemiSupervised) -> dict[str, float]:
    """Train for some steps; returns the means of what is logged."""
    losses = take_steps(trainer)
    means = trainer.statistics.pop_means()
    # What is watched is not known where labels are ignored.
    known = [value for name, value in means.items() if name not in WATCHED]
    assert all(math.isfinite(value) for value in (*losses, *known)), means
    (term,) = trainer.method.terms
    assert means[f"{term}_loss"] > 0
    assert 0 < means[f"{term}_share"] < 1
    assert all(torch.isfinite(parameter).all() for parameter in trainer.network.parameters())
    return {**means, "losses": losses}


def use_regions_or_ignore_label(workspace: Workspace, labels: dict[str, int | list[int]]) -> None:
    """Change the labels of the preprocessed dataset, and the places of classes that preprocessing would store."""
    dataset_json = {**workspace.read_dataset_json(), "labels": labels}
    if any(isinstance(label, list) for label in labels.values()):
        dataset_json["regions_class_order"] = [1, 2]
    workspace.write_dataset_json(dataset_json)
    for file in (workspace.preprocessed / "nnUNetPlans_3d_fullres").glob("*.pkl"):
        properties = load_pickle(str(file))
        organ, lesion = properties["class_locations"][1], properties["class_locations"][2]
        foreground = np.concatenate([organ, lesion])
        annotated = (-1, *range(labels.get("ignore", 0)))
        properties["class_locations"] = {1: organ, 2: lesion, (1, 2): foreground, annotated: foreground}
        write_pickle(properties, str(file))


def test_nnunet_finds_it_and_plan_knows_its_settings(
    workspace: Workspace, make_trainer: MakeTrainer, capsys: pytest.CaptureFixture[str], trainer_class: TrainerClass
) -> None:
    name = trainer_class.__name__
    assert find_semi_supervised_trainer(name) is trainer_class
    assert main(["plan", "-tr", name]) == 0
    assert capsys.readouterr().out.strip() == settings_table(trainer_class.method_class.settings_class)
    weight = TRAINERS[trainer_class]
    command = ["plan", "-d", "501", "-p", "nnUNetPlansSmall", "-o", "nnUNetPlansNew", "-tr", name, f"{weight}=3"]
    assert main(command) == 0
    assert make_trainer(trainer_class, "nnUNetPlansNew").settings == trainer_class.method_class.settings_class(
        **{weight: 3},
        ignored_voxels_as_unlabeled=False,  # where there is no ignore label
    )
    assert workspace.read_plans("nnUNetPlansNew")["configurations"]["3d_fullres"][
        trainer_class.method_class.settings_section
    ]


def test_two_epochs_with_a_warmup(workspace: Workspace, make_trainer: MakeTrainer, trainer_class: TrainerClass) -> None:
    plans = write_settings(workspace, trainer_class, warmup_fraction=0.5, wait_for_labels=False)
    trainer = make_trainer(trainer_class, plans)
    trainer.run_training()
    log = trainer.logger.get_checkpoint()
    (term,) = trainer.method.terms
    assert math.isnan(log[f"{term}_loss"][0])
    assert log[f"{term}_weight"][0] == 0
    assert log[f"{term}_loss"][1] > 0
    assert log[f"{term}_weight"][1] > 0


def test_with_weight_0_it_is_nnunettrainer_bit_for_bit(
    workspace: Workspace, make_trainer: MakeTrainer, trainer_class: TrainerClass
) -> None:
    weights = []
    for weight in (None, 0, 1):
        plans = write_settings(workspace, trainer_class, **AT_ONCE, **{TRAINERS[trainer_class]: weight or 0})
        trainer = make_trainer(nnUNetTrainer if weight is None else trainer_class, plans)
        take_steps(trainer, 4)
        weights.append(trainer.network.state_dict())
        shutil.rmtree(trainer.output_folder_base)
    plain, without, with_weight = weights
    assert plain.keys() == without.keys()
    for name, value in plain.items():
        assert torch.equal(value, without[name]), name
    assert any(not torch.equal(value, with_weight[name]) for name, value in plain.items())


def test_2d_with_another_unlabeled_batch_size(
    workspace: Workspace, make_trainer: MakeTrainer, trainer_class: TrainerClass
) -> None:
    plans = write_settings(workspace, trainer_class, "2d", unlabeled_batch_size=3, **AT_ONCE)
    take_steps_and_check(make_trainer(trainer_class, plans, "2d"))


@pytest.mark.parametrize("ignores", [False, True])
def test_regions(workspace: Workspace, make_trainer: MakeTrainer, trainer_class: TrainerClass, ignores: bool) -> None:
    labels = {"background": 0, "whole": [1, 2], "inner": 2}
    use_regions_or_ignore_label(workspace, {**labels, "ignore": 3} if ignores else labels)
    trainer = make_trainer(trainer_class, write_settings(workspace, trainer_class, **AT_ONCE))
    assert trainer.label_manager.has_regions
    assert trainer.label_manager.has_ignore_label == ignores
    take_steps_and_check(trainer)


def test_ignore_label(workspace: Workspace, make_trainer: MakeTrainer, trainer_class: TrainerClass) -> None:
    use_regions_or_ignore_label(workspace, {"background": 0, "organ": 1, "ignore": 2})
    trainer = make_trainer(trainer_class, write_settings(workspace, trainer_class, **AT_ONCE))
    assert trainer.label_manager.ignore_label == 2
    take_steps_and_check(trainer)


def test_bfloat16_autocast(workspace: Workspace, make_trainer: MakeTrainer, trainer_class: TrainerClass) -> None:
    class Autocast(trainer_class):
        def autocast_context(self) -> torch.autocast:
            return torch.autocast("cpu", dtype=torch.bfloat16)

    plans = write_settings(workspace, trainer_class, **AT_ONCE)
    exact, rounded = (take_steps_and_check(make_trainer(used, plans)) for used in (trainer_class, Autocast))
    assert rounded.pop("losses") == pytest.approx(exact.pop("losses"), abs=0.05)
    assert rounded == pytest.approx(exact, rel=0.1, abs=0.02)


def test_no_label_of_an_unlabeled_case_is_opened(
    workspace: Workspace, make_trainer: MakeTrainer, trainer_class: TrainerClass
) -> None:
    off_limits = ["demo_002", "demo_003"]
    workspace.write_splits({"train": ["demo_000", "demo_001"], "val": ["demo_004"], "unlabeled": off_limits})
    plans = write_settings(workspace, trainer_class, **AT_ONCE)
    trainer = make_trainer(trainer_class, plans)
    intact = take_steps_and_check(trainer)
    assert set(off_limits) < set(trainer.unlabeled_data.identifiers)
    shutil.rmtree(trainer.output_folder_base)
    for case in off_limits:
        file = workspace.preprocessed / "nnUNetPlans_3d_fullres" / f"{case}_seg.b2nd"
        shape = blosc2.open(str(file)).shape
        file.unlink()
        blosc2.asarray(np.ones(shape, np.int8), urlpath=str(file))
        (workspace.raw / "labelsTr" / f"{case}.nii.gz").unlink()
        (workspace.preprocessed / "gt_segmentations" / f"{case}.nii.gz").unlink()
    assert take_steps_and_check(make_trainer(trainer_class, plans)) == intact
