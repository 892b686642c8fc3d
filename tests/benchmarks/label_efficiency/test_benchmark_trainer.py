from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from benchmarks.label_efficiency.benchmark_trainer import make_benchmark_trainer
from benchmarks.label_efficiency.curves import read_curves
from benchmarks.label_efficiency.presets import PRESETS
from benchmarks.label_efficiency.training import FINAL_CHECKPOINT, THREE_QUARTERS_CHECKPOINT
from nnunetv2_dycon.trainers import nnUNetTrainerDyCON

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
