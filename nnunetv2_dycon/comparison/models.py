"""Which trained models are compared, and which of their folds tell of cases that they have not learnt from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nnunetv2.utilities.file_path_utilities import convert_trainer_plans_config_to_identifier

from nnunetv2_dycon.comparison.validation_results import validated_folds
from nnunetv2_dycon.datasets.names import dataset_name_of, results_folder
from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.self_training.record import read_pseudo_labels


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
        UserError: for a name of another form, a dataset that is not there, and a model that is named twice.
    """
    folders: dict[str, Path] = {}
    for given in names:
        # A slash is what the shell completes the name of a folder with.
        name = given.rstrip("/")
        *other_dataset, model = name.split("/")
        is_dataset = model.isdecimal() or (model.startswith("Dataset") and "__" not in model)
        if len(other_dataset) > 1 or "" in (*other_dataset, model) or is_dataset:
            raise UserError(
                f"{given} names no model: give a trainer, TRAINER__PLANS__CONFIGURATION, or one of both after a "
                "dataset and a slash, such as 502/nnUNetTrainer"
            )
        if "__" not in model:
            model = convert_trainer_plans_config_to_identifier(model, plans, configuration)
        folder = results_folder() / (dataset_name_of(*other_dataset) if other_dataset else dataset) / model
        for other, there in folders.items():
            if there == folder:
                raise UserError(f"{other} and {given} are one model ({folder}): name two or more with -tr")
        folders[name] = folder
    return folders


def unlearnt_folds(name: str, model_folder: Path, asked: Sequence[str]) -> tuple[list[str], list[str]]:
    """The validated folds of a model whose validation cases no label that it learnt from gives away.

    Pseudo-labels of self-training were predicted by a model of one fold, which has learnt from the validation cases of
    all other folds.

    Args:
        name: of the model, for messages.
        model_folder: in nnUNet_results.
        asked: the folds that must count; empty for those that do.

    Returns:
        The folds, and what to warn of, a sentence each.

    Raises:
        UserError: where a fold that is asked for does not count, and where none can.
    """
    validated, pseudo_labels = validated_folds(model_folder), read_pseudo_labels(model_folder / "dataset.json")
    if pseudo_labels is None:
        return validated, []
    if pseudo_labels.folds is None:
        return validated, [
            f"It is not known which fold predicted the pseudo-labels of {name}. Only that one can be compared: name it "
            "with -f."
        ]
    if len(pseudo_labels.folds) > 1 or "all" in pseudo_labels.folds:
        raise UserError(
            f"{name} learnt from pseudo-labels of fold {', '.join(pseudo_labels.folds)}, whose models have seen every "
            "validation case: compare on labeled scans that you keep apart, with nnUNetv2_predict and "
            "nnUNetv2_evaluate_folder"
        )
    (fold,) = pseudo_labels.folds
    learnt = [each for each in asked or validated if each != fold]
    reason = f"its pseudo-labels are of fold {fold}, whose model has learnt from the validation cases of other folds"
    if learnt and asked:
        raise UserError(
            f"Fold {', '.join(learnt)} of {name} cannot be compared: {reason}. Compare fold {fold}, and the dataset of "
            "each other fold on its own"
        )
    warnings = [f"Fold {', '.join(learnt)} of {name} is left out: {reason}."] if learnt else []
    return [each for each in validated if each == fold], warnings
