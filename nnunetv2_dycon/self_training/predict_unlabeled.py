"""The step of self-training in which a model predicts the unlabeled scans."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from nnunetv2_dycon.datasets.raw_file_names import UNLABELED_FOLDER_NAME
from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.files import hash_file, written_aside
from nnunetv2_dycon.json_files import read_json
from nnunetv2_dycon.nnunet_command import run_nnunet_command
from nnunetv2_dycon.self_training.check_self_training import SelfTrainingOptions, SelfTrainingRound
from nnunetv2_dycon.self_training.label_maps import check_prediction
from nnunetv2_dycon.training.checkpoints import FINAL_CHECKPOINT
from nnunetv2_dycon.uncertainty.predict_uncertainty import RECORD
from nnunetv2_dycon.uncertainty.table import TABLE, read_table


def predict_unlabeled(options: SelfTrainingOptions, folders: SelfTrainingRound) -> None:
    """Predict what is not predicted yet, with nnUNetv2_predict or, where scans are to be left out, with their table.

    A killed command leaves damaged files, which it would take for done: they are removed and made again.

    Raises:
        UserError: for predictions of another model or with other options, and when the command fails.
    """
    predictions, dataset = folders.predictions, folders.cases.labeled
    predictions.mkdir(exist_ok=True)
    _refuse_other_predictions(options, folders)
    files = [predictions / (case.identifier + dataset.file_ending) for case in folders.cases.unlabeled]
    pending = [file for file in files if not _is_whole(file, folders.cases.dataset_json)]
    if not pending and (options.leave_out == 0 or _has_rows_of_all(folders)):
        print(f"The unlabeled scans are predicted in {predictions}.")
        return
    for file in pending:
        file.unlink(missing_ok=True)
    arguments = ["-d", folders.first_dataset, "-c", options.configuration, "-f", options.fold]
    arguments += ["-tr", folders.first_trainer, "-p", options.plans, "-device", options.device]
    arguments += ["-i", str(dataset.folder / UNLABELED_FOLDER_NAME), "-o", str(predictions), "--continue_prediction"]
    if options.disable_tta:
        arguments.append("--disable_tta")
    processes = [] if options.num_processes is None else ["-npp", str(options.num_processes)]
    if options.leave_out > 0:
        command = ("nnunetv2_dycon", "uncertainty", "--table_only")
        run_nnunet_command(*command, *arguments, *processes, environment=os.environ)
        return
    processes += [] if options.num_processes is None else ["-nps", str(options.num_processes)]
    run_nnunet_command("nnUNetv2_predict", *arguments, *processes, environment=os.environ)


def _has_rows_of_all(folders: SelfTrainingRound) -> bool:
    """Whether the table beside the predictions has all cases; nnUNetv2_predict writes none."""
    rows = read_table(folders.predictions / TABLE)
    return {case.identifier for case in folders.cases.unlabeled} <= {row["case"] for row in rows}


def _is_whole(file: Path, dataset_json: dict[str, Any]) -> bool:
    try:
        check_prediction(file, dataset_json)
    except UserError:
        return False
    return True


def _refuse_other_predictions(options: SelfTrainingOptions, folders: SelfTrainingRound) -> None:
    checkpoint, marker = folders.first_model / FINAL_CHECKPOINT, folders.predictions / "predicted_with.json"
    predicted_with = {"checkpoint_sha256": hash_file(checkpoint), "disable_tta": options.disable_tta}
    record = folders.predictions / RECORD
    if record.is_file() and read_json(record).get("checkpoint_sha256") != [predicted_with["checkpoint_sha256"]]:
        raise UserError(
            f"{folders.predictions} holds predictions of another model than {checkpoint}: remove that folder to "
            "predict again"
        )
    if not marker.is_file():
        with written_aside(marker) as partial:
            partial.write_text(json.dumps(predicted_with, indent=1) + "\n", encoding="utf-8")
        return
    there = read_json(marker)
    if different := [name for name, value in predicted_with.items() if there.get(name) != value]:
        raise UserError(
            f"{folders.predictions} holds predictions of another checkpoint or with other options "
            f"({', '.join(different)} differ): remove that folder to predict again. A dataset that was made of "
            "them needs another -o then"
        )
