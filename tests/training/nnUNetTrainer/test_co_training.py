"""Two students that learn from each other."""

from __future__ import annotations

import copy
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from batchgenerators.utilities.file_and_folder_operations import load_pickle, write_pickle
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from torch import nn

from nnunetv2_dycon.training.find_trainer import find_semi_supervised_trainer
from nnunetv2_dycon.training.hard_pseudo_labels import hard_pseudo_labels
from nnunetv2_dycon.training.loss.dice_and_cross_entropy import dice_and_cross_entropy
from nnunetv2_dycon.training.nnUNetTrainer.nnUNetTrainerCoTraining import nnUNetTrainerCoTraining
from nnunetv2_dycon.training.nnUNetTrainer.nnUNetTrainerDyCONCoTraining import nnUNetTrainerDyCONCoTraining
from nnunetv2_dycon.training.nnUNetTrainer.nnUNetTrainerTwoStudents import nnUNetTrainerTwoStudents

if TYPE_CHECKING:
    from tests.conftest import Workspace

AT_ONCE = {"warmup_fraction": 0, "rampup_fraction": 0}
OFF = {
    nnUNetTrainerCoTraining: {"co_training_weight": 0},
    nnUNetTrainerDyCONCoTraining: {"uncl_weight": 0, "fecl_weight": 0},
}
both_methods = pytest.mark.parametrize("trainer_class", OFF, ids=lambda trainer: trainer.settings_section)

TrainerClass = type[nnUNetTrainerTwoStudents]
MakeTrainer = Callable[..., nnUNetTrainer]
Start = Callable[..., nnUNetTrainerTwoStudents]


@pytest.fixture
def start(workspace: Workspace, make_trainer: MakeTrainer) -> Start:
    """Start a training with settings of the method."""

    def run(trainer_class: type[nnUNetTrainer], configuration: str = "3d_fullres", **settings: object) -> nnUNetTrainer:
        plans = workspace.read_plans()
        section = getattr(trainer_class, "settings_section", "none")
        plans["configurations"][configuration][section] = settings
        workspace.write_plans(plans, "nnUNetPlansCoTraining")
        trainer = make_trainer(trainer_class, "nnUNetPlansCoTraining", configuration)
        shutil.rmtree(trainer.output_folder_base, ignore_errors=True)
        Path(trainer.output_folder).mkdir(parents=True)
        trainer.on_train_start()
        trainer.on_train_epoch_start()
        return trainer

    return run


def take_steps(trainer: nnUNetTrainer, num_steps: int) -> None:
    for _ in range(num_steps):
        trainer.train_step(next(trainer.dataloader_train))


def seed(value: int) -> None:
    np.random.seed(value)  # noqa: NPY002 (nnU-Net's loaders draw from it)
    torch.manual_seed(value)


def fix_batches(trainer: nnUNetTrainerTwoStudents) -> tuple[dict, dict]:
    """Give the trainer the same unlabeled batch again and again; returns a labeled and this unlabeled one."""
    labeled, unlabeled = next(trainer.dataloader_train), next(trainer.unlabeled_stream)
    trainer.unlabeled_stream = iter(lambda: unlabeled, None)
    return labeled, unlabeled


def assert_equal(first: dict, second: dict) -> None:
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name


def gradients(module: nn.Module) -> dict[str, torch.Tensor | None]:
    return {
        name: None if parameter.grad is None else parameter.grad.clone()
        for name, parameter in module.named_parameters()
    }


@both_methods
def test_nnunet_finds_it(trainer_class: TrainerClass) -> None:
    assert find_semi_supervised_trainer(trainer_class.__name__) is trainer_class


@both_methods
def test_without_weights_the_first_student_is_nnunettrainer_bit_for_bit(
    start: Start, trainer_class: TrainerClass
) -> None:
    plain = start(nnUNetTrainer)
    take_steps(plain, 4)
    trainer = start(trainer_class, **OFF[trainer_class])
    take_steps(trainer, 4)
    assert_equal(trainer.network.state_dict(), plain.network.state_dict())


