"""No label of an unlabeled case is ever opened."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import blosc2
import numpy as np
import pytest
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.trainers import nnUNetTrainerDyCON
from tests import cascade

if TYPE_CHECKING:
    from tests.conftest import Workspace

OFF_LIMITS = ["demo_002", "demo_003"]


def _overwrite_with_noise(workspace: Workspace, case: str) -> None:
    file = workspace.preprocessed / "nnUNetPlans_3d_fullres" / f"{case}_seg.b2nd"
    segmentation = blosc2.open(str(file))[:]
    file.unlink()
    noise = np.random.default_rng(0).integers(0, 3, segmentation.shape).astype(segmentation.dtype)
    blosc2.asarray(noise, urlpath=str(file))
    for labels in (workspace.raw / "labelsTr", workspace.preprocessed / "gt_segmentations"):
        (labels / f"{case}.nii.gz").write_bytes(b"noise")
    (workspace.preprocessed / "nnUNetPlans_3d_fullres" / f"{case}.pkl").write_bytes(b"noise")


def _delete(workspace: Workspace, case: str) -> None:
    (workspace.preprocessed / "nnUNetPlans_3d_fullres" / f"{case}_seg.b2nd").unlink()
    (workspace.preprocessed / "nnUNetPlans_3d_fullres" / f"{case}.pkl").unlink()
    for labels in (workspace.raw / "labelsTr", workspace.preprocessed / "gt_segmentations"):
        (labels / f"{case}.nii.gz").unlink()


def _losses(trainer: nnUNetTrainerDyCON) -> list[dict]:
    """The losses and statistics of a run of two epochs."""
    trainer.run_training()
    log = trainer.logger.get_checkpoint()
    return {name: values for name, values in log.items() if "timestamps" not in name and name != "waiting_fraction"}


def test_losses_do_not_depend_on_labels_that_are_off_limits(
    workspace: Workspace, make_trainer: Callable[..., nnUNetTrainer]
) -> None:
    workspace.write_settings("nnUNetPlansHonest", warmup_fraction=0, wait_for_labels=False, copy_paste_fraction=0.5)
    workspace.write_splits({"train": ["demo_000", "demo_001"], "val": ["demo_004"], "unlabeled": OFF_LIMITS})
    intact = workspace.root.with_name("intact")
    shutil.copytree(workspace.root, intact)
    runs = []
    for change in (lambda *_: None, _overwrite_with_noise, _delete):
        shutil.rmtree(workspace.root)
        shutil.copytree(intact, workspace.root)
        for case in OFF_LIMITS:
            change(workspace, case)
        trainer = make_trainer(nnUNetTrainerDyCON, "nnUNetPlansHonest")
        runs.append(_losses(trainer))
        assert set(OFF_LIMITS) < set(trainer.unlabeled_data.identifiers)
    assert runs[0]["uncl_loss"][0] > 0
    assert str(runs[0]) == str(runs[1]) == str(runs[2])


def test_losses_do_depend_on_labels_that_are_used(
    workspace: Workspace, make_trainer: Callable[..., nnUNetTrainer]
) -> None:
    workspace.write_settings("nnUNetPlansHonest", warmup_fraction=0, wait_for_labels=False, copy_paste_fraction=0.5)
    trainer = make_trainer(nnUNetTrainerDyCON, "nnUNetPlansHonest")
    intact = _losses(trainer)
    shutil.rmtree(trainer.output_folder_base)
    for case in OFF_LIMITS:
        file = workspace.preprocessed / "nnUNetPlans_3d_fullres" / f"{case}_seg.b2nd"
        segmentation = blosc2.open(str(file))[:]
        file.unlink()
        blosc2.asarray(np.zeros_like(segmentation), urlpath=str(file))
    assert str(_losses(make_trainer(nnUNetTrainerDyCON, "nnUNetPlansHonest"))) != str(intact)


@pytest.mark.parametrize("key", ["train", "val"])
def test_a_case_of_the_fold_that_is_off_limits_is_refused(
    workspace: Workspace, make_trainer: Callable[..., nnUNetTrainer], key: str
) -> None:
    split = {"train": ["demo_000", "demo_001"], "val": ["demo_004"], "unlabeled": ["demo_003"]}
    split[key] = [*split[key], "demo_003"]
    workspace.write_splits(split)
    with pytest.raises(UserError, match=f'demo_003 under "unlabeled" and under "{key}"'):
        make_trainer(nnUNetTrainerDyCON).on_train_start()


def test_fold_all_does_not_train_on_labels_that_are_off_limits(
    workspace: Workspace, make_trainer: Callable[..., nnUNetTrainer]
) -> None:
    workspace.write_splits({"train": ["demo_000"], "val": ["demo_004"], "unlabeled": OFF_LIMITS})
    with pytest.raises(UserError, match="fold all"):
        make_trainer(nnUNetTrainerDyCON, fold="all").on_train_start()


def _hide_from_cascade(workspace: Workspace, case: str, *, delete: bool) -> None:
    """Delete or overwrite all that knows the label of a case, the previous stage's prediction of it included."""
    predictions = workspace.results / f"nnUNetTrainerDyCON__{cascade.PLANS}__3d_lowres" / "predicted_next_stage"
    folders = [workspace.preprocessed / f"{cascade.PLANS}_3d_lowres", predictions / cascade.CASCADE]
    files = [folder / name for folder in folders for name in (f"{case}_seg.b2nd", f"{case}.pkl", f"{case}.b2nd")]
    known = [file for file in files if file.is_file()]
    assert len(known) == 4
    for file in known:
        if delete:
            file.unlink()
        else:
            file.write_bytes(b"noise")
    (_delete if delete else _overwrite_with_noise)(workspace, case)


def test_the_second_stage_does_not_depend_on_labels_that_are_off_limits(
    workspace: Workspace, make_trainer: Callable[..., nnUNetTrainer], trained_low_resolution: Path
) -> None:
    shutil.copytree(trained_low_resolution, workspace.root, dirs_exist_ok=True)
    workspace.write_splits({"train": ["demo_000", "demo_001"], "val": ["demo_004"], "unlabeled": OFF_LIMITS})
    intact = workspace.root.with_name("intact")
    shutil.copytree(workspace.root, intact)
    runs = []
    for delete in (None, False, True):
        shutil.rmtree(workspace.root)
        shutil.copytree(intact, workspace.root)
        for case in OFF_LIMITS:
            if delete is not None:
                _hide_from_cascade(workspace, case, delete=delete)
        trainer = make_trainer(nnUNetTrainerDyCON, cascade.PLANS, cascade.CASCADE, num_epochs=1)
        runs.append(_losses(trainer))
        assert set(OFF_LIMITS) < set(trainer.unlabeled_data.identifiers)
    assert runs[0]["uncl_loss"][0] > 0
    assert str(runs[0]) == str(runs[1]) == str(runs[2])
