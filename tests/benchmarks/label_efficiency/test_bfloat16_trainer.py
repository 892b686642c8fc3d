from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from torch import nn

from benchmarks.label_efficiency.bfloat16_trainer import make_bfloat16_trainer
from nnunetv2_dycon.trainers import nnUNetTrainerDyCON

MakeTrainer = Callable[..., nnUNetTrainer]


def started(make_trainer: MakeTrainer, base: type[nnUNetTrainer]) -> nnUNetTrainer:
    trainer = make_trainer(make_bfloat16_trainer(base))
    trainer.on_train_start()
    trainer.on_train_epoch_start()
    return trainer


def test_computes_in_half_the_bits_and_returns_float32(make_trainer: MakeTrainer) -> None:
    trainer = started(make_trainer, nnUNetTrainerDyCON)
    types = {"student": set(), "teacher": set()}
    networks = {"student": trainer.network, "teacher": trainer.teacher.module["network"]}
    for name, network in networks.items():
        convolution = next(module for module in network.modules() if isinstance(module, nn.Conv3d))
        convolution.register_forward_hook(lambda *hooked, name=name: types[name].add(hooked[-1].dtype))
        network.register_forward_hook(lambda *hooked, name=name: types[name].add(_first(hooked[-1]).dtype))
    trainer.current_epoch = trainer.num_epochs - 1  # after the warm-up
    loss = trainer.train_step(next(trainer.dataloader_train))["loss"]
    assert types == {"student": {torch.bfloat16, torch.float32}, "teacher": {torch.bfloat16, torch.float32}}
    assert torch.isfinite(torch.as_tensor(loss))
    assert all(parameter.dtype == torch.float32 for parameter in trainer.network.parameters())


def _first(output: list[torch.Tensor] | torch.Tensor) -> torch.Tensor:
    return output[0] if isinstance(output, list) else output


def test_steps_change_what_the_network_computes(make_trainer: MakeTrainer) -> None:
    trainer = started(make_trainer, nnUNetTrainer)
    batch = next(trainer.dataloader_train)
    losses = [float(trainer.train_step(batch)["loss"]) for _ in range(6)]
    assert losses[-1] < losses[0] - 0.05


def test_validates_student_and_teacher_with_their_own_weights(make_trainer: MakeTrainer) -> None:
    trainer = started(make_trainer, nnUNetTrainerDyCON)
    for network, label in ((trainer.network, 1), (trainer.teacher.module["network"], 0)):
        with torch.no_grad():
            for layer in network.decoder.seg_layers:
                layer.weight.zero_()
                layer.bias.zero_()
                layer.bias[label] = 10
    batch = next(trainer.dataloader_val)
    with torch.no_grad():
        teacher = trainer.validation_step(copy.deepcopy(batch))
    # The teacher, which is deployed, says background everywhere, the student never does.
    assert teacher["fp_hard"].sum() == 0
    student = trainer.pseudo_dice["student"]
    assert student.pop_mean() > 0
