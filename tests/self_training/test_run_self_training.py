"""Self-training with nnU-Net's own commands in their own processes, which fork from one that has its imports."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import SimpleITK as sitk

from nnunetv2_dycon.commands.main import main
from nnunetv2_dycon.nnunet_command import print_command
from nnunetv2_dycon.self_training import run_self_training
from tests.command_server import run_command

if TYPE_CHECKING:
    from tests.conftest import Workspace

NAME, NEXT_NAME = "Dataset502_Tiny_self_training", "Dataset503_Tiny_self_training"
COMMAND = ("self-train", "-d", 501, "-p", "nnUNetPlansSmall", "-device", "cpu", "-np", 1, "--disable_tta")
TRAINERS = ("-tr", "nnUNetTrainerDyCONShort", "-tr2", "nnUNetTrainerShort", "--all_components")
COMMANDS = (
    "nnUNetv2_train Dataset501",
    "nnUNetv2_predict",
    "nnunetv2_dycon pseudo-label",
    "nnUNetv2_extract_fingerprint",
    "nnUNetv2_move_plans_between_datasets",
    "nnUNetv2_preprocess",
    f"nnUNetv2_train {NAME}",
    f"nnUNetv2_train {NEXT_NAME}",
)
ONE_ROUND, TWO_ROUNDS = ("-o", 502), ("-o", 502, 503)


def commands_run(output: str) -> list[str]:
    lines = [line[2:] for line in output.splitlines() if line.startswith("$ ")]
    return [next(command for command in COMMANDS if line.startswith(command)) for line in lines]


def run_forked_command(name: str, *arguments: str | Path, environment: Mapping[str, str]) -> None:
    """What run_nnunet_command does, without importing for each command what nnU-Net needs."""
    line = print_command(name, *arguments)
    exit_code, output = run_command(name, [str(argument) for argument in arguments], environment)
    print(output)
    assert exit_code == 0, line


@pytest.fixture
def self_train(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """Run the command with further arguments, to its end; returns its output."""
    # Where nnU-Net finds the short trainers of this test.
    monkeypatch.setenv("nnUNet_extTrainer", workspace.environment["nnUNet_extTrainer"])
    monkeypatch.setattr(run_self_training, "run_nnunet_command", run_forked_command)

    def run(*arguments: object) -> str:
        exit_code = main([str(argument) for argument in (*COMMAND, *TRAINERS, *arguments)])
        output, errors = capsys.readouterr()
        assert exit_code == 0, output + errors
        return output

    return run


@pytest.fixture
def regions(workspace: Workspace) -> None:
    """The tiny dataset with regions, preprocessed as such."""
    dataset_json = workspace.read_dataset_json()
    dataset_json |= {"labels": {"background": 0, "whole": [1, 2], "lesion": [2]}, "regions_class_order": [1, 2]}
    workspace.write_dataset_json(dataset_json)
    workspace.run("nnUNetv2_preprocess", "-d", 501, "-plans_name", "nnUNetPlansSmall", "-c", "3d_fullres", "-np", 1)


@pytest.mark.usefixtures("regions")
def test_all_steps_on_regions_and_again(
    workspace: Workspace, self_train: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    output = self_train(*TWO_ROUNDS)
    assert commands_run(output) == [*COMMANDS[:7], *COMMANDS[1:6], COMMANDS[7]]
    assert re.findall(r"^=== (\d+/\d+)  ", output, re.MULTILINE) == [f"{step}/9" for step in range(1, 10)]
    labeling = [
        line for line in output.splitlines() if line.startswith("$ nnunetv2_dycon pseudo-label -d Dataset501_T")
    ]
    assert [line.partition(" -o ")[2] for line in labeling] == [f"{n} --all_components" for n in (NAME, NEXT_NAME)]
    assert "$ nnUNetv2_predict -d Dataset502_Tiny_self_training -c 3d_fullres -f 0 -tr nnUNetTrainerShort " in output
    raw, preprocessed = workspace.raw.with_name(NAME), workspace.preprocessed.with_name(NAME)
    results = workspace.results.with_name(NAME)
    unlabeled = [f"demo_{i:03d}" for i in range(6, 10)]
    predictions = workspace.results / "nnUNetTrainerDyCONShort__nnUNetPlansSmall__3d_fullres" / "fold_0/pseudo_labels"
    second = results / "nnUNetTrainerShort__nnUNetPlansSmall__3d_fullres"
    for name, predicted in ((NAME, predictions), (NEXT_NAME, second / "fold_0" / "pseudo_labels")):
        for case in unlabeled:
            made = (raw.with_name(name) / "labelsTr" / f"{case}.nii.gz").read_bytes()
            assert made == (predicted / f"{case}.nii.gz").read_bytes()
    assert (results.with_name(NEXT_NAME) / second.name / "fold_0" / "checkpoint_final.pth").is_file()
    split = {"train": [*(f"demo_{i:03d}" for i in range(4)), *unlabeled], "val": ["demo_004", "demo_005"]}
    assert json.loads((preprocessed / "splits_final.json").read_text()) == [split]
    assert "8 training and 2 validation cases" in next((second / "fold_0").glob("training_log*")).read_text()
    assert len(list((second / "fold_0" / "validation").glob("*.nii.gz"))) == 2
    plans = json.loads((second / "plans.json").read_text())
    assert plans == workspace.read_plans() | {"dataset_name": NAME}

    printed = output.rstrip().splitlines()[-1]
    assert printed.startswith("nnunetv2_dycon compare -d 501 ")
    assert main(shlex.split(printed)[1:]) == 0
    compared = capsys.readouterr().out
    assert compared.startswith("Dataset501_Tiny, Dataset503_Tiny_self_training, fold 0\n\nWarning: 2 cases are too few")

    files = {file: file.stat().st_mtime_ns for file in workspace.root.rglob("*") if file.is_file()}
    again = self_train(*TWO_ROUNDS)
    assert commands_run(again) == ["nnunetv2_dycon pseudo-label"] * 2
    ignored = "dataset.json"
    assert {
        file: file.stat().st_mtime_ns for file in workspace.root.rglob("*") if file.is_file() and file.name != ignored
    } == {file: time for file, time in files.items() if file.name != ignored}
    assert "WARNING" not in again
    _check_that_killed_steps_are_done_again(workspace, self_train, preprocessed, predictions, second / "fold_0")
    without_tta = [str(argument) for argument in (*COMMAND, *TRAINERS, *ONE_ROUND) if argument != "--disable_tta"]
    assert main(without_tta) == 1
    assert "(disable_tta differ): remove that folder" in capsys.readouterr().err


def _check_that_killed_steps_are_done_again(
    workspace: Workspace, self_train: Callable[..., str], preprocessed: Path, predictions: Path, second: Path
) -> None:
    copy = workspace.preprocessed / "gt_segmentations" / "demo_001.nii.gz"
    content = copy.read_bytes()
    copy.write_bytes(b"another label")
    (workspace.preprocessed / "nnUNetPlans_3d_fullres" / "demo_002.pkl").touch()
    damaged = predictions / "demo_007.nii.gz"
    whole = sitk.GetArrayFromImage(sitk.ReadImage(str(damaged)))
    damaged.write_bytes(damaged.read_bytes()[:-30])
    (preprocessed / "nnUNetPlans_3d_fullres" / "demo_007.pkl").unlink()
    latest = (second / "checkpoint_final.pth").rename(second / "checkpoint_latest.pth")
    (second / "checkpoint_final.pth").write_bytes(latest.read_bytes()[:-30])
    output = self_train(*ONE_ROUND)
    assert commands_run(output) == [COMMANDS[1], COMMANDS[2], COMMANDS[5], COMMANDS[6]]
    assert (sitk.GetArrayFromImage(sitk.ReadImage(str(damaged))) == whole).all()
    assert "Epoch 0" not in output
    assert "checkpoint_final.pth was not written to its end: it is checkpoint_final.pth.part now" in output
    assert "WARNING: demo_001: the label has changed since it was preprocessed; remove demo_001.nii.gz in " in output
    assert "WARNING: demo_002: preprocessed after the first model was trained. If the labels have changed" in output
    copy.write_bytes(content)
    assert (second / "checkpoint_final.pth").is_file()
