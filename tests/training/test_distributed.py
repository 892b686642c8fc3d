"""Several processes that share a training are one process with the joined batches."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from nnunetv2_dycon.losses import Reduction
from nnunetv2_dycon.methods import dycon
from tests.training import several_processes
from tests.training.several_processes import BATCH_SIZE, NUM_PATCHES, NUM_STEPS, TRAINERS, WORLD_SIZES

if TYPE_CHECKING:
    from tests.conftest import Workspace

Results = dict[str, Any]


class MakeTrainer:
    """Makes trainers as the fixture make_trainer does, in another process."""

    def __init__(self, plans: dict[str, dict], dataset_json: dict) -> None:
        self.plans, self.dataset_json = plans, dataset_json

    def __call__(self, trainer_class: type[nnUNetTrainer], plans: str, *, seed: int) -> nnUNetTrainer:
        torch.manual_seed(seed)
        plans_dict = {**self.plans[plans], "continue_training": False}
        return trainer_class(plans_dict, "3d_fullres", 0, self.dataset_json, torch.device("cpu"))


@pytest.fixture
def results(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Results, list[list[Results]]]:
    """What one process gives, and what each of three and of two does."""
    names = {}
    for trainer_class in TRAINERS:
        plans = workspace.read_plans()
        configuration = plans["configurations"]["3d_fullres"]
        configuration.update(batch_size=BATCH_SIZE, batch_dice=trainer_class.__name__ == "nnUNetTrainerCoTraining")
        section = configuration[trainer_class.method_class.settings_section] = {"wait_for_labels": False}
        if issubclass(trainer_class.method_class, dycon.DyCON):
            # Which patches are mixed with which depends on the process that has them.
            section |= {"cutmix_fraction": 0, "copy_paste_share": 1, "fecl_weight": 0.1}
        names[trainer_class.__name__] = f"nnUNetPlans{trainer_class.method_class.__name__}"
        workspace.write_plans(plans, names[trainer_class.__name__])
    make = MakeTrainer({name: workspace.read_plans(name) for name in names.values()}, workspace.read_dataset_json())
    monkeypatch.setattr(dycon, "paste_boxes", several_processes.paste_fixed_boxes)
    one = {"losses": several_processes.losses(Reduction(), slice(0, NUM_PATCHES))}
    for trainer_class in TRAINERS:
        name = trainer_class.__name__
        trainer = make(trainer_class, names[name], seed=0)
        one[name] = several_processes.train(trainer)
    # Momentum and weights of the optimizer that nnU-Net gives it are in the checkpoint.
    trainer.optimizer, _ = trainer.configure_optimizers()
    trainer.save_checkpoint(str(tmp_path / several_processes.CHECKPOINT))
    one["resumed"] = several_processes.resume(
        make(trainer_class, names[name], seed=0), tmp_path / several_processes.CHECKPOINT
    )
    torch.multiprocessing.spawn(several_processes.run, (tmp_path, make, names), nprocs=max(WORLD_SIZES))
    several = [
        [torch.load(tmp_path / f"{size}_{rank}.pt", weights_only=False) for rank in range(size)] for size in WORLD_SIZES
    ]
    return one, several


# One test, since each process takes seconds to start.
def test_several_processes_are_one_with_the_joined_batches(
    results: tuple[Results, list[list[Results]]], tmp_path: Path
) -> None:
    one, groups = results
    for several in groups:
        for check in (_check_losses, _check_weights, _check_logs, _check_messages):
            check(one, several)
        _check_what_goes_between(several)
        _check_checkpoint(several, tmp_path)


def _check_losses(one: Results, several: list[Results]) -> None:
    for name, (value, gradient) in one["losses"].items():
        assert gradient.abs().max() > 0, name
        for process in several:
            there, gradient_there = process["losses"][name]
            # Embeddings have weights in single precision.
            torch.testing.assert_close(there, value, rtol=1e-6, atol=1e-9, msg=name)
            mean_of_processes = gradient_there / len(several)
            torch.testing.assert_close(mean_of_processes, gradient[process["patches"]], rtol=1e-6, atol=1e-9, msg=name)


def _check_weights(one: Results, several: list[Results]) -> None:
    for run in (*(trainer_class.__name__ for trainer_class in TRAINERS), "resumed"):
        for part in ("student", "auxiliary", "average"):
            expected = one[run].get(part, {})
            for process in several:
                there = process[run].get(part, {})
                assert there.keys() == expected.keys()
                for name, value in expected.items():
                    text = f"{part} of {run}: {name}"
                    torch.testing.assert_close(there[name], value, rtol=0, atol=1e-5, msg=text)
                    assert torch.equal(there[name], several[0][run][part][name]), text


def _check_checkpoint(several: list[Results], folder: Path) -> None:
    """Only the first process has written one, with the names that one process gives to weights."""
    names = [file.name for file in folder.glob(f"{len(several)}_*.pth")]
    assert names == [f"{len(several)}_0.pth"]
    checkpoint = torch.load(folder / names[0], weights_only=False)
    of_one = torch.load(folder / several_processes.CHECKPOINT, weights_only=False)
    assert checkpoint["network_weights"].keys() == of_one["network_weights"].keys()
    for part in ("student", "auxiliary", "teacher"):
        assert checkpoint["semi_supervised"][part].keys() == of_one["semi_supervised"][part].keys()


def _check_logs(one: Results, several: list[Results]) -> None:
    for trainer_class in TRAINERS:
        expected = one[trainer_class.__name__]["logged"]
        assert len(expected) >= 2
        for process in several:
            # With two Dice losses of parts of a batch, nnU-Net's own loss is another number.
            assert process[trainer_class.__name__]["logged"] == pytest.approx(expected, rel=1e-3), trainer_class


def _check_messages(one: Results, several: list[Results]) -> None:
    for trainer_class in TRAINERS:
        name = trainer_class.__name__
        for process in several:
            for sent in process[name]["messages"]:
                assert len(sent) == 1 + NUM_STEPS, name
            assert process[name]["batch sizes"] == (BATCH_SIZE // len(several),) * 2
        assert one[name]["batch sizes"] == (BATCH_SIZE,) * 2


def _check_what_goes_between(several: list[Results]) -> None:
    found = [process["between"] for process in several]
    assert {there["first"] for there in found} == {("made by", 0)}
    assert {there["mean"]["loss"] for there in found} == {(len(several) - 1) / 2}
    last = len(several) - 1
    # The last one alone had patches that were drawn uniformly, and the one that waited longest decides.
    expected = {"ramp": last / 2, "weak_view_entropy": last / 2, "weak_view_foreground_fraction": 0.5}
    for there in found:
        watched = there["watched"]
        assert 0.9 < watched.pop("waiting_fraction") < 1
        assert math.isnan(watched.pop("labeled_foreground_fraction"))
        assert watched == expected
    assert all(there["anywhere"] == [True, False] for there in found)
    kinds = ["UserError"] + ["FirstProcessError"] * (len(several) - 1)
    assert [there["error"] for there in found] == [(kind, "The disk is full.") for kind in kinds]
    for draws in zip(*(there["random"] for there in found), strict=True):
        assert len(set(draws)) == len(several)
    assert all('"unlabeled_batch_size" is 1' in there["refused"] for there in found)
    patches = [patch for process in several for patch in range(NUM_PATCHES)[process["patches"]]]
    assert patches == list(range(NUM_PATCHES))
