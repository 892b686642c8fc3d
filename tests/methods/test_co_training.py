"""Two students that learn from each other."""

from __future__ import annotations

import copy

import pytest
import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from torch import nn

from nnunetv2_dycon.losses.label_space import Classes
from nnunetv2_dycon.losses.segmentation import dice_and_cross_entropy
from nnunetv2_dycon.methods.dycon import PastedTask
from nnunetv2_dycon.methods.method import Losses, Prediction
from nnunetv2_dycon.trainers import nnUNetTrainerCoTraining, nnUNetTrainerDyCONCoTraining
from nnunetv2_dycon.training.find_trainer import find_semi_supervised_trainer
from tests.methods.two_students import (
    OFF,
    Start,
    TrainerClass,
    assert_equal,
    each_method,
    each_method_with_equal_students,
    fix_batches,
    seed,
    take_steps,
)
from tests.settings import FULL_WEIGHTS_AT_ONCE


def gradients(module: nn.Module) -> dict[str, torch.Tensor | None]:
    return {
        name: None if parameter.grad is None else parameter.grad.clone()
        for name, parameter in module.named_parameters()
    }


@each_method
def test_nnunet_finds_it(trainer_class: TrainerClass) -> None:
    assert find_semi_supervised_trainer(trainer_class.__name__) is trainer_class


@each_method
def test_without_weights_the_first_student_is_nnunettrainer_bit_for_bit(
    start: Start, trainer_class: TrainerClass
) -> None:
    plain = start(nnUNetTrainer)
    take_steps(plain, 4)
    trainer = start(trainer_class, **OFF[trainer_class])
    take_steps(trainer, 4)
    assert_equal(trainer.network.state_dict(), plain.network.state_dict())


@each_method_with_equal_students
def test_in_the_warmup_both_students_are_nnunettrainers(start: Start, trainer_class: TrainerClass) -> None:
    trainer = start(trainer_class, warmup_fraction=1)
    students = [trainer.network, trainer.students.auxiliary["second_student"]]
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
    trainer = start(nnUNetTrainerCoTraining, co_training_weight=weight, **FULL_WEIGHTS_AT_ONCE)
    labeled, unlabeled = fix_batches(trainer)
    weak, strong = unlabeled["data"].chunk(2, dim=1)
    students = [copy.deepcopy(trainer.network), copy.deepcopy(trainer.students.auxiliary["second_student"])]
    with torch.no_grad():
        pseudo_labels = [Classes().harden(student(weak)[0]) for student in students]
    losses = []
    for student, target in zip(students, reversed(pseudo_labels), strict=True):
        mask = torch.ones(target.shape, dtype=torch.bool)
        (loss,) = dice_and_cross_entropy(student(strong)[0], target, [mask])
        (trainer.loss(student(labeled["data"]), labeled["target"]) + weight * loss).backward()
        nn.utils.clip_grad_norm_(student.parameters(), 12)
        losses.append(loss.item())
    trainer.train_step(labeled)
    for student, trained in zip(students, [trainer.network, trainer.students.auxiliary["second_student"]], strict=True):
        for (name, parameter), expected in zip(trained.named_parameters(), student.parameters(), strict=True):
            torch.testing.assert_close(parameter.grad, expected.grad, rtol=1e-3, atol=1e-5, msg=name)
    means = trainer.statistics.pop_means()
    assert means["co_training_loss"] == pytest.approx(losses[0], rel=1e-4)
    assert 0 < means["co_training_share"] < 1


def test_each_module_is_clipped_by_itself(start: Start) -> None:
    trainer = start(
        nnUNetTrainerDyCONCoTraining, uncl_weight=1e4, fecl_weight=1e4, copy_paste_fraction=0.5, **FULL_WEIGHTS_AT_ONCE
    )
    take_steps(trainer, 1)
    for module in (trainer.network, *trainer.students.auxiliary.values()):
        found = [gradient.norm() for gradient in gradients(module).values() if gradient is not None]
        assert torch.stack(found).norm().item() == pytest.approx(12, rel=1e-3)


