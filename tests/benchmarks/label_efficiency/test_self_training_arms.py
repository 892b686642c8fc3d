from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from unittest.mock import patch

import pytest

from benchmarks.label_efficiency import scheduler
from benchmarks.label_efficiency.claims import Claim
from benchmarks.label_efficiency.runs import Run
from tests.benchmarks.label_efficiency.conftest import Command, record_of, run_here


def test_self_training_trains_on_predicted_labels(
    copied_workspace: Path, run_command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    with patch.object(scheduler, "_run_worker", run_here):
        assert run_command(copied_workspace, "--budgets", "2", "--arms", "AllComponents") == 0
    folder = copied_workspace / "runs" / "Tiny" / "2" / "AllComponents" / "seed_0"
    record = record_of(copied_workspace, "AllComponents")
    assert f"The first training is that of {copied_workspace}/runs/Tiny/2/DyCON/seed_0/" in capsys.readouterr().out
    first = record_of(copied_workspace, "DyCON")["training_seconds"]
    assert record["training_seconds"] == pytest.approx(first + sum(record["curves"]["epoch_seconds"]))
    (raw,) = (folder / "nnUNet_raw").iterdir()
    assert {file.name.removesuffix(".nii.gz") for file in (raw / "labelsTr").iterdir()} == {
        *record["labeled"],
        *record["unlabeled"],
    }
    assert json.loads((raw / "self_training.json").read_text())["all_components"]
    for case in record["unlabeled"]:
        predicted = (folder / "pseudo_labels" / f"{case}.nii.gz").read_bytes()
        assert (raw / "labelsTr" / f"{case}.nii.gz").read_bytes() == predicted
    (log,) = (folder / "nnUNet_results").glob("*_self_training/nnUNetTrainer__*/fold_all/training_log*.txt")
    assert os.path.getsize(log) > 0
    # A second round starts from the model of the first, here from one that had all components.
    second = ("--budgets", "2", "--arms", "DyCONSelfTraining2")
    assert run_command(copied_workspace, *second) == 1
    assert "starts from Tiny, 2 labels, DyCONSelfTraining, seed 0, which is not started" in capsys.readouterr().out
    folder.parent.rename(folder.parent.with_name("DyCONSelfTraining"))
    with patch.object(scheduler, "_run_worker", run_here):
        assert run_command(copied_workspace, *second) == 0
    assert "/DyCONSelfTraining/seed_0/nnUNet_results/" in capsys.readouterr().out.partition("The first training is")[2]
    again = record_of(copied_workspace, "DyCONSelfTraining2")
    seconds = record["training_seconds"] + sum(again["curves"]["epoch_seconds"])
    assert again["training_seconds"] == pytest.approx(seconds)
    assert again["settings"] == record["settings"]
    assert again["settings"]["DyCON.uncl_weight"] == 1.0
    (copied_workspace / "runs" / "Tiny" / "2" / "DyCONSelfTraining2" / "seed_0" / "record.json").unlink()
    (checkpoint,) = (folder.parent.with_name("DyCONSelfTraining") / "seed_0").rglob("checkpoint_final.pth")
    checkpoint.unlink()
    assert run_command(copied_workspace, *second) == 1
    assert "was done with other settings, or its checkpoint is gone" in capsys.readouterr().out


def test_self_training_does_its_first_training_where_nobody_has(
    copied_workspace: Path, run_command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(copied_workspace / "runs" / "Tiny" / "2" / "nnUNet")
    with patch.object(scheduler, "_run_worker", run_here):
        assert run_command(copied_workspace, "--budgets", "2", "--arms", "SelfTraining") == 0
    folder = copied_workspace / "runs" / "Tiny" / "2" / "SelfTraining" / "seed_0"
    assert f"The first training is that of {folder}/nnUNet_results/" in capsys.readouterr().out
    trained = {path.name.partition("_2labeled")[2] for path in (folder / "nnUNet_results").iterdir()}
    assert trained == {"", "_self_training"}
    record = record_of(copied_workspace, "SelfTraining")
    assert record["training_seconds"] > sum(record["curves"]["epoch_seconds"])


def test_self_training_leaves_its_first_training_to_the_process_that_does_it_and_takes_none_of_other_settings(
    copied_workspace: Path, run_command: Command, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    started: list[str | None] = []

    def note(run: Run, _: object) -> int:
        started.append(json.loads((run.folder / "run.json").read_text())["first_checkpoint"])
        return 1

    monkeypatch.setattr(scheduler, "_run_worker", note)
    options = ("--budgets", "2", "--arms", "DyCONSelfTraining", "--seeds")
    first = copied_workspace / "runs" / "Tiny" / "2" / "DyCON"
    claim = Claim(first / "seed_1" / "claim")
    assert claim.take()
    with claim:
        assert run_command(copied_workspace, *options, "1") == 0
    assert "needs Tiny, 2 labels, DyCON, seed 1, which is claimed by process" in capsys.readouterr().out
    assert not started
    with Claim(first / "seed_1" / "claim") as again:
        assert again.take()
        # An array of SLURM will not come back to it.
        assert run_command(copied_workspace, *options, "1", "--only", "0") == 1
    assert started.pop() is None
    assert run_command(copied_workspace, *options, "0") == 1
    record = json.loads((first / "seed_0" / "record.json").read_text())
    record["settings"]["uncl_weight"] = 77.0
    (first / "seed_0" / "record.json").write_text(json.dumps(record))
    assert run_command(copied_workspace, *options, "0") == 1
    (of_same, of_others) = started
    record["settings"]["uncl_weight"] = 1.0
    (first / "seed_0" / "record.json").write_text(json.dumps(record))
    (checkpoint,) = (first / "seed_0").rglob("checkpoint_final.pth")
    checkpoint.unlink()
    (first.with_name("DyCONSelfTraining") / "seed_0" / "run.json").unlink()
    assert run_command(copied_workspace, *options, "0") == 1
    assert started[2:] == [None]
    assert of_same is not None
    assert of_same.startswith(str(first / "seed_0"))
    assert of_others is None
