"""The trainers of the benchmark do whole steps, on batches of the size that the case says."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from benchmarks.common.workspace import Configuration
from benchmarks.training_step.measure import CASES, TRAINERS, case, make_step, prepare, time_steps
from benchmarks.training_step.parts import LABELED, UNLABELED, time_parts
from nnunetv2_dycon.losses import uncl
from nnunetv2_dycon.methods import dycon as dycon_module
from nnunetv2_dycon.trainers import nnUNetTrainerDyCON
from tests.settings import FULL_WEIGHTS_AT_ONCE

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def _prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("step")
    with pytest.MonkeyPatch.context() as patches:
        for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results", "nnUNet_n_proc_DA"):
            patches.setenv(name, "0")
        prepare(folder, CASES["tiny"])
    return folder


@pytest.fixture
def folder(_prepared: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace; nnU-Net's variables are as before after the test."""
    for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results", "nnUNet_n_proc_DA"):
        monkeypatch.setenv(name, "0")
    return _prepared


def test_the_cases_are_those_of_the_claim() -> None:
    assert case("hippocampus", None) == Configuration((40, 56, 40), (32, 64, 128, 256), 2, 1)
    assert case("patch64", None) == Configuration((64, 64, 64), (32, 64, 128, 256, 320), 2, 1)
    assert case("patch64", 5).batch_size == 5


def test_both_trainers_step_on_the_same_labeled_batch_and_dycon_on_one_more(folder: Path) -> None:
    seen: dict[str, list] = {}
    for name in TRAINERS:
        trainer, step = make_step(name, folder, CPU)
        assert type(trainer) is {"nnUNetTrainer": nnUNetTrainer, "nnUNetTrainerDyCON": nnUNetTrainerDyCON}[name]
        inputs = seen.setdefault(name, [])
        trainer.network.register_forward_pre_hook(lambda _, arguments, inputs=inputs: inputs.append(arguments[0]))
        before = trainer.network.encoder.stages[0][0].convs[0].conv.weight.clone()
        step()
        assert not torch.equal(trainer.network.encoder.stages[0][0].convs[0].conv.weight, before)
    (labeled,) = seen["nnUNetTrainer"]
    unlabeled, labeled_of_dycon = seen["nnUNetTrainerDyCON"]
    assert torch.equal(labeled, labeled_of_dycon)
    assert labeled.shape == unlabeled.shape == (2, 1, 16, 16, 16)
    assert not torch.equal(labeled, unlabeled)


def test_the_method_is_in_force_at_its_full_weights_and_otherwise_as_by_default(folder: Path) -> None:
    trainer, step = make_step("nnUNetTrainerDyCON", folder, CPU)
    # Off wherever there is no ignore label.
    expected = {**vars(dycon_module.DyCONSettings()), **FULL_WEIGHTS_AT_ONCE, "ignored_voxels_as_unlabeled": False}
    assert trainer.settings.differences(expected) == []
    step()
    means = trainer.statistics.pop_means()
    assert means["ramp"] == 1
    assert means["uncl_loss"] > 0


def test_every_step_counts_after_the_first_ones(folder: Path) -> None:
    seconds = time_steps(folder, CPU, repeats=3)
    assert tuple(seconds) == TRAINERS
    assert all(len(values) == 3 and min(values) > 0 for values in seconds.values())


def test_all_parts_of_a_step_are_timed_and_nothing_is_left_changed(folder: Path) -> None:
    originals = dycon_module.uncl_terms, dycon_module.fecl_loss, uncl._UnCL.__dict__["backward"]
    trainer, step = make_step("nnUNetTrainerDyCON", folder, CPU)
    parts = time_parts(trainer, step, repeats=2)
    assert min(seconds for *_, seconds in parts) > 0
    both = {"rest", "student forward", "backward"}
    unlabeled = both | {"teacher forward", "pseudo-labels and statistics", "UnCL forward", "UnCL backward"}
    assert {part for phase, part, _ in parts if phase == UNLABELED} == unlabeled
    assert {part for phase, part, _ in parts if phase == LABELED} == both | {"supervised loss"}
    assert {phase for phase, *_ in parts} == {UNLABELED, LABELED, "optimizer", "teacher's average"}
    assert (dycon_module.uncl_terms, dycon_module.fecl_loss, uncl._UnCL.__dict__["backward"]) == originals
    assert "_backward" not in vars(trainer)