@both_methods
def test_in_the_warmup_both_students_are_nnunettrainers(start: Start, trainer_class: TrainerClass) -> None:
    trainer = start(trainer_class, warmup_fraction=1)
    students = [trainer.network, trainer.auxiliary["second_student"]]
    plain = [start(nnUNetTrainer) for _ in students]
    assert not torch.equal(*(next(student.parameters()) for student in students))
    for single, student in zip(plain, students, strict=True):
        single.network.load_state_dict(student.state_dict())
    for _ in range(3):
        batch = next(plain[0].dataloader_train)
        for one in (trainer, *plain):
            one.train_step(batch)
    for single, student in zip(plain, students, strict=True):
        assert_equal(student.state_dict(), single.network.state_dict())


@pytest.mark.parametrize("weight", [0.5, 1000.0])
def test_each_student_learns_from_the_labels_and_from_the_other(start: Start, weight: float) -> None:
    """With the large weight, gradients are clipped."""
    trainer = start(nnUNetTrainerCoTraining, co_training_weight=weight, **AT_ONCE)
    labeled, unlabeled = fix_batches(trainer)
    weak, strong = unlabeled["data"].chunk(2, dim=1)
    students = [copy.deepcopy(trainer.network), copy.deepcopy(trainer.auxiliary["second_student"])]
    with torch.no_grad():
        pseudo_labels = [hard_pseudo_labels(student(weak)[0]) for student in students]
    losses = []
    for student, target in zip(students, reversed(pseudo_labels), strict=True):
        mask = torch.ones(target.shape, dtype=torch.bool)
        (loss,) = dice_and_cross_entropy(student(strong)[0], target, [mask])
        (trainer.loss(student(labeled["data"]), labeled["target"]) + weight * loss).backward()
        nn.utils.clip_grad_norm_(student.parameters(), 12)
        losses.append(loss.item())
    trainer.train_step(labeled)
    for student, trained in zip(students, [trainer.network, trainer.auxiliary["second_student"]], strict=True):
        for (name, parameter), expected in zip(trained.named_parameters(), student.parameters(), strict=True):
            torch.testing.assert_close(parameter.grad, expected.grad, rtol=1e-3, atol=1e-5, msg=name)
    means = trainer.statistics.pop_means()
    assert means["co_training_loss"] == pytest.approx(losses[0], rel=1e-4)
    assert 0 < means["co_training_share"] < 1


def test_each_module_is_clipped_by_itself(start: Start) -> None:
    trainer = start(nnUNetTrainerDyCONCoTraining, uncl_weight=1e5, fecl_weight=1e5, copy_paste_fraction=0.5, **AT_ONCE)
    take_steps(trainer, 1)
    for module in (trainer.network, *trainer.auxiliary.values()):
        found = [gradient.norm() for gradient in gradients(module).values() if gradient is not None]
        assert torch.stack(found).norm().item() == pytest.approx(12, rel=1e-3)


@both_methods
def test_no_gradient_crosses_over(start: Start, trainer_class: TrainerClass, monkeypatch: pytest.MonkeyPatch) -> None:
    """A student's gradients, its head's included, are the same whether or not the other learns."""
    parts = {False: ["network", "projection_head"], True: ["second_student", "second_projection_head"]}
    seen = {}
    for learning in ("both", False, True):
        trainer = start(trainer_class, **AT_ONCE)
        seed(0)
        labeled, _ = fix_batches(trainer)
        if learning != "both":
            backward = trainer._backward
            monkeypatch.setattr(
                trainer,
                "_backward",
                lambda loss, trainer=trainer, backward=backward, learning=learning: (
                    backward(loss) if trainer.second_student_acts is learning else None
                ),
            )
        trainer.train_step(labeled)
        modules = {"network": trainer.network, **trainer.auxiliary}
        seen[learning] = {name: gradients(module) for name, module in modules.items()}
    for learning in (False, True):
        own = [name for name in parts[learning] if name in seen["both"]]
        others = [name for name in parts[not learning] if name in seen["both"]]
        assert len(own) == len(others) == (1 if trainer_class is nnUNetTrainerCoTraining else 2)
        for name in own:
            assert all(
                value is not None and value.any() for key, value in seen["both"][name].items() if "conv.w" in key
            )
            for key, value in seen["both"][name].items():
                if value is not None:
                    torch.testing.assert_close(seen[learning][name][key], value, msg=f"{name}/{key}")
        for name in others:
            assert all(value is None for value in seen[learning][name].values()), name


