"""What is wrong is said before the work."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.self_training.check_self_training import (
    SelfTrainingOptions,
    changed_labels,
    check_self_training,
    is_trained,
)
from nnunetv2_dycon.self_training.record import RECORD
from nnunetv2_dycon.training.checkpoints import STATE_KEY, TRAINING_CASES_KEY

if TYPE_CHECKING:
    from tests.conftest import Workspace

OPTIONS = SelfTrainingOptions("501", ["502"], plans="nnUNetPlansSmall", trainer="nnUNetTrainer", device="cpu")


def test_where_things_go(workspace: Workspace) -> None:
    options = dataclasses.replace(OPTIONS, trainer="nnUNetTrainerDyCON")
    (folders,) = check_self_training(options)
    assert folders.target_raw == workspace.raw.with_name("Dataset502_Tiny_self_training")
    assert folders.target_preprocessed == workspace.preprocessed.with_name("Dataset502_Tiny_self_training")
    model = "nnUNetTrainerDyCON__nnUNetPlansSmall__3d_fullres"
    assert folders.first_model == workspace.results / model / "fold_0"
    assert folders.second_model.parts[-3:] == (
        "Dataset502_Tiny_self_training",
        "nnUNetTrainer__nnUNetPlansSmall__3d_fullres",
        "fold_0",
    )


def test_each_round_starts_from_the_model_of_the_round_before(workspace: Workspace) -> None:
    options = dataclasses.replace(
        OPTIONS, outputs=["502", "503"], trainer="nnUNetTrainerDyCON", second_trainer="nnUNetTrainer"
    )
    first, second = check_self_training(options)
    assert (first.first_dataset, first.first_trainer) == ("Dataset501_Tiny", "nnUNetTrainerDyCON")
    assert (second.first_dataset, second.first_trainer) == ("Dataset502_Tiny_self_training", "nnUNetTrainer")
    assert second.first_model == first.second_model
    assert second.source == first.source
    assert second.target_raw == workspace.raw.with_name("Dataset503_Tiny_self_training")
    second.target_preprocessed.mkdir()
    with pytest.raises(UserError, match="preprocessed data or results of Dataset503_Tiny_self_training"):
        check_self_training(options)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dataset": "7"}, "no dataset with the ID or name 7"),
        ({"plans": "nnUNetPlansX"}, r"nnUNetPlansX\.json is not there"),
        ({"configuration": "4d"}, "no configuration 4d"),
        ({"fold": "1"}, r"no fold 1, since .*splits_final\.json has 1 folds"),
        ({"fold": "00"}, "no fold 00"),
        ({"trainer": "nnUNetTrainerNobody"}, "nnUNetTrainerNobody"),
        ({"second_trainer": "nnUNetTrainerNobody"}, r"nnUNetTrainerNobody.*Correct the name after -tr2\."),
        ({"second_trainer": "nnUNetTrainerUAMT"}, "nnUNetTrainerUAMT needs unlabeled scans.*-tr2 nnUNetTrainer"),
        ({"device": "cuda"}, "no CUDA GPU"),
        ({"num_processes": 0}, "-np must be at least 1"),
        ({"outputs": ["501"]}, "taken by Dataset501_Tiny"),
        ({"outputs": ["Dataset501_Tiny"]}, "is the source itself"),
        ({"outputs": ["502", "503", "Dataset502_Tiny_self_training"]}, "-o has an ID twice"),
        ({"outputs": ["502", "Dataset502_Other"]}, "-o has an ID twice"),
    ],
)
@pytest.mark.usefixtures("workspace")
def test_options_that_cannot_be_are_refused(change: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        check_self_training(dataclasses.replace(OPTIONS, **change))


def test_a_dataset_that_cannot_be_used_is_refused(workspace: Workspace) -> None:
    data = workspace.preprocessed / "nnUNetPlans_3d_fullres"
    data.rename(data.with_name("away"))
    with pytest.raises(UserError, match="nnUNetv2_preprocess -d 501 -c 3d_fullres -plans_name nnUNetPlansSmall"):
        check_self_training(OPTIONS)
    data.with_name("away").rename(data)
    workspace.write_splits({"train": ["demo_000"], "val": ["demo_001"], "unlabeled": ["demo_002"]})
    with pytest.raises(UserError, match="off limits"):
        check_self_training(OPTIONS)
    plans = workspace.read_plans()
    full = plans["configurations"]["3d_fullres"]
    plans["configurations"]["3d_lowres"] = {**full, "next_stage": "3d_fullres"}
    full["previous_stage"] = "3d_lowres"
    workspace.write_plans(plans, "nnUNetPlansCascade")
    with pytest.raises(UserError, match="cascades"):
        check_self_training(dataclasses.replace(OPTIONS, plans="nnUNetPlansCascade"))
    shutil.rmtree(workspace.raw / "imagesUnlabeled")
    with pytest.raises(UserError, match="imagesUnlabeled has no scans"):
        check_self_training(OPTIONS)


def test_a_fold_needs_five_labeled_cases(workspace: Workspace) -> None:
    (workspace.preprocessed / "splits_final.json").unlink()
    check_self_training(dataclasses.replace(OPTIONS, fold="4"))
    for case in ("demo_000", "demo_001"):
        (workspace.raw / "imagesTr" / f"{case}_0000.nii.gz").unlink()
    with pytest.raises(UserError, match=r"4 labeled cases make no folds: .* -f all"):
        check_self_training(OPTIONS)
    check_self_training(dataclasses.replace(OPTIONS, fold="all"))


def test_cases_that_are_not_preprocessed_are_told_apart_from_changed_labels(workspace: Workspace) -> None:
    (workspace.preprocessed / "nnUNetPlans_3d_fullres" / "demo_001.pkl").unlink()
    (workspace.preprocessed / "gt_segmentations" / "demo_003.nii.gz").unlink()
    command = "nnUNetv2_preprocess -d 501 -c 3d_fullres -plans_name nnUNetPlansSmall"
    with pytest.raises(UserError, match=f"^demo_001, demo_003 are not preprocessed: run {command}"):
        check_self_training(OPTIONS)
    folders = dataclasses.replace(OPTIONS, fold="all")
    _write_model(workspace, "fold_all")
    # A trained model needs neither any more.
    assert changed_labels(folders, check_self_training(folders)[0]) is None


def _write_model(workspace: Workspace, fold: str) -> Path:
    """As if plain nnU-Net had been trained."""
    folder = workspace.results / "nnUNetTrainer__nnUNetPlansSmall__3d_fullres" / fold
    folder.mkdir(parents=True)
    keys = "network_weights optimizer_state grad_scaler_state logging _best_ema current_epoch init_args trainer_name"
    torch.save(dict.fromkeys(keys.split()), folder / "checkpoint_final.pth")
    return folder


def test_a_first_model_of_other_folds_is_refused(workspace: Workspace) -> None:
    splits_file = workspace.preprocessed / "splits_final.json"
    (split,) = splits = json.loads(splits_file.read_text())
    validation = _write_model(workspace, "fold_0") / "validation"
    validation.mkdir()
    for case in split["val"]:
        (validation / f"{case}.nii.gz").touch()
    check_self_training(OPTIONS)
    (validation / f"{split['val'][0]}.nii.gz").unlink()
    # A validation that was interrupted.
    check_self_training(OPTIONS)
    (validation / "._demo_000.nii.gz").touch()
    check_self_training(OPTIONS)
    # A whole one, of which the predictions may be gone.
    for file in validation.iterdir():
        file.unlink()
    _write_summary(validation, split["val"])
    check_self_training(OPTIONS)
    _write_summary(validation, split["val"][1:])
    with pytest.raises(UserError, match="fold 0 has other validation cases"):
        check_self_training(OPTIONS)
    (validation / "summary.json").write_text('{"metric_per_case": [{"metrics": {}}]}')
    with pytest.raises(UserError, match=r"summary\.json.* lacks the key prediction_file"):
        check_self_training(OPTIONS)
    (validation / "summary.json").unlink()
    (validation / f"{split['train'][0]}.nii.gz").touch()
    with pytest.raises(UserError, match=rf"when .*fold_0 was trained \(.*{split['train'][0]}.*may have learnt"):
        check_self_training(OPTIONS)
    assert splits == json.loads(splits_file.read_text())


def test_a_first_model_that_notes_learnt_validation_cases_is_refused_without_its_validation(
    workspace: Workspace,
) -> None:
    (split,) = json.loads((workspace.preprocessed / "splits_final.json").read_text())
    file = _write_model(workspace, "fold_0") / "checkpoint_final.pth"
    checkpoint = torch.load(file)
    for cases in (None, split["train"]):
        torch.save({**checkpoint, STATE_KEY: {TRAINING_CASES_KEY: cases}}, file)
        check_self_training(OPTIONS)
    torch.save({**checkpoint, STATE_KEY: {TRAINING_CASES_KEY: [*split["train"], split["val"][0]]}}, file)
    message = rf'"val" of fold 0, has {split["val"][0]} now, and the model in .*fold_0 has learnt from its label'
    with pytest.raises(UserError, match=message):
        check_self_training(OPTIONS)
    # A training that has not ended would be refused by its trainer, after self-train has begun.
    file.rename(file.with_name("checkpoint_latest.pth"))
    with pytest.raises(UserError, match=message):
        check_self_training(OPTIONS)
    # Cases for training and for validation on purpose.
    workspace.write_splits({"train": [*split["train"], split["val"][0]], "val": split["val"]})
    check_self_training(OPTIONS)


def test_a_first_model_of_which_only_the_weights_are_left_is_one(workspace: Workspace) -> None:
    torch.save({"network_weights": {}}, _write_model(workspace, "fold_0") / "checkpoint_final.pth")
    check_self_training(OPTIONS)


def _write_summary(validation: Path, cases: list[str]) -> None:
    per_case = [{"prediction_file": f"/moved/validation/{case}.nii.gz", "metrics": {}} for case in cases]
    (validation / "summary.json").write_text(json.dumps({"metric_per_case": per_case}))


def test_a_final_checkpoint_that_was_not_written_to_its_end_is_no_trained_model(workspace: Workspace) -> None:
    checkpoint = _write_model(workspace, "fold_0") / "checkpoint_final.pth"
    assert is_trained(checkpoint.parent)
    checkpoint.write_bytes(checkpoint.read_bytes()[:-30])
    assert not is_trained(checkpoint.parent)


def _write_record(raw: Path, **changes: object) -> None:
    """As if self-training had made a dataset of fold 0's predictions, or of others."""
    cases = {"labeled": [f"demo_{i:03d}" for i in range(6)], "pseudo_labeled": [f"demo_{i:03d}" for i in range(6, 10)]}
    model = "Dataset501_Tiny/nnUNetTrainer__nnUNetPlansSmall__3d_fullres/fold_0/pseudo_labels"
    record = {"source": "Dataset501_Tiny", "predictions": model, "all_components": False, **cases, **changes}
    raw.mkdir(exist_ok=True)
    (raw / RECORD).write_text(json.dumps(record))


