"""What a self-training is asked to do, and what is checked of it before hours of training."""

from __future__ import annotations

import filecmp
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from nnunetv2.utilities.file_path_utilities import convert_trainer_plans_config_to_identifier

from nnunetv2_dycon.comparison.validation_results import validated_cases
from nnunetv2_dycon.datasets.hidden_files import refuse_hidden_files
from nnunetv2_dycon.datasets.names import dataset_id, existing_dataset_folder, raw_folder, results_folder
from nnunetv2_dycon.datasets.planned_dataset import PlannedDataset, read_planned_dataset
from nnunetv2_dycon.datasets.preprocessed_cases import preprocessing_command
from nnunetv2_dycon.datasets.raw_file_names import UNLABELED_FOLDER_NAME
from nnunetv2_dycon.datasets.splits import Split
from nnunetv2_dycon.exceptions import UnsupportedFeatureError, UserError, is_or_are, listed
from nnunetv2_dycon.self_training.pseudo_labeled_dataset import pseudo_labeled_dataset_name
from nnunetv2_dycon.self_training.record import origin_of_predictions, refuse_another_dataset
from nnunetv2_dycon.self_training.source_cases import SourceCases, read_source_cases
from nnunetv2_dycon.self_training.splits import check_first_model, read_source_splits
from nnunetv2_dycon.training.checkpoints import FINAL_CHECKPOINT, is_whole
from nnunetv2_dycon.training.find_trainer import find_trainer, supervised_counterpart
from nnunetv2_dycon.training.trainer import nnUNetTrainerSemiSupervised


@dataclass(frozen=True)
class SelfTrainingOptions:
    """The options of ``nnunetv2_dycon self-train``, as its help says."""

    dataset: str
    outputs: Sequence[str]
    configuration: str = "3d_fullres"
    fold: str = "0"
    trainer: str = "nnUNetTrainerDyCON"
    second_trainer: str | None = None
    plans: str = "nnUNetPlans"
    device: str = "cuda"
    disable_tta: bool = False
    copy: bool = False
    all_components: bool = False
    num_processes: int | None = None

    @property
    def last_trainer(self) -> str:
        """The trainer of the second model, and of further ones.

        Raises:
            UserError: if the first trainer is not there.
        """
        return self.second_trainer or supervised_counterpart(self.trainer)


@dataclass(frozen=True)
class SelfTrainingRound:
    """What a round reads and writes; models are fold folders.

    Attributes:
        first_trainer: of the model that predicts.
        first_model: the model that predicts: of the source, or of the round before.
        second_model: the model that is trained on the predictions.
    """

    source: PlannedDataset
    cases: SourceCases
    target_raw: Path
    target_preprocessed: Path
    first_trainer: str
    first_model: Path
    second_model: Path

    @property
    def first_dataset(self) -> str:
        """The dataset that the first model was trained on."""
        return self.first_model.parent.parent.name

    @property
    def predictions(self) -> Path:
        """Folder of the first model's predictions of ``imagesUnlabeled``."""
        return self.first_model / "pseudo_labels"


