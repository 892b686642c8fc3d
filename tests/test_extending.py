"""The examples of documentation/extending.md do what the page says."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from benchmarks.label_efficiency.arm_settings import settings_in_force
from benchmarks.label_efficiency.find_arms import arms_of_file, find_trainer_class
from nnunetv2_dycon import trainers
from nnunetv2_dycon.commands import main
from nnunetv2_dycon.losses.label_space import Classes, Regions
from nnunetv2_dycon.methods.mean_teacher import MeanTeacherSettings
from nnunetv2_dycon.methods.method import Guidance, LabeledBatch, Prediction
from nnunetv2_dycon.training.find_trainer import find_semi_supervised_trainer
from tests.conftest import Workspace
from tests.settings import FULL_WEIGHTS_AT_ONCE

PAGE = Path(__file__).resolve().parents[1] / "documentation" / "extending.md"
LONGEST_METHOD = 60


def read_examples() -> dict[str, str]:
    """The Python code of each section, by its heading."""
    sections = re.split(r"^## (.+)\n", PAGE.read_text(), flags=re.MULTILINE)[1:]
    found = {
        heading: re.findall(r"^```python\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)
        for heading, text in zip(sections[::2], sections[1::2], strict=True)
    }
    return {heading: code for heading, (code,) in found.items()}


EXAMPLES = read_examples()


def run_example(heading: str) -> SimpleNamespace:
    names: dict[str, object] = {"__name__": "example"}
    exec(compile(EXAMPLES[heading], f"{PAGE.name}: {heading}", "exec"), names)
    return SimpleNamespace(**names)


def test_all_examples_are_tested() -> None:
    assert list(EXAMPLES) == ["A method", "A loss", "What the student sees", "A command"]
    assert PAGE.read_text().count("```python") == len(EXAMPLES)


def test_a_method_is_short() -> None:
    assert len(EXAMPLES["A method"].splitlines()) <= LONGEST_METHOD


@pytest.fixture
def method_file(workspace: Workspace) -> Path:
    """The example of a method in a folder of the user's."""
    file = workspace.root / "trainers" / "certain_labels.py"
    file.write_text(EXAMPLES["A method"])
    return file


@pytest.mark.usefixtures("method_file")
def test_the_method_is_found_by_nnunet_and_trains(
    workspace: Workspace, make_trainer: Callable[..., nnUNetTrainer]
) -> None:
    assert find_semi_supervised_trainer("nnUNetTrainerCertainLabels_100epochs").training_length == 100
    trainer_class = find_semi_supervised_trainer("nnUNetTrainerCertainLabels")
    plans = workspace.read_plans()
    # Of three classes, so that every voxel of a network that knows nothing yet counts.
    settings = {**FULL_WEIGHTS_AT_ONCE, "largest_entropy": 1.1}
    plans["configurations"]["3d_fullres"]["certain_labels"] = settings
    workspace.write_plans(plans, "nnUNetPlansCertain")
    trainer = make_trainer(trainer_class, "nnUNetPlansCertain")
    trainer.on_train_start()
    trainer.on_train_epoch_start()
    before = [parameter.clone() for parameter in trainer.network.parameters()]
    for _ in range(2):
        trainer.train_step(next(trainer.dataloader_train))
    means = trainer.statistics.pop_means()
    assert means["certain_fraction"] == 1
    assert means["pseudo_label_weight"] == 1
    assert 0 < means["pseudo_label_loss"] < math.inf
    assert 0 < means["pseudo_label_share"] < 1
    assert any(not torch.equal(*pair) for pair in zip(before, trainer.network.parameters(), strict=True))


@pytest.mark.parametrize(("labels", "target"), [(Classes(), [0, 1]), (Regions(), [False, True])])
def test_uncertain_voxels_do_not_count_in_the_method(
    labels: Classes | Regions, target: list[int], method_file: Path
) -> None:
    """Two voxels; of the second the teacher is certain, and the student's loss of it alone is left."""
    method_class = find_trainer_class(f"{method_file}:nnUNetTrainerCertainLabels").method_class
    method = method_class(method_class.settings_class(), labels)
    channels = 2 if isinstance(labels, Classes) else 1
    teacher = torch.zeros(1, channels, 1, 2)
    teacher[:, -1, :, 1] = 20
    assert labels.harden(teacher).flatten().tolist() == target
    student = torch.zeros(1, channels, 1, 2, requires_grad=True)
    task = method.task(student, Guidance((Prediction(teacher),)), LabeledBatch(student, student))
    losses = method.unlabeled_losses(Prediction(student), task, 0.5)
    losses.terms["pseudo_label"].backward()
    # Dice is 2 * 0.5 / (0.5 + 1).
    assert losses.terms["pseudo_label"].item() == pytest.approx(1 / 3 + math.log(2), rel=1e-4)
    assert losses.statistics["certain_fraction"] == 0.5
    assert not student.grad[..., 0].any()
    assert student.grad[..., 1].any()


