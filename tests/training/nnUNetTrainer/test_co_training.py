"""Two students that learn from each other."""

from __future__ import annotations

import copy

import pytest
import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from torch import nn

from nnunetv2_dycon.losses.label_space import Classes
from nnunetv2_dycon.losses.segmentation import dice_and_cross_entropy
from nnunetv2_dycon.training.find_trainer import find_semi_supervised_trainer
from nnunetv2_dycon.training.nnUNetTrainer.nnUNetTrainerCoTraining import nnUNetTrainerCoTraining
from nnunetv2_dycon.training.nnUNetTrainer.nnUNetTrainerDyCONCoTraining import nnUNetTrainerDyCONCoTraining
from tests.training.nnUNetTrainer.two_students import (
    AT_ONCE,
    OFF,
    Start,
    TrainerClass,
    assert_equal,
    both_methods,
    fix_batches,
    seed,
    take_steps,
)


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
        pseudo_labels = [Classes().harden(student(weak)[0]) for student in students]
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