def test_a_dataset_whose_labels_would_not_fit_is_refused_before_a_training(workspace: Workspace) -> None:
    raw = workspace.raw.with_name("Dataset502_Tiny_self_training")
    _write_record(raw)
    with pytest.raises(UserError, match=r"is there, but no trained model in .*fold_0, whose predictions are"):
        check_self_training(OPTIONS)
    _write_model(workspace, "fold_0")
    check_self_training(OPTIONS)
    with pytest.raises(UserError, match="was made without --all_components: leave it out"):
        check_self_training(dataclasses.replace(OPTIONS, all_components=True))
    _write_record(raw, labeled=["demo_000"])
    with pytest.raises(UserError, match=r"of other data \(labeled differ\)"):
        check_self_training(OPTIONS)
    # The order of rounds is that of the datasets.
    _write_record(raw)
    with pytest.raises(UserError, match=r"Dataset502_\S+ was made from Dataset501_\S+, not from the model asked for"):
        check_self_training(dataclasses.replace(OPTIONS, outputs=["503", "502"]))


def test_a_dataset_of_something_else_is_left_alone(workspace: Workspace) -> None:
    (folders,) = check_self_training(OPTIONS)
    folders.second_model.mkdir(parents=True)
    with pytest.raises(UserError, match="preprocessed data or results of Dataset502_Tiny_self_training"):
        check_self_training(OPTIONS)
    folders.target_raw.mkdir()
    with pytest.raises(UserError, match="was not made by self-training"):
        check_self_training(OPTIONS)
    other = f"{workspace.raw.name}/nnUNetTrainer__nnUNetPlansSmall__3d_fullres/fold_all/pseudo_labels"
    _write_record(folders.target_raw, predictions=other)
    with pytest.raises(UserError, match=r"was made from .*/fold_all/pseudo_labels, not from the model"):
        check_self_training(OPTIONS)
