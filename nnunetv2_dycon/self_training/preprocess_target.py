"""Step of self-training: the new dataset gets the plans of the first model and is preprocessed."""

from __future__ import annotations

import json
import os
from pathlib import Path

from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.self_training.check_self_training import SelfTrainingFolders
from nnunetv2_dycon.self_training.options import SelfTrainingOptions
from nnunetv2_dycon.self_training.write_pseudo_labeled_dataset import PseudoLabeledDataset
from nnunetv2_dycon.utilities.nnunet_command import run_nnunet_command


def preprocess_target(
    options: SelfTrainingOptions, folders: SelfTrainingFolders, dataset: PseudoLabeledDataset
) -> None:
    """Move the plans and preprocess by nnU-Net's own commands; what is done is not done again.

    Args:
        options: what is asked for.
        folders: from check_self_training.
        dataset: the new dataset.

    Raises:
        UserError: when the new dataset has other plans of that name, and when a command fails.
    """
    target, name = folders.target_preprocessed, folders.target_raw.name
    number = str(int(name[7:10]))
    processes = [] if options.num_processes is None else ["-np", str(options.num_processes)]
    if not (target / "dataset_fingerprint.json").is_file():
        run_nnunet_command("nnUNetv2_extract_fingerprint", "-d", number, *processes, environment=os.environ)
    plans_file = target / f"{options.plans}.json"
    if not plans_file.is_file():
        datasets = ("-s", folders.source.folder.name, "-t", name)
        plans = ("-sp", options.plans, "-tp", options.plans)
        run_nnunet_command("nnUNetv2_move_plans_between_datasets", *datasets, *plans, environment=os.environ)
    elif json.loads(plans_file.read_text())["configurations"] != folders.source.plans["configurations"]:
        raise UserError(f"{plans_file} differs from {folders.source.plans_file}: remove it, or choose another -o")
    data_folder = target / folders.source.configuration(options.configuration).data_identifier
    if _is_preprocessed(data_folder, dataset, folders.cases.labeled.file_ending):
        print(f"The new dataset is preprocessed in {data_folder}.")
        return
    arguments = ("-d", number, "-plans_name", options.plans, "-c", options.configuration, *processes)
    run_nnunet_command("nnUNetv2_preprocess", *arguments, environment=os.environ)


def _is_preprocessed(data_folder: Path, dataset: PseudoLabeledDataset, file_ending: str) -> bool:
    """Whether nnU-Net came to its end: it writes ``CASE.pkl`` last of a case, and copies the labels last of all."""
    labels = data_folder.with_name("gt_segmentations")
    return all(
        (data_folder / f"{case}.pkl").is_file() and (labels / (case + file_ending)).is_file()
        for case in (*dataset.labeled, *dataset.pseudo_labeled)
    )
