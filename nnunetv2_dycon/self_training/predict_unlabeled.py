"""Step of self-training: the first model predicts the unlabeled scans."""

from __future__ import annotations

import json
import os
from pathlib import Path

from nnunetv2_dycon.dataset_conversion.read_json import read_json
from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.preprocessing.case_stamp import hash_file
from nnunetv2_dycon.preprocessing.unlabeled_cases import UNLABELED_FOLDER_NAME
from nnunetv2_dycon.self_training.check_self_training import SelfTrainingFolders
from nnunetv2_dycon.self_training.options import SelfTrainingOptions
from nnunetv2_dycon.self_training.predictions import check_prediction
from nnunetv2_dycon.utilities.nnunet_command import run_nnunet_command

_MARKER = "predicted_with.json"


def predict_unlabeled(options: SelfTrainingOptions, folders: SelfTrainingFolders) -> None:
    """Predict what is not predicted yet, with nnUNetv2_predict.

    A killed nnUNetv2_predict leaves damaged files, which it would take for done: they are removed and made again.

    Args:
        options: what is asked for.
        folders: from check_self_training.

    Raises:
        UserError: when there are predictions of another checkpoint or with other options, and when the command fails.
    """
    predictions, dataset = folders.predictions, folders.cases.labeled
    predictions.mkdir(exist_ok=True)
    _refuse_other_predictions(options, folders)
    files = [predictions / (case.identifier + dataset.file_ending) for case in folders.cases.unlabeled]
    pending = [file for file in files if not _is_whole(file, dataset.dataset_json)]
    if not pending:
        print(f"The unlabeled scans are predicted in {predictions}.")
        return
    for file in pending:
        file.unlink(missing_ok=True)
    arguments = ["-d", folders.source.folder.name, "-c", options.configuration, "-f", options.fold]
    arguments += ["-tr", options.trainer, "-p", options.plans, "-device", options.device]
    arguments += ["-i", str(dataset.folder / UNLABELED_FOLDER_NAME), "-o", str(predictions), "--continue_prediction"]
    if options.disable_tta:
        arguments.append("--disable_tta")
    if options.num_processes is not None:
        arguments += ["-npp", str(options.num_processes), "-nps", str(options.num_processes)]
    run_nnunet_command("nnUNetv2_predict", *arguments, environment=os.environ)


def _is_whole(file: Path, dataset_json: dict) -> bool:
    if not file.is_file():
        return False
    try:
        check_prediction(file, dataset_json)
    except UserError:
        return False
    return True


def _refuse_other_predictions(options: SelfTrainingOptions, folders: SelfTrainingFolders) -> None:
    checkpoint = folders.first_model / "checkpoint_final.pth"
    marker = folders.predictions / _MARKER
    predicted_with = {"checkpoint_sha256": hash_file(checkpoint), "disable_tta": options.disable_tta}
    if not marker.is_file():
        marker.write_text(json.dumps(predicted_with, indent=1) + "\n", encoding="utf-8")
        return
    there = read_json(marker)
    different = [name for name, value in predicted_with.items() if there.get(name) != value]
    if different:
        raise UserError(
            f"{folders.predictions} holds predictions of another checkpoint or with other options "
            f"({', '.join(different)} differ): remove that folder to predict again"
        )
