"""The previous stage of a cascade: which model it is, and what the next stage needs of it for labeled cases.

nnU-Net's low-resolution model predicts the labeled cases when it is validated, and stores the segmentations, in the
resolution of the next stage, under ``predicted_next_stage``: see :mod:`nnunetv2_dycon.training.labeled_predictions`.
:mod:`nnunetv2_dycon.training.predict_next_stage` does the same for unlabeled cases.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.file_path_utilities import convert_trainer_plans_config_to_identifier
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager

from nnunetv2_dycon.datasets.names import dataset_id, results_folder
from nnunetv2_dycon.datasets.splits import UNLABELED_KEY, off_limits_cases, read_splits
from nnunetv2_dycon.exceptions import UnsupportedFeatureError, UserError
from nnunetv2_dycon.nnunet_command import device_option
from nnunetv2_dycon.training.checkpoints import FINAL_CHECKPOINT, checkpoints_in
from nnunetv2_dycon.training.inputs import splits_file_of
from nnunetv2_dycon.training.learnt_labels import noted_in_checkpoint, place_of_cases, refuse_learnt_labels


@dataclass(frozen=True)
class PreviousStage:
    """The model whose predictions a fold of the next stage sees: that of the same trainer, plans and fold.

    Attributes:
        trainer_class: of both stages.
        plans_manager: the plans of both stages.
        dataset_json: the contents of ``dataset.json``.
        configuration_name: such as ``3d_lowres``.
        next_stage: such as ``3d_cascade_fullres``.
        fold: of both stages.
    """

    trainer_class: type[nnUNetTrainer]
    plans_manager: PlansManager
    dataset_json: dict[str, Any]
    configuration_name: str
    next_stage: str
    fold: int | str

    @property
    def configuration(self) -> ConfigurationManager:
        """nnU-Net's view of its configuration."""
        return self.plans_manager.get_configuration(self.configuration_name)

    @property
    def model_folder(self) -> Path:
        """``nnUNet_results/DatasetXXX_NAME/TRAINER__PLANS__CONFIGURATION``."""
        parts = (self.trainer_class.__name__, self.plans_manager.plans_name, self.configuration_name)
        return results_folder() / self.plans_manager.dataset_name / convert_trainer_plans_config_to_identifier(*parts)

    @property
    def checkpoint(self) -> Path:
        """The model that predicts the unlabeled cases."""
        return self.fold_folder(self.fold) / FINAL_CHECKPOINT

    @property
    def labeled_predictions(self) -> Path:
        """Where nnU-Net stores ``CASE.b2nd`` of the labeled cases, from all folds."""
        return labeled_predictions_folder(self.model_folder, self.next_stage)

    @property
    def unlabeled_predictions(self) -> Path:
        """Where ``CASE.b2nd`` of the unlabeled cases is stored, from one fold."""
        return self.model_folder / "predicted_next_stage_unlabeled" / self.next_stage / f"fold_{self.fold}"

    def fold_folder(self, fold: int | str) -> Path:
        """The results of a fold."""
        return self.model_folder / f"fold_{fold}"

    def training_command(self, fold: int | str, *, anew: bool = False) -> str:
        """The command line that trains a fold, or goes on with its training unless it is to be trained anew.

        With ``--val`` it repeats the predictions of labeled cases alone.
        """
        options = f"-tr {self.trainer_class.__name__} -p {shlex.quote(self.plans_manager.plans_name)}"
        checkpoints = checkpoints_in(self.fold_folder(fold))
        if checkpoints and checkpoints[0].name != FINAL_CHECKPOINT and not anew:
            options += " --c"
        dataset = dataset_id(self.plans_manager.dataset_name)
        return f"nnUNetv2_train {dataset} {self.configuration_name} {fold} {options}{device_option()}"

    @property
    def unlabeled_preprocessing_command(self) -> str:
        """The command line that preprocesses its unlabeled cases."""
        plans_manager = self.plans_manager
        options = f"-c {self.configuration_name} -p {shlex.quote(plans_manager.plans_name)}"
        return f"nnunetv2_dycon preprocess -d {dataset_id(plans_manager.dataset_name)} {options}"

    def refuse_missing_checkpoint(self) -> None:
        """A UserError that names the command to run where the model is not trained to its end."""
        if not self.checkpoint.is_file():
            folds = "" if self.fold == "all" else " (and the other folds, whose predictions are needed too)"
            raise UserError(
                f"{self.next_stage} needs the model of {self.configuration_name} for the same fold, and "
                f"{self.checkpoint} is not there. Run first{folds}: {self.training_command(self.fold)}"
            )

    def learnt_by(self, checkpoint: Path) -> frozenset[str]:
        """The cases from whose labels a fold's model has learnt; none where it is not there, or not known."""
        if not checkpoint.is_file():
            return frozenset()
        fold = checkpoint.parent.name.removeprefix("fold_")
        return noted_in_checkpoint(checkpoint, f"Train it again: {self.training_command(fold, anew=True)}")

    def refuse_learnt_labels(self, learnt: Iterable[str], held_back: Iterable[str], splits_file: Path) -> None:
        """Refuse the model that predicts the unlabeled cases where it has learnt from labels that its fold holds back.

        Args:
            learnt: by the model.
            held_back: the fold's validation cases, and those whose labels are off limits.
            splits_file: may not be there.

        Raises:
            UserError: naming these labels and the command to run.
        """
        if self.fold == "all":
            return
        where, put_back = place_of_cases(splits_file, int(self.fold), "val", UNLABELED_KEY)
        remedy = f"{put_back}, or train it anew: {self.training_command(self.fold, anew=True)}"
        refuse_learnt_labels(learnt, held_back, where=where, model=str(self.checkpoint.parent), remedy=remedy)


