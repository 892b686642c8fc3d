"""The registry of trainers: every method in every length, with nnU-Net's conventions."""

from __future__ import annotations

import inspect
import pickle
import pkgutil
from pathlib import Path

import nnunetv2.training.nnUNetTrainer.variants.training_length as nnunet_lengths
import pytest
import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from nnunetv2_dycon import trainers
from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.methods import all_methods
from nnunetv2_dycon.training.find_trainer import find_semi_supervised_trainer
from tests.conftest import Workspace
from tests.method_of_a_user import METHOD_OF_A_USER


def test_every_method_has_a_trainer_of_each_length_of_nnunet() -> None:
    names = set()
    for module in pkgutil.iter_modules(nnunet_lengths.__path__):
        found = vars(__import__(f"{nnunet_lengths.__name__}.{module.name}", fromlist=["_"]))
        names |= {
            name for name in found if name.startswith("nnUNetTrainer_") and "poch" in name and "_" not in name[14:]
        }
    lengths = sorted({name.removeprefix("nnUNetTrainer") for name in names})
    assert len(lengths) >= 10
    for method in all_methods():
        for length in ("", *lengths):
            assert hasattr(trainers, f"nnUNetTrainer{method.__name__}{length}"), length


@pytest.mark.parametrize("name", ["nnUNetTrainerDyCON", "nnUNetTrainerUAMT_1epoch", "nnUNetTrainerCML_250epochs"])
def test_nnunet_finds_it_and_it_pickles(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    trainer = find_semi_supervised_trainer(name)
    assert trainer is getattr(trainers, name)
    assert trainer.__module__ == "nnunetv2_dycon.trainers"
    assert pickle.loads(pickle.dumps(trainer)) is trainer
    assert capsys.readouterr().out == ""


def test_signature_documentation_and_length(workspace: Workspace) -> None:
    trainer_class = trainers.nnUNetTrainerMeanTeacher_20epochs
    theirs = inspect.signature(nnUNetTrainer.__init__)
    assert list(inspect.signature(trainer_class.__init__).parameters) == list(theirs.parameters)
    assert "Mean teacher" in trainer_class.__doc__
    assert "20 epochs" in trainer_class.__doc__

    def num_epochs(trainer: type[nnUNetTrainer]) -> int:
        plans = {**workspace.read_plans(), "continue_training": False}
        return trainer(plans, "3d_fullres", 0, workspace.read_dataset_json(), torch.device("cpu")).num_epochs

    assert num_epochs(trainer_class) == 20
    assert num_epochs(trainers.nnUNetTrainerMeanTeacher) == num_epochs(nnUNetTrainer)


def test_a_name_that_no_method_has() -> None:
    with pytest.raises(AttributeError, match="nnUNetTrainerNobody"):
        _ = trainers.nnUNetTrainerNobody
    with pytest.raises(UserError, match="nnUNetTrainerNobody"):
        find_semi_supervised_trainer("nnUNetTrainerNobody")


def test_a_method_in_a_file_of_the_users_trains_through_the_command_line(workspace: Workspace) -> None:
    (workspace.root / "trainers" / "own_method.py").write_text(METHOD_OF_A_USER)
    plans = workspace.read_plans()
    plans["configurations"]["3d_fullres"]["own"] = {"own_weight": 2.5, "warmup_fraction": 0, "wait_for_labels": False}
    workspace.write_plans(plans, "nnUNetPlansOwn")
    (workspace.root / "trainers" / "short_own.py").write_text(
        "from own_method import nnUNetTrainerOwn_1epoch\n\n\n"
        "class nnUNetTrainerOwnShort(nnUNetTrainerOwn_1epoch):\n"
        "    def initialize(self):\n"
        "        self.num_iterations_per_epoch, self.num_val_iterations_per_epoch = 2, 1\n"
        "        super().initialize()\n"
    )
    output = workspace.run(
        "nnUNetv2_train", 501, "3d_fullres", 0, "-tr", "nnUNetTrainerOwnShort", "-p", "nnUNetPlansOwn", "-device", "cpu"
    )
    assert "own_weight: 2.5" in output
    assert "squared_error_loss" in output
    model = workspace.results / "nnUNetTrainerOwnShort__nnUNetPlansOwn__3d_fullres"
    assert (Path(model) / "fold_0" / "checkpoint_final.pth").is_file()
    output = workspace.run("nnunetv2_dycon", "plan", "-tr", "nnUNetTrainerOwn")
    assert "`own_weight`" in output
