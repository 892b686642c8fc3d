"""Which trained models are compared, and which of their folds tell of cases that they have not learnt from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nnunetv2.utilities.file_path_utilities import convert_trainer_plans_config_to_identifier

from nnunetv2_dycon.comparison.validation_results import validated_folds
from nnunetv2_dycon.datasets.names import dataset_name_of, find_raw_dataset_folder, results_folder
from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.self_training.record import RECORD, is_pseudo_labeled, predicting_fold


def find_models(names: Sequence[str], dataset: str, configuration: str, plans: str) -> dict[str, Path]:
    """The folders of models.

    Args:
        names: ``TRAINER`` or ``TRAINER__PLANS__CONFIGURATION``, of another dataset after its ID or name and a slash:
            ``502/nnUNetTrainer``.
        dataset: the full name of that of models which name none.
        configuration: of models which name none.
        plans: of models which name none.

    Returns:
        The folder in nnUNet_results by the name as it was given, whether it is there or not.

    Raises:
        UserError: for a name of another form, and for a dataset that is not there.
    """
    folders = {}
    for name in names:
        *other_dataset, model = name.rstrip("/").split("/")
        if len(other_dataset) > 1 or "" in (*other_dataset, model) or model.isdecimal():
            raise UserError(
                f"{name} names no model: give a trainer, TRAINER__PLANS__CONFIGURATION, or one of both after a dataset "
                "and a slash, such as 502/nnUNetTrainer"
            )
        if "__" not in model:
            model = convert_trainer_plans_config_to_identifier(model, plans, configuration)
        folders[name] = results_folder() / (dataset_name_of(*other_dataset) if other_dataset else dataset) / model
    return folders


def unlearnt_folds(name: str, model_folder: Path, asked: Sequence[str]) -> tuple[list[str], list[str]]:
    """The validated folds of a model whose validation cases no label that it learnt from gives away.

    The labels of a dataset of self-training were predicted by a model of one fold, which has learnt from the validation
    cases of all other folds.

    Args:
        name: of the model, for messages.
        model_folder: in nnUNet_results. Its dataset is looked up in nnUNet_raw; where that has none, every fold counts.
        asked: the folds that must count; empty for those that do.

    Returns:
        The folds, and what to warn of, a sentence each.

    Raises:
        UserError: where a fold that is asked for does not count, and where none can.
    """
    validated = validated_folds(model_folder)
    raw = find_raw_dataset_folder(model_folder.parent.name)
    if raw is None or not is_pseudo_labeled(raw):
        return validated, []
    fold = predicting_fold(raw)
    if fold is None:
        return validated, [
            f"The pseudo-labels of {name} are not known to be of one fold ({raw / RECORD}): a model that predicts them "
            "must not have learnt from the validation cases."
        ]
    if fold == "all":
        raise UserError(
            f"{name} learnt from pseudo-labels of fold all, whose model has seen every validation case: compare on "
            "labeled scans that you keep apart, with nnUNetv2_predict and nnUNetv2_evaluate_folder"
        )
    learnt = [each for each in asked or validated if each != fold]
    reason = f"its pseudo-labels are of fold {fold}, whose model has learnt from these validation cases"
    if learnt and asked:
        raise UserError(
            f"Fold {', '.join(learnt)} of {name} cannot be compared: {reason}. Compare fold {fold}, or make a dataset "
            "for each fold with nnunetv2_dycon self-train"
        )
    warnings = [f"Fold {', '.join(learnt)} of {name} is left out: {reason}."] if learnt else []
    return [each for each in validated if each == fold], warnings
