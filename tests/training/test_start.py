"""What happens before the first step."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.trainers import nnUNetTrainerDyCON
from nnunetv2_dycon.training import checks, start

if TYPE_CHECKING:
    from tests.conftest import Workspace

MakeTrainer = Callable[..., nnUNetTrainer]


def test_the_folds_are_those_of_nnunet(
    workspace: Workspace, make_trainer: MakeTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    splits_file = workspace.preprocessed / "splits_final.json"
    renamed = []
    replace = os.replace
    monkeypatch.setattr(os, "replace", lambda source, target: (renamed.append(target), replace(source, target)))
    trainer = make_trainer(nnUNetTrainerDyCON)
    texts = []
    for write in (start.write_splits_at_once, nnUNetTrainer.do_split):
        splits_file.unlink()
        write(trainer)
        texts.append(splits_file.read_text())
    assert texts[0] == texts[1]
    assert renamed == [splits_file]


def test_folds_that_are_there_stay_and_fold_all_needs_none(workspace: Workspace, make_trainer: MakeTrainer) -> None:
    splits_file = workspace.preprocessed / "splits_final.json"
    before = splits_file.read_text()
    start.write_splits_at_once(make_trainer(nnUNetTrainerDyCON))
    assert splits_file.read_text() == before
    splits_file.unlink()
    start.write_splits_at_once(make_trainer(nnUNetTrainerDyCON, fold="all"))
    assert not splits_file.exists()


def test_no_process_for_validation_is_refused(make_trainer: MakeTrainer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "default_num_processes", 0)
    with pytest.raises(UserError, match="nnUNet_def_n_proc is 0: set it to"):
        make_trainer(nnUNetTrainerDyCON).initialize()


def test_a_copy_of_a_scan_that_the_fold_validates_on_is_in_the_log(
    workspace: Workspace, make_trainer: MakeTrainer
) -> None:
    for source, name in (("demo_000", "x"), ("demo_004", "y")):
        copy = workspace.raw / "imagesUnlabeled" / f"{name}_0000.nii.gz"
        shutil.copy(workspace.raw / "imagesTr" / f"{source}_0000.nii.gz", copy)
    trainer = make_trainer(nnUNetTrainerDyCON)
    start.prepare_unlabeled_cases(trainer)
    log = Path(trainer.log_file).read_text()
    assert "WARNING: 1 unlabeled scan is a copy of a validation case (y of demo_004): training sees" in log
    assert "WARNING: 1 unlabeled scan is a copy of a labeled case (x of demo_000)" in log
    assert len(json.loads((workspace.preprocessed / "splits_final.json").read_text())) == 1