def check_self_training(options: SelfTrainingOptions) -> list[SelfTrainingRound]:
    """Check all that can be checked before hours of training; a UserError names what is wrong.

    Returns:
        One round for each output.
    """
    source_raw = existing_dataset_folder(options.dataset)
    source = read_planned_dataset(source_raw.name, options.plans, options.configuration)
    configuration = source.configuration(options.configuration)
    if configuration.previous_stage_name is not None:
        raise UnsupportedFeatureError("self-training does not support cascades: choose 3d_fullres or 3d_lowres")
    cases = read_source_cases(source_raw)
    refuse_hidden_files(source_raw / UNLABELED_FOLDER_NAME, cases.labeled.file_ending)
    splits = _source_splits(options.fold, source.splits_file, sorted(cases.labeled.training))
    find_trainer(options.trainer)
    if issubclass(find_trainer(options.last_trainer, "-tr2"), nnUNetTrainerSemiSupervised):
        raise UserError(
            f"{options.last_trainer} needs unlabeled scans, and the dataset of the second model has none left: choose "
            "its trainer with -tr2, such as -tr2 nnUNetTrainer"
        )
    if options.device == "cuda" and not torch.cuda.is_available():
        raise UserError("PyTorch finds no CUDA GPU: give -device cpu")
    if options.num_processes is not None and options.num_processes < 1:
        raise UserError(f"-np must be at least 1, not {options.num_processes}")
    rounds = _rounds(options, source, cases)
    first_model = rounds[0].first_model
    for stage in configurations_of_data(source, options.configuration):
        data_folder = source.data_folder(stage)
        if not is_trained(first_model) and not data_folder.is_dir():
            command = preprocessing_command(source.name, stage, options.plans)
            raise UserError(f"{data_folder} is not there: preprocess the dataset first, with {command}")
    if is_trained(first_model):
        _check_validated_cases(options, rounds[0], splits)
    else:
        _check_labeled_cases(options, rounds[0])
    check_first_model(first_model, options.fold, splits, source.splits_file)
    for each in rounds:
        _check_target(options, each)
    return rounds


def _rounds(options: SelfTrainingOptions, source: PlannedDataset, cases: SourceCases) -> list[SelfTrainingRound]:
    names = [pseudo_labeled_dataset_name(source.name, output) for output in options.outputs]
    if len({dataset_id(name) for name in names}) < len(names):
        raise UserError(f"-o has an ID twice: each round makes a dataset of its own ({', '.join(options.outputs)})")
    rounds: list[SelfTrainingRound] = []
    trainer, model = options.trainer, _fold_folder(source.name, options.trainer, options)
    for name in names:
        folders = (raw_folder() / name, source.folder.with_name(name))
        second = _fold_folder(name, options.last_trainer, options)
        rounds.append(SelfTrainingRound(source, cases, *folders, trainer, model, second))
        trainer, model = options.last_trainer, second
    return rounds


def _source_splits(fold: str, splits_file: Path, labeled: list[str]) -> list[Split]:
    """The source's folds; a UserError where the one asked for is not among them."""
    splits = read_source_splits(splits_file, labeled)
    if fold not in ("all", *map(str, range(len(splits)))):
        reason = f"{splits_file} has {len(splits)} folds" if splits else f"{len(labeled)} labeled cases make no folds"
        raise UserError(f"there is no fold {fold}, since {reason}: choose another one with -f, or -f all")
    return splits


def _check_validated_cases(options: SelfTrainingOptions, folders: SelfTrainingRound, splits: list[Split]) -> None:
    """Refuse a trained first model whose fold had other validation cases: it may have learnt from today's."""
    if options.fold == "all":
        return
    expected = set(splits[int(options.fold)]["val"])
    validated, complete = _validated_cases(folders.first_model / "validation", folders.cases.labeled.file_ending)
    # A validation that was interrupted has some of the cases.
    if validated - expected or (complete and expected - validated):
        raise UserError(
            f"fold {options.fold} has other validation cases ({listed(sorted(expected))}) than when "
            f"{folders.first_model} was trained ({listed(sorted(validated))}), so that model may have learnt from "
            f"them: restore {folders.source.splits_file}, or remove the model to train it anew, and choose a new -o. "
            f"If it was trained anew since, remove {folders.first_model / 'validation'}, and repeat the training with "
            "--val"
        )


def _validated_cases(validation: Path, ending: str) -> tuple[set[str], bool]:
    """The cases that a validation folder of nnU-Net's is of, and whether all of that validation's are known."""
    summary = validation / "summary.json"
    if summary.is_file():
        # Which stays where predictions are removed to save space, and alone goes into an exported model.
        return validated_cases(summary, ending), True
    files = [file.name for file in validation.glob(f"*{ending}") if not file.name.startswith(".")]
    return {name.removesuffix(ending) for name in files}, False


