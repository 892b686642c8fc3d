"""Which command predicts the unlabeled scans, and when none does."""

from __future__ import annotations

import dataclasses
import json
import shutil
from typing import TYPE_CHECKING

import pytest

from nnunetv2_dycon.commands.main import build_parser
from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.files import hash_file
from nnunetv2_dycon.self_training import predict_unlabeled as module
from nnunetv2_dycon.self_training.check_self_training import SelfTrainingOptions, check_self_training
from nnunetv2_dycon.self_training.predict_unlabeled import predict_unlabeled
from tests.self_training.conftest import write_expected_dice, write_model

if TYPE_CHECKING:
    from tests.conftest import Workspace

OPTIONS = SelfTrainingOptions(
    "501", ["502"], plans="nnUNetPlansSmall", trainer="nnUNetTrainer", device="cpu", num_processes=2, leave_out=0.25
)
UNLABELED = [f"demo_{i:03d}" for i in range(6, 10)]


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands that would be run."""
    run: list[list[str]] = []
    monkeypatch.setattr(module, "run_nnunet_command", lambda *words, **_: run.append(list(words)))
    return run


def test_the_table_is_made_where_scans_are_left_out_and_made_complete(
    workspace: Workspace, commands: list[list[str]]
) -> None:
    model = write_model(workspace, "fold_0")
    (folders,) = check_self_training(OPTIONS)
    assert folders.predictions == model / "pseudo_labels_with_expected_dice"
    predict_unlabeled(OPTIONS, folders)
    words = ["-d", "Dataset501_Tiny", "-c", "3d_fullres", "-f", "0", "-tr", "nnUNetTrainer", "-p", "nnUNetPlansSmall"]
    words += ["-device", "cpu", "-i", str(workspace.raw / "imagesUnlabeled"), "-o", str(folders.predictions)]
    words += ["--continue_prediction", "-npp", "2"]
    assert commands.pop() == ["nnunetv2_dycon", "uncertainty", "--table_only", *words]
    assert build_parser().parse_args(["uncertainty", "--table_only", *words]).f == ["0"]
    for case in UNLABELED:
        shutil.copyfile(workspace.raw / "labelsTr" / "demo_000.nii.gz", folders.predictions / f"{case}.nii.gz")
    # Killed between the segmentation and the row of the last one.
    write_expected_dice(folders.predictions, dict.fromkeys(UNLABELED[:-1], ("0.5",)))
    predict_unlabeled(OPTIONS, folders)
    assert len(commands) == 1
    write_expected_dice(folders.predictions, dict.fromkeys(UNLABELED, ("0.5",)))
    predict_unlabeled(OPTIONS, folders)
    assert len(commands) == 1


def test_nnunet_predicts_where_none_is_left_out(workspace: Workspace, commands: list[list[str]]) -> None:
    model = write_model(workspace, "fold_0")
    options = dataclasses.replace(OPTIONS, leave_out=0.0, disable_tta=True)
    (folders,) = check_self_training(options)
    assert folders.predictions == model / "pseudo_labels"
    predict_unlabeled(options, folders)
    (words,) = commands
    assert words[0] == "nnUNetv2_predict"
    assert words[-6:] == ["--continue_prediction", "--disable_tta", "-npp", "2", "-nps", "2"]
    for case in UNLABELED:
        shutil.copyfile(workspace.raw / "labelsTr" / "demo_000.nii.gz", folders.predictions / f"{case}.nii.gz")
    predict_unlabeled(options, folders)
    assert len(commands) == 1


def test_a_table_of_other_weights_is_refused(workspace: Workspace, commands: list[list[str]]) -> None:
    model = write_model(workspace, "fold_0")
    (folders,) = check_self_training(OPTIONS)
    folders.predictions.mkdir()
    record = folders.predictions / "uncertainty.json"
    record.write_text(json.dumps({"checkpoint_sha256": [hash_file(model / "checkpoint_final.pth"), "of fold 1"]}))
    with pytest.raises(UserError, match=r"holds predictions of another model than .*: remove that folder"):
        predict_unlabeled(OPTIONS, folders)
    record.write_text(json.dumps({"checkpoint_sha256": [hash_file(model / "checkpoint_final.pth")]}))
    predict_unlabeled(OPTIONS, folders)
    assert len(commands) == 1
