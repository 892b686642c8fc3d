"""What is to be predicted and with which model. All that can be wrong with it is said before the first prediction."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from nnunetv2_dycon.datasets.names import is_file_name
from nnunetv2_dycon.datasets.plans_schema import check_configuration, check_plans
from nnunetv2_dycon.datasets.raw_dataset import may_hold_several_channels, number_of_channels
from nnunetv2_dycon.datasets.raw_file_names import images_by_case, listed_channels
from nnunetv2_dycon.datasets.schemas import check_dataset_json
from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.json_files import read_json_file
from nnunetv2_dycon.training.checkpoints import read_checkpoint
from nnunetv2_dycon.training.earlier_training import refuse_folds_in_training
from nnunetv2_dycon.training.find_trainer import find_trainer


@dataclass(frozen=True)
class TrainedModel:
    """A folder that nnUNetv2_train or ``nnunetv2_dycon export`` made, and what of it predicts.

    Attributes:
        folder: with ``plans.json``, ``dataset.json`` and a folder for each fold.
        folds: at least one number, or ``all``.
        checkpoint_name: which all folds have.
        dataset_json: of the model.
        previous_stage_name: the configuration whose predictions it needs; None outside of cascades.
    """

    folder: Path
    folds: tuple[int | str, ...]
    checkpoint_name: str
    dataset_json: dict[str, Any]
    previous_stage_name: str | None

    @property
    def checkpoints(self) -> list[Path]:
        """The checkpoint of each fold."""
        return [self.folder / f"fold_{fold}" / self.checkpoint_name for fold in self.folds]


def read_model(folder: Path, folds: Sequence[str], checkpoint_name: str) -> TrainedModel:
    """Check that a model can predict: its files, folds, checkpoints and trainer, which may also be nnU-Net's own.

    Args:
        folder: of the model.
        folds: numbers or ``all``; where empty, all numbered folds that have the checkpoint, as nnU-Net has it.
        checkpoint_name: such as ``checkpoint_final.pth``.

    Raises:
        UserError: for whatever is missing or cannot be used.
    """
    plans_file, dataset_file = folder / "plans.json", folder / "dataset.json"
    if not plans_file.is_file():
        raise UserError(f"{folder} is not a trained model: there is no plans.json. Check -d, -c, -p and -tr, or -m.")
    plans, dataset_json = read_json_file(plans_file), read_json_file(dataset_file)
    check_plans(plans, str(plans_file))
    check_dataset_json(dataset_json, str(dataset_file))
    if not is_file_name(checkpoint_name):
        raise UserError(
            f"{checkpoint_name!r} does not name a checkpoint of a fold: correct -chk. It takes a file's name alone."
        )
    if wrong := [fold for fold in folds if fold != "all" and not fold.isdecimal()]:
        raise UserError(f"-f must be numbers or all, not {wrong[0]}.")
    if twice := sorted({fold for fold in folds if folds.count(fold) > 1}):
        raise UserError(f"-f names the fold {twice[0]} twice, which would count twice in all means: name it once.")
    chosen = _as_numbers(folds) if folds else _trained_folds(folder, checkpoint_name)
    files = [folder / f"fold_{fold}" / checkpoint_name for fold in chosen]
    if missing := [str(file) for file in files if not file.is_file()]:
        raise UserError(f"{', '.join(missing)}: not there. Train these folds, or correct -f or -chk.")
    remedy = "Name another checkpoint with -chk, or other folds with -f."
    configurations = {}
    for file in files:
        checkpoint = read_checkpoint(file, "cpu", remedy=remedy)
        configuration = dict(checkpoint["init_args"] or {}).get("configuration")
        if not isinstance(configuration, str):
            raise UserError(f"{file} does not say of which configuration it is, as nnU-Net's checkpoints do. {remedy}")
        configurations[configuration, checkpoint["trainer_name"]] = file
        del checkpoint
    if len(configurations) > 1:
        raise UserError(f"{' and '.join(map(str, configurations.values()))} are of different models. {remedy}")
    ((configuration, trainer_name),) = configurations
    check_configuration(plans, configuration, str(plans_file), dataset_json)
    find_trainer(trainer_name)
    previous_stage_name = PlansManager(plans).get_configuration(configuration).previous_stage_name
    return TrainedModel(folder, chosen, checkpoint_name, dataset_json, previous_stage_name)


def _as_numbers(folds: Sequence[str]) -> tuple[int | str, ...]:
    return tuple(fold if fold == "all" else int(fold) for fold in folds)


def _trained_folds(folder: Path, checkpoint_name: str) -> tuple[int | str, ...]:
    numbers = sorted(
        int(match[1]) for path in folder.glob("fold_*") if (match := re.fullmatch(r"fold_(\d+)", path.name))
    )
    refuse_folds_in_training((folder / f"fold_{number}" for number in numbers), checkpoint_name)
    folds = [number for number in numbers if (folder / f"fold_{number}" / checkpoint_name).is_file()]
    if not folds:
        raise UserError(
            f"No numbered fold of {folder} has a {checkpoint_name}. Train to the end, name a checkpoint with -chk, or "
            "fold all with -f all."
        )
    return tuple(folds)


def find_scans(folder: Path, model: TrainedModel, previous_stage: Path | None = None) -> dict[str, list[Path]]:
    """The image files of each case of a folder, ordered by channel, the cases by name. No scan is opened.

    Args:
        folder: with ``CASE_XXXX`` plus the file ending of the model's dataset, one file a channel; natural images may
            hold all channels in one.
        model: which is to predict them.
        previous_stage: in a cascade the folder with the segmentations of the previous stage.

    Raises:
        UserError: when there is no scan or folder, for files that are named otherwise, for channels that are missing or
            beyond those of the model, and for a cascade without predictions of its previous stage.
    """
    ending, num_channels = model.dataset_json["file_ending"], number_of_channels(model.dataset_json)
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder: name the one with the scans after -i.")
    images, others = images_by_case(folder, ending)
    if misnamed := [file for file in others if file.name.endswith(ending)]:
        raise UserError(f"{misnamed[0]} is not named like a scan: name it CASE_0000{ending}, one file a channel.")
    if not images:
        raise UserError(f"{folder} has no scans: nnU-Net expects CASE_0000{ending} there, as in the model's imagesTr.")
    allowed = [list(range(num_channels))] + [[0]] * may_hold_several_channels(ending)
    for case, files in images.items():
        if list(files) not in allowed:
            raise UserError(
                f"{folder}/{case}* has the channels {listed_channels(files)}, but the model needs {num_channels}, from "
                "0000 on: add the missing files, or remove what is too much."
            )
    _check_previous_stage(images, model, previous_stage)
    return {case: list(files.values()) for case, files in sorted(images.items())}


def _check_previous_stage(cases: Iterable[str], model: TrainedModel, folder: Path | None) -> None:
    stage, ending = model.previous_stage_name, model.dataset_json["file_ending"]
    if stage is None:
        if folder is not None:
            raise UserError(
                f"{model.folder} is no cascade and takes no predictions: leave -prev_stage_predictions out."
            )
        return
    if folder is None:
        raise UserError(
            f"{model.folder} needs the predictions of {stage}: predict the scans with it, and name the folder with "
            "-prev_stage_predictions."
        )
    if missing := [file for case in cases if not (file := folder / (case + ending)).is_file()]:
        raise UserError(f"{missing[0]} is not there: predict all scans with {stage} first.")