def _check_labeled_cases(options: SelfTrainingOptions, folders: SelfTrainingRound) -> None:
    """Refuse what the first model would not learn from as it is."""
    source, ending = folders.source, folders.cases.labeled.file_ending
    data_folder = source.data_folder(options.configuration)
    places = [(data_folder, ".pkl"), (source.folder / "gt_segmentations", ending)]
    labeled = sorted(folders.cases.labeled.training)
    if missing := [case for case in labeled if not all((place / (case + end)).is_file() for place, end in places)]:
        command = preprocessing_command(source.name, options.configuration, options.plans)
        raise UserError(f"{listed(missing)} {is_or_are(missing)} not preprocessed: run {command}")
    if changed := changed_labels(options, folders):
        raise UserError(changed)


def configurations_of_data(dataset: PlannedDataset, configuration: str) -> list[str]:
    """The configurations whose data a training reads: nnU-Net's validation of 3d_lowres looks at the next stage's."""
    return [configuration, *(dataset.configuration(configuration).next_stage_names or [])]


def _check_target(options: SelfTrainingOptions, folders: SelfTrainingRound) -> None:
    name = folders.target_raw.name
    if folders.target_raw.exists():
        record = {
            "labeled": sorted(folders.cases.labeled.training),
            "pseudo_labeled": sorted(case.identifier for case in folders.cases.unlabeled),
            "all_components": options.all_components,
        }
        origin = refuse_another_dataset(folders.target_raw, record)["predictions"]
        if origin != origin_of_predictions(folders.predictions):
            raise UserError(
                f"{folders.target_raw} was made from {origin}, not from the model asked for. Its pseudo-labels come "
                "from one fold of one model, in further rounds from that of the dataset before it: choose another ID "
                "or name with -o"
            )
        if not is_trained(folders.first_model):
            raise UserError(
                f"{folders.target_raw} is there, but no trained model in {folders.first_model}, whose predictions are "
                "its labels. Those of another model would not fit: choose another ID or name with -o, for further "
                f"rounds too, or remove {name} with its preprocessed data and results"
            )
    elif folders.target_preprocessed.exists() or folders.second_model.exists():
        raise UserError(
            f"there are preprocessed data or results of {name}, but {folders.target_raw} is not there: choose another "
            "ID or name with -o, or remove them"
        )


def _fold_folder(dataset_name: str, trainer: str, options: SelfTrainingOptions) -> Path:
    model = convert_trainer_plans_config_to_identifier(trainer, options.plans, options.configuration)
    return results_folder() / dataset_name / model / f"fold_{options.fold}"


def is_trained(fold_folder: Path) -> bool:
    """Whether a training in this folder has come to its end, and its last checkpoint was written whole."""
    return is_whole(fold_folder / FINAL_CHECKPOINT)


def changed_labels(options: SelfTrainingOptions, folders: SelfTrainingRound) -> str | None:
    """A sentence on labels that are not those which nnUNetv2_preprocess took last; None without such.

    Cases that are not preprocessed, or not any more, are passed over.
    """
    source = folders.source
    data_folder = source.data_folder(options.configuration)
    copies, older = source.folder / "gt_segmentations", []
    changed = []
    for case, labels in sorted(folders.cases.labeled.training.items()):
        copy = copies / f"{case}{folders.cases.labeled.file_ending}"
        data = data_folder / f"{case}.pkl"
        if not (copy.is_file() and data.is_file()):
            continue
        label_time, copy_time = labels.label.stat().st_mtime, time_of(copy)
        if filecmp.cmp(labels.label, copy, shallow=False):
            # A copy has the time of its label. Another configuration may have been preprocessed since.
            if min(label_time, copy_time) <= time_of(data):
                continue
        elif int(label_time) <= int(copy_time):
            # nnU-Net replaces a copy by a file that is newer by whole seconds only.
            older.append(copy.name)
        changed.append(case)
    if not changed:
        return None
    command = preprocessing_command(source.name, options.configuration, options.plans)
    first = f"remove {', '.join(older)} in {copies}, newer than the label in its place, then " if older else ""
    return f"{listed(changed)}: the label has changed since it was preprocessed; {first}run {command}"


def time_of(file: Path) -> float:
    """When a file was changed, in seconds of the system's clock; 0 where there is none."""
    return file.stat().st_mtime if file.exists() else 0.0
