from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from torch import nn

from benchmarks.label_efficiency.presets import PRESETS
from benchmarks.label_efficiency.trainers import (
    THREE_QUARTERS_CHECKPOINT,
    make_benchmark_trainer,
    make_bfloat16_trainer,
)
from benchmarks.label_efficiency.training import FINAL_CHECKPOINT, read_curves
from nnunetv2_dycon.training.find_trainer import find_trainer

nnUNetTrainerDyCON = find_trainer("nnUNetTrainerDyCON")
MakeTrainer = Callable[..., nnUNetTrainer]
PRESET = replace(PRESETS["hippocampus"], epochs=30, steps=7, validation_steps=4, initial_learning_rate=0.02)


def test_length_is_that_of_the_preset(make_trainer: MakeTrainer, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    trainer_class = make_benchmark_trainer(nnUNetTrainerDyCON, PRESET, bfloat16=False)
    monkeypatch.setattr(trainer_class, "__init__", _note(trainer_class.__init__, made))
    trainer = make_trainer(trainer_class)
    assert made == [(30, 7, 4, 0.02, 3)]
    # nnU-Net finds the trainer by the name that checkpoints hold.
    assert type(trainer).__name__ == "nnUNetTrainerDyCON"
    assert "nnUNetTrainerDyCON__" in trainer.output_folder


def _note(init: Callable[..., None], made: list) -> Callable[..., None]:
    def note(self, plans, configuration, fold, dataset_json, device) -> None:  # noqa: ANN001 (nnU-Net's signature)
        init(self, plans, configuration, fold, dataset_json, device)
        lengths = self.num_epochs, self.num_iterations_per_epoch, self.num_val_iterations_per_epoch
        made.append((*lengths, self.initial_lr, self.save_every))

    return note


def test_without_bfloat16_a_step_is_that_of_the_trainer(make_trainer: MakeTrainer) -> None:
    plain = make_trainer(nnUNetTrainer)
    plain.on_train_start()
    plain.on_train_epoch_start()
    expected = plain.train_step(next(plain.dataloader_train))["loss"]
    trainer_class = make_benchmark_trainer(nnUNetTrainer, replace(PRESET, initial_learning_rate=0.01), bfloat16=False)
    trainer = make_trainer(trainer_class)
    trainer.on_train_start()
    trainer.on_train_epoch_start()
    assert trainer.train_step(next(trainer.dataloader_train))["loss"] == expected
    assert all(
        torch.equal(mine, theirs)
        for mine, theirs in zip(trainer.network.parameters(), plain.network.parameters(), strict=True)
    )


def test_no_checkpoint_is_half_written(make_trainer: MakeTrainer, tmp_path: Path) -> None:
    trainer = make_trainer(make_benchmark_trainer(nnUNetTrainer, PRESET, bfloat16=False))
    trainer.on_train_start()
    file = tmp_path / "checkpoint_latest.pth"
    file.write_text("before")
    trainer.optimizer = None  # so that it fails
    with pytest.raises(AttributeError):
        trainer.save_checkpoint(str(file))
    assert file.read_text() == "before"


def test_bfloat16_is_the_trainer_that_computes_in_it(make_trainer: MakeTrainer) -> None:
    trainer = make_trainer(make_benchmark_trainer(nnUNetTrainer, PRESET, bfloat16=True))
    assert type(trainer).__name__ == "nnUNetTrainer"
    assert [base.__name__ for base in type(trainer).__mro__[1:3]] == ["Bfloat16Trainer", "nnUNetTrainer"]


@pytest.mark.parametrize(("epochs", "three_quarters"), [(8, 6), (3, 2), (1, 1)])
def test_checkpoint_of_three_quarters_is_kept(make_trainer: MakeTrainer, epochs: int, three_quarters: int) -> None:
    trainer = make_trainer(make_benchmark_trainer(nnUNetTrainer, PRESET, bfloat16=False), num_epochs=epochs)
    trainer.run_training()
    file = Path(trainer.output_folder) / THREE_QUARTERS_CHECKPOINT
    assert len(read_curves(file)["train_losses"]) == three_quarters
    assert len(read_curves(file.with_name(FINAL_CHECKPOINT))["train_losses"]) == epochs


def started(make_trainer: MakeTrainer, base: type[nnUNetTrainer]) -> nnUNetTrainer:
    trainer = make_trainer(make_bfloat16_trainer(base))
    trainer.on_train_start()
    trainer.on_train_epoch_start()
    return trainer


def test_computes_in_half_the_bits_and_returns_float32(make_trainer: MakeTrainer) -> None:
    trainer = started(make_trainer, nnUNetTrainerDyCON)
    types = {"student": set(), "teacher": set()}
    networks = {"student": trainer.network, "teacher": trainer.students.deployed_average}
    for name, network in networks.items():
        convolution = next(module for module in network.modules() if isinstance(module, nn.Conv3d))
        convolution.register_forward_hook(lambda *hooked, name=name: types[name].add(hooked[-1].dtype))
        network.register_forward_hook(lambda *hooked, name=name: types[name].add(_first(hooked[-1]).dtype))
    trainer.current_epoch = trainer.num_epochs - 1  # after the warm-up
    trainer.logger.log("train_losses", -1.0, 0)  # the labels are learnt
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
    for network, label in ((trainer.network, 1), (trainer.students.deployed_average, 0)):
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