@each_method
def test_no_gradient_crosses_over(start: Start, trainer_class: TrainerClass, monkeypatch: pytest.MonkeyPatch) -> None:
    """A student's gradients, its head's included, are the same whether or not the other learns."""
    parts = {False: ["network", "projection_head"], True: ["second_student", "second_projection_head"]}
    seen = {}
    for learning in ("both", False, True):
        trainer = start(trainer_class, **FULL_WEIGHTS_AT_ONCE)
        seed(0)
        labeled, _ = fix_batches(trainer)
        if learning != "both":
            backward = trainer.step._backward
            (learner,) = [student for index, student in enumerate(trainer.students) if bool(index) is learning]
            monkeypatch.setattr(
                trainer.step,
                "_backward",
                lambda loss, student, backward=backward, learner=learner: (
                    backward(loss, student) if student is learner else None
                ),
            )
        trainer.train_step(labeled)
        modules = {"network": trainer.network, **trainer.students.auxiliary}
        seen[learning] = {name: gradients(module) for name, module in modules.items()}
    for learning in (False, True):
        own = [name for name in parts[learning] if name in seen["both"]]
        others = [name for name in parts[not learning] if name in seen["both"]]
        assert len(own) == len(others) == (2 if trainer_class is nnUNetTrainerDyCONCoTraining else 1)
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
    trainer = start(nnUNetTrainerDyCONCoTraining, copy_paste_fraction=0, cutmix_fraction=0, **FULL_WEIGHTS_AT_ONCE)
    labeled, unlabeled = fix_batches(trainer)
    weak, strong = unlabeled["data"].chunk(2, dim=1)
    students = [copy.deepcopy(trainer.network), copy.deepcopy(trainer.students.auxiliary["second_student"])]
    heads = [copy.deepcopy(trainer.students.auxiliary[name]) for name in ("projection_head", "second_projection_head")]
    assert not torch.equal(*(next(head.parameters()) for head in heads))
    seen = []
    unlabeled_losses = trainer.method.unlabeled_losses

    def watch(student: Prediction, task: PastedTask, progress: float) -> Losses:
        assert student.logits.requires_grad
        assert student.features.requires_grad
        assert not task.teacher.logits.requires_grad
        assert not task.teacher.embeddings.requires_grad
        seen.append((student, task.teacher))
        return unlabeled_losses(student, task, progress)

    monkeypatch.setattr(trainer.method, "unlabeled_losses", watch)
    trainer.train_step(labeled)
    assert len(seen) == 2
    for index, (student, teacher) in enumerate(seen):
        torch.testing.assert_close(student.logits, students[index](strong)[0])
        torch.testing.assert_close(teacher.logits, students[1 - index](weak)[0])
        own, others = heads[index], heads[1 - index]
        torch.testing.assert_close(student.embeddings, own(students[index].encoder(strong)[-1]))
        torch.testing.assert_close(teacher.embeddings, others(students[1 - index].encoder(weak)[-1]))


def test_the_first_student_is_logged(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = start(nnUNetTrainerDyCONCoTraining, **FULL_WEIGHTS_AT_ONCE)
    seen = []
    unlabeled_losses = trainer.method.unlabeled_losses
    monkeypatch.setattr(
        trainer.method,
        "unlabeled_losses",
        lambda *arguments: seen.append(unlabeled_losses(*arguments)) or seen[-1],
    )
    take_steps(trainer, 1)
    first, second = seen
    means = trainer.statistics.pop_means()
    assert first.statistics["student_entropy"] != second.statistics["student_entropy"]
    for name in ("student_entropy", "teacher_entropy", "pseudo_foreground_fraction"):
        assert means[name] == pytest.approx(first.statistics[name].item()), name