def test_the_method_is_an_arm_of_the_benchmark(method_file: Path) -> None:
    (arm,) = arms_of_file(method_file)
    assert arm.name == "CertainLabels"
    assert arm.description == "The student learns the teacher's hard labels where the teacher is certain."
    assert settings_in_force(find_trainer_class(arm.trainer), {"largest_entropy": 0.1})["pseudo_label_weight"] == 1


def test_the_loss_has_a_value_and_a_gradient() -> None:
    loss_of = run_example("A loss").dice_consistency
    student = torch.tensor([0.0, 20.0]).view(1, 1, 2).requires_grad_()
    teacher = torch.tensor([20.0, 20.0]).view(1, 1, 2).requires_grad_()
    loss = loss_of(student, teacher, labels=Regions())
    # Probabilities 0.5 and 1 of the student, 1 and 1 of the teacher.
    assert loss.item() == pytest.approx(1 - 2 * 1.5 / (1.25 + 2), rel=1e-4)
    loss.backward()
    # A larger first probability would be nearer to the teacher's.
    assert student.grad[0, 0, 0] < 0
    assert teacher.grad is None


@pytest.mark.parametrize("labels", [Classes(), Regions()])
def test_the_loss_is_zero_for_equal_logits_in_float32_and_finite_without_any_foreground(
    labels: Classes | Regions,
) -> None:
    loss_of = run_example("A loss").dice_consistency
    logits = torch.randn(2, 3, 4, 5, 6).half()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = loss_of(logits, logits, labels=labels)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(0, abs=1e-6)
    nothing = torch.full((1, 2, 3, 3), -200.0, requires_grad=True)
    loss_of(nothing, nothing, labels=labels).backward()
    assert nothing.grad.isfinite().all()


def test_the_view_changes_the_patches_and_the_teachers_logits_move_along() -> None:
    method = run_example("What the student sees").CutMix(MeanTeacherSettings(), Classes())
    index = torch.arange(3.0).view(3, 1, 1, 1, 1)
    strong, logits = index.expand(3, 1, 8, 8, 8), index.expand(3, 2, 8, 8, 8)
    task = method.task(strong, Guidance((Prediction(logits),)), LabeledBatch(strong, strong))
    # A box of half of each axis is an eighth of the patch; each shows the next patch.
    moved = task.patches != strong
    assert moved.flatten(1).sum(1).tolist() == [64, 64, 64]
    assert torch.equal(task.patches[moved].unique(), torch.arange(3.0))
    assert torch.equal(task.teacher.logits, task.patches.expand(3, 2, 8, 8, 8))
    losses = method.unlabeled_losses(Prediction(task.teacher.logits), task, 0.5)
    assert losses.terms["consistency"] == 0


def test_the_command_is_run_by_the_command_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ModuleType("trainers")
    exec(EXAMPLES["A command"], vars(command))
    monkeypatch.setattr(main, "COMMANDS", (*main.COMMANDS, command))
    assert main.main(["trainers"]) == 0
    names = capsys.readouterr().out.split()
    assert "nnUNetTrainerDyCON" in names
    assert "nnUNetTrainerDyCON_5epochs" not in names
    assert main.main(["trainers", "--all"]) == 0
    assert capsys.readouterr().out.split() == trainers.__all__
    with pytest.raises(SystemExit):
        main.main(["--help"])
    assert "list the trainers of this package" in capsys.readouterr().out


def test_the_command_imports_nothing_slow_before_it_is_run() -> None:
    head, _ = EXAMPLES["A command"].split("def run")
    imported = re.findall(r"^import (\w+)|^from (\w+)", head, flags=re.MULTILINE)
    assert {first or second for first, second in imported} <= sys.stdlib_module_names
