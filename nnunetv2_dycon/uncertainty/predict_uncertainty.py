"""From a folder of scans to segmentations, maps of uncertainty, a table and pictures."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from tqdm import tqdm

from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.files import explained_write_errors, hash_file, written_aside
from nnunetv2_dycon.json_files import read_json
from nnunetv2_dycon.uncertainty.case_writer import MAP_FOLDERS, CaseWriter
from nnunetv2_dycon.uncertainty.inputs import TrainedModel
from nnunetv2_dycon.uncertainty.predictor import nnUNetMemberPredictor
from nnunetv2_dycon.uncertainty.table import TABLE, read_table, write_table

RECORD = "uncertainty.json"
_PREVIOUS_STAGE = "previous_stage_sha256"
PredictorType = TypeVar("PredictorType", bound=nnUNetMemberPredictor)


@dataclass(frozen=True)
class PredictionOptions:
    """Options of nnUNetv2_predict, with its defaults.

    Attributes:
        device: where to predict.
        use_mirroring: predict mirrored scans too.
        step_size: of the sliding window, as a fraction of the patch, in (0, 1].
        previous_stage: in a cascade the folder with the segmentations of the previous stage.
        continue_prediction: leave cases alone that are done.
        num_processes: how many preprocess.
        table_only: of nnU-Net's mean prediction alone, without members; no maps and pictures.
    """

    device: torch.device
    use_mirroring: bool = True
    step_size: float = 0.5
    previous_stage: Path | None = None
    continue_prediction: bool = False
    num_processes: int = 3
    table_only: bool = False


def load_predictor(
    predictor_class: type[PredictorType], model: TrainedModel, options: PredictionOptions, **arguments: Any
) -> PredictorType:
    """A predictor with the weights of a model.

    Args:
        predictor_class: the predictor, or one with further arguments.
        model: which has been checked.
        options: how to predict.
        arguments: those that this class has beyond nnUNetPredictor's.

    Raises:
        UserError: for a model that this predictor cannot use.
    """
    predictor = predictor_class(
        use_mirroring=options.use_mirroring,
        tile_step_size=options.step_size,
        perform_everything_on_device=options.device.type == "cuda",
        device=options.device,
        allow_tqdm=False,
        **arguments,
    )
    predictor.initialize_from_trained_model_folder(str(model.folder), model.folds, model.checkpoint_name)
    return predictor


def predict_uncertainty(
    model: TrainedModel, scans: dict[str, list[Path]], output: Path, options: PredictionOptions
) -> list[str]:
    """Predict scans, and write how uncertain the predictions are.

    The folder gets what nnUNetv2_predict writes, and beside it ``entropy/CASE`` and ``mutual_information/CASE`` as
    images, ``pictures/CASE.png``, ``uncertainty.csv`` with a row for each case and structure, and ``uncertainty.json``
    with what was predicted how. Mutual information is left out where there is one member. With ``table_only`` there are
    no maps and pictures, and nnU-Net's own mean prediction is the only member.

    Args:
        model: which has been checked.
        scans: the image files of each case, by its name.
        output: the folder, which is made.
        options: how to predict.

    Returns:
        What the folder has of each case, in words.

    Raises:
        UserError: when the folder cannot be written to, has predictions of another model that are to be continued or,
            with ``table_only``, maps of an earlier prediction, and for a scan that nnU-Net cannot preprocess.
    """
    if options.table_only and (maps := [name for name in MAP_FOLDERS if (output / name).exists()]):
        raise UserError(
            f"{output / maps[0]} is of an earlier prediction, and --table_only writes none: choose another folder with "
            "-o, or remove it."
        )
    predictor = load_predictor(nnUNetMemberPredictor, model, options, of_members=not options.table_only)
    if predictor.num_members == 1 and not options.table_only:
        print(
            "One fold without mirroring is a single member, whose mutual information is 0 by definition: none is "
            "written. Predict with several folds (-f), or without --disable_tta."
        )
    record = record_of(model, predictor)
    stage, ending = options.previous_stage, model.dataset_json["file_ending"]
    # Of each case: a first stage may be predicted anew for some.
    hashes = {} if stage is None else {case: hash_file(stage / (case + ending)) for case in scans}
    writer = CaseWriter(predictor, scans, output, table_only=options.table_only)
    if options.continue_prediction:
        refuse_other_predictions(output / RECORD, record)
        used = _hashes_of_previous_stage(output / RECORD)
        differing = {case for case, value in hashes.items() if used.get(case) != value}
        writer.keep_finished_rows([row for row in read_table(output / TABLE) if row["case"] not in differing])
        hashes = used | hashes
    if stage is not None:
        record[_PREVIOUS_STAGE] = hashes
    pending = {case: files for case, files in scans.items() if case not in writer.cases}
    if options.continue_prediction:
        print(f"{len(scans) - len(pending)} of {len(scans)} cases are done.")
    with explained_write_errors(output):
        output.mkdir(parents=True, exist_ok=True)
        # First the table: what it keeps of another model must not stand beside the record of this one.
        write_table(writer.rows, output / TABLE)
        with written_aside(output / RECORD) as partial:
            partial.write_text(json.dumps(record, indent=1))
    maps = ["entropy", *["mutual information"] * (predictor.num_members > 1), "pictures"]
    written = ["segmentations", *([] if options.table_only else maps)]
    if not pending:
        return written
    total = predictor.steps_per_case * len(pending)
    # nnU-Net prints lines first.
    with tqdm(desc="Predicting", unit="step", total=total, delay=1) as progress:
        predictor.predict_cases(
            pending,
            output,
            writer.write,
            progress.update,
            previous_stage=options.previous_stage,
            num_processes=options.num_processes,
        )
    return written


def record_of(model: TrainedModel, predictor: nnUNetMemberPredictor) -> dict[str, Any]:
    """What was predicted how, for JSON: of each checkpoint a hash, as a folder may be trained again or renamed."""
    mean = "mean probabilities" if predictor.of_members else "probabilities of nnU-Net's mean logits"
    return {
        "model": "/".join(model.folder.absolute().parts[-2:]),
        "folds": list(model.folds),
        "checkpoint": model.checkpoint_name,
        "checkpoint_sha256": [hash_file(file) for file in model.checkpoints],
        "mirrored_axes": [list(axes) for axes in predictor.mirrorings],
        "step_size": predictor.tile_step_size,
        "table_only": not predictor.of_members,
        "members": predictor.num_members,
        "entropy": f"nats, of the {mean}; of regions the sum of their entropies",
    }


def refuse_other_predictions(file: Path, record: dict[str, Any]) -> None:
    """Refuse to continue what was predicted otherwise.

    The weights of a model count, not the names of its folder and checkpoint. A record without hashes of checkpoints, as
    unreleased versions wrote, may be of other weights and is refused.

    Args:
        file: the record of what is there, if it is.
        record: see :func:`record_of`.

    Raises:
        UserError: naming what differs.
    """
    # Which an earlier release did not have.
    there = {"table_only": False} | (read_json(file) if file.is_file() else record)
    for key, value in record.items():
        if key not in ("model", "checkpoint") and there.get(key) != value:
            difference, remedy = _difference(key, there, record)
            raise UserError(f"{file.parent} was predicted {difference}: {remedy}leave --continue_prediction out.")


def _difference(key: str, there: dict[str, Any], record: dict[str, Any]) -> tuple[str, str]:
    """With what was predicted that is not so now, and what to do about it, up to "or"."""
    remedy = "choose another folder with -o, or "
    if key == "checkpoint_sha256":
        if key not in there:
            return f"by an earlier version, which did not note the weights of {record['model']}", remedy
        if any(there.get(name) != record[name] for name in ("model", "checkpoint")):
            names = (f"{each.get('checkpoint')} of {each.get('model')}" for each in (there, record))
            return "with {}, not with {}, which has other weights".format(*names), remedy
        return f"before {record['model']} was trained again, with other weights", remedy
    if key == "mirrored_axes" and (was_mirrored := there.get(key) != [[]]) != (record[key] != [[]]):
        if was_mirrored:
            return "with mirroring, not without", f"leave --disable_tta out, {remedy}"
        return "without mirroring, not with it", f"add --disable_tta, {remedy}"
    if key == "table_only":
        if record[key]:
            return "without --table_only, not with it", f"leave --table_only out, {remedy}"
        return "with --table_only, not without", f"add --table_only, {remedy}"
    return f"with {key} {there.get(key)}, not {record[key]}", remedy


def _hashes_of_previous_stage(file: Path) -> dict[str, str]:
    hashes = read_json(file).get(_PREVIOUS_STAGE) if file.is_file() else None
    return hashes if isinstance(hashes, dict) else {}
