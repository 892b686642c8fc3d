"""From a folder of scans to segmentations, maps of uncertainty, a table and pictures."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from tqdm import tqdm

from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.files import explained_write_errors, hash_file, written_aside
from nnunetv2_dycon.json_files import read_json
from nnunetv2_dycon.training.start import label_space_of
from nnunetv2_dycon.uncertainty.inputs import TrainedModel
from nnunetv2_dycon.uncertainty.maps import is_planar, map_ending, write_map
from nnunetv2_dycon.uncertainty.measures import Uncertainty, largest_entropy
from nnunetv2_dycon.uncertainty.picture import draw_case
from nnunetv2_dycon.uncertainty.predictor import nnUNetMemberPredictor
from nnunetv2_dycon.uncertainty.table import Row, read_table, rows_of, structures_of, write_table

TABLE, RECORD = "uncertainty.csv", "uncertainty.json"
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
    """

    device: torch.device
    use_mirroring: bool = True
    step_size: float = 0.5
    previous_stage: Path | None = None
    continue_prediction: bool = False
    num_processes: int = 3


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
    with what was predicted how. Mutual information is left out where there is one member.

    Args:
        model: which has been checked.
        scans: the image files of each case, by its name.
        output: the folder, which is made.
        options: how to predict.

    Returns:
        What the folder has of each case, in words.

    Raises:
        UserError: when the folder cannot be written to or has predictions of another model that are to be continued,
            and for a scan that nnU-Net cannot preprocess.
    """
    predictor = load_predictor(nnUNetMemberPredictor, model, options)
    if predictor.num_members == 1:
        print(
            "One fold without mirroring is a single member, whose mutual information is 0 by definition: none is "
            "written. Predict with several folds (-f), or without --disable_tta."
        )
    record = record_of(model, predictor)
    stage, ending = options.previous_stage, model.dataset_json["file_ending"]
    # Of each case: a first stage may be predicted anew for some.
    hashes = {} if stage is None else {case: hash_file(stage / (case + ending)) for case in scans}
    writer = _CaseWriter(predictor, scans, output)
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
    written = ["segmentations", "entropy", *["mutual information"] * (predictor.num_members > 1), "pictures"]
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
    return {
        "model": "/".join(model.folder.absolute().parts[-2:]),
        "folds": list(model.folds),
        "checkpoint": model.checkpoint_name,
        "checkpoint_sha256": [hash_file(file) for file in model.checkpoints],
        "mirrored_axes": [list(axes) for axes in predictor.mirrorings],
        "step_size": predictor.tile_step_size,
        "members": predictor.num_members,
        "entropy": "nats, of the mean probabilities; of regions the sum of their entropies",
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
    there = read_json(file) if file.is_file() else record
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
    return f"with {key} {there.get(key)}, not {record[key]}", remedy


def _hashes_of_previous_stage(file: Path) -> dict[str, str]:
    hashes = read_json(file).get(_PREVIOUS_STAGE) if file.is_file() else None
    return hashes if isinstance(hashes, dict) else {}


class _CaseWriter:
    """Writes what there is beside the segmentation of a case."""

    def __init__(self, predictor: nnUNetMemberPredictor, scans: dict[str, list[Path]], output: Path) -> None:
        self._predictor = predictor
        self._scans = scans
        self._output = output
        self._labels = label_space_of(predictor.label_manager)
        self._structures = structures_of(predictor.dataset_json["labels"], predictor.label_manager)
        self._reader = predictor.plans_manager.image_reader_writer_class()
        self._ending = predictor.dataset_json["file_ending"]
        self.rows: list[Row] = []

    @property
    def cases(self) -> set[str]:
        """The cases that are written."""
        return {row["case"] for row in self.rows}

    def keep_finished_rows(self, rows: list[Row]) -> None:
        """Take over the rows of cases, which are written last, whose files are all there."""
        self.rows = [row for row in rows if all(file.is_file() for file in self._files(row["case"]).values())]

    def _files(self, case: str) -> dict[str, Path]:
        ending = map_ending(self._ending)
        files = {
            "segmentation": self._output / f"{case}{self._ending}",
            "entropy": self._output / "entropy" / f"{case}{ending}",
            "picture": self._output / "pictures" / f"{case}.png",
        }
        if self._predictor.num_members > 1:
            files["mutual_information"] = self._mutual_information(case)
        return files

    def _mutual_information(self, case: str) -> Path:
        return self._output / "mutual_information" / f"{case}{map_ending(self._ending)}"

    def write(self, output: str, properties: dict[str, Any], uncertainty: Uncertainty) -> None:
        """Write the maps, the picture and, last, the rows of a case."""
        case = Path(output).name
        files, entropy = self._files(case), uncertainty.entropy.numpy()
        write_map(entropy, files["entropy"], properties)
        if uncertainty.mutual_information is None:
            # Of an earlier prediction with several members.
            self._mutual_information(case).unlink(missing_ok=True)
        else:
            write_map(uncertainty.mutual_information.numpy(), files["mutual_information"], properties)
        segmentation = torch.from_numpy(self._reader.read_seg(str(files["segmentation"]))[0][0]).int()
        spacing = tuple(float(each) for each in properties["spacing"])
        volume = None if is_planar(tuple(segmentation.shape), spacing) else math.prod(spacing)
        draw_case(
            files["picture"],
            case,
            self._reader.read_images([str(file) for file in self._scans[case]])[0][0],
            {structure.name: structure.mask(segmentation).numpy() for structure in self._structures},
            entropy,
            spacing,
            largest_entropy(uncertainty.probabilities.shape[0], self._labels),
        )
        self.rows += rows_of(case, self._structures, segmentation, uncertainty, volume)
        write_table(self.rows, self._output / TABLE)