def test_dycon_compares_each_student_with_the_other(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = start(nnUNetTrainerDyCONCoTraining, copy_paste_fraction=0, **AT_ONCE)
    labeled, unlabeled = fix_batches(trainer)
    weak, strong = unlabeled["data"].chunk(2, dim=1)
    students = [copy.deepcopy(trainer.network), copy.deepcopy(trainer.auxiliary["second_student"])]
    heads = [copy.deepcopy(trainer.auxiliary[name]) for name in ("projection_head", "second_projection_head")]
    assert not torch.equal(*(next(head.parameters()) for head in heads))
    seen = []
    unlabeled_losses = trainer.unlabeled_losses

    def watch(student: object, teacher: object) -> dict:
        assert student.logits.requires_grad
        assert student.bottleneck.requires_grad
        assert not teacher.logits.requires_grad
        embeddings = trainer.embed_student(student.bottleneck), trainer.embed_teacher(teacher.bottleneck)
        seen.append((student, teacher, embeddings))
        return unlabeled_losses(student, teacher)

    monkeypatch.setattr(trainer, "unlabeled_losses", watch)
    trainer.train_step(labeled)
    assert len(seen) == 2
    for index, (student, teacher, embeddings) in enumerate(seen):
        torch.testing.assert_close(student.logits, students[index](strong)[0])
        torch.testing.assert_close(teacher.logits, students[1 - index](weak)[0])
        own, others = heads[index], heads[1 - index]
        torch.testing.assert_close(embeddings[0], own(students[index].encoder(strong)[-1]))
        torch.testing.assert_close(embeddings[1], others(students[1 - index].encoder(weak)[-1]))


@both_methods
def test_training_goes_on_as_if_never_stopped(
    start: Start, make_trainer: MakeTrainer, trainer_class: TrainerClass, tmp_path: Path
) -> None:
    trainer = start(trainer_class, **AT_ONCE)
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
    assert_equal(resumed.auxiliary.state_dict(), trainer.auxiliary.state_dict())
    assert_equal(resumed.teacher.state_dict(), trainer.teacher.state_dict())


@pytest.mark.parametrize("deployed", ["teacher", "student"])
def test_two_epochs_and_a_checkpoint_that_nnunet_predicts_with(
    workspace: Workspace, make_trainer: MakeTrainer, deployed: str
) -> None:
    trainer_class = {"teacher": nnUNetTrainerCoTraining, "student": nnUNetTrainerDyCONCoTraining}[deployed]
    plans = workspace.read_plans()
    settings = {"warmup_fraction": 0.5, "deployed_network": deployed}
    plans["configurations"]["3d_fullres"][trainer_class.settings_section] = settings
    workspace.write_plans(plans, "nnUNetPlansRun")
    trainer = make_trainer(trainer_class, "nnUNetPlansRun")
    trainer.run_training()
    log = trainer.logger.get_checkpoint()
    for term in trainer.terms:
        assert math.isnan(log[f"{term}_loss"][0])
        assert log[f"{term}_loss"][1] > 0
    expected = (trainer.teacher.module["network"] if deployed == "teacher" else trainer.network).state_dict()
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
    assert isinstance(trainer.second_network, torch._dynamo.OptimizedModule)
    assert trainer.second_network._orig_mod is trainer.auxiliary["second_student"]
    assert not any("_orig_mod" in name for name in trainer.auxiliary.state_dict())


@both_methods
def test_2d_with_another_unlabeled_batch_size(start: Start, trainer_class: TrainerClass) -> None:
    trainer = start(trainer_class, "2d", unlabeled_batch_size=3, **AT_ONCE)
    take_steps(trainer, 2)
    assert all(math.isfinite(value) for value in trainer.statistics.pop_means().values())


@both_methods
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
    trainer = start(trainer_class, **AT_ONCE)
    assert trainer.label_manager.has_regions
    take_steps(trainer, 2)
    means = trainer.statistics.pop_means()
    assert all(math.isfinite(value) for value in means.values())
    assert all(means[f"{term}_loss"] > 0 for term in trainer.terms)


def test_dycon_without_fecl_needs_no_heads(start: Start) -> None:
    trainer = start(nnUNetTrainerDyCONCoTraining, fecl_weight=0, copy_paste_fraction=0.5, **AT_ONCE)
    take_steps(trainer, 1)
    assert list(trainer.auxiliary) == ["second_student"]