def labeled_predictions_folder(model_folder: Path, next_stage: str) -> Path:
    """Where nnU-Net stores what a model predicts of labeled cases for a next stage."""
    return model_folder / "predicted_next_stage" / next_stage


def previous_stage_of(trainer: nnUNetTrainer) -> PreviousStage | None:
    """The previous stage of a trainer's fold; None where its configuration has none.

    Raises:
        UnsupportedFeatureError: for a cascade of more than two stages.
        UserError: for plans in which the previous stage does not name the next one, so that nnU-Net predicts nothing.
    """
    name, plans_manager = trainer.configuration_manager.previous_stage_name, trainer.plans_manager
    if name is None:
        return None
    stage = PreviousStage(
        type(trainer), plans_manager, trainer.dataset_json, name, trainer.configuration_name, trainer.fold
    )
    if stage.configuration.previous_stage_name is not None:
        raise UnsupportedFeatureError(
            f"{plans_manager.plans_name}.json: {name}, the previous stage of {stage.next_stage}, has a previous stage "
            "itself. Cascades of two stages are supported."
        )
    if stage.next_stage not in (stage.configuration.next_stage_names or []):
        raise UserError(
            f'{plans_manager.plans_name}.json: {stage.next_stage} has the "previous_stage" {name}, but {name} does not '
            f'have the "next_stage" {stage.next_stage}. Add it, and train {name} again.'
        )
    return stage


def folder_of_unlabeled_predictions(trainer: nnUNetTrainer) -> str | None:
    """Where the previous stage's predictions of the unlabeled cases are; None where there is no such stage."""
    stage = previous_stage_of(trainer)
    return None if stage is None else str(stage.unlabeled_predictions)


def refuse_missing_model(trainer: nnUNetTrainer, *, needs_unlabeled_data: bool) -> None:
    """Refuse to train the second stage of a cascade before the first one is trained.

    Raises:
        UserError: naming the command to run, and where labels that are off limits in the trainer's fold would reach it
            through another fold's model.
    """
    stage = previous_stage_of(trainer)
    if stage is None:
        return
    if needs_unlabeled_data:
        stage.refuse_missing_checkpoint()
    _refuse_labels_through_other_folds(stage, splits_file_of(trainer))


def _refuse_labels_through_other_folds(stage: PreviousStage, splits_file: Path) -> None:
    off_limits = off_limits_cases(splits_file, stage.fold)
    for fold, split in enumerate(read_splits(splits_file)):
        if both := sorted(set(off_limits) & set(split["train"])):
            raise UserError(
                f'{splits_file} lists {", ".join(both)} under "unlabeled" in fold {stage.fold} and under "train" in '
                f"fold {fold}, whose {stage.configuration_name} predicts training cases of fold {stage.fold} for "
                f'{stage.next_stage}: their labels would come in that way. List them under "unlabeled" in all folds.'
            )
