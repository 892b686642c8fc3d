"""From unlabeled scans to the order in which to annotate them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from nnunetv2_dycon.annotation.candidates import Candidates
from nnunetv2_dycon.annotation.features import nnUNetFeaturePredictor
from nnunetv2_dycon.annotation.ranking import Criterion, distances_to_labeled, order_candidates, scan_uncertainty
from nnunetv2_dycon.files import explained_write_errors, written_aside
from nnunetv2_dycon.json_files import read_json
from nnunetv2_dycon.training.start import label_space_of
from nnunetv2_dycon.uncertainty.inputs import TrainedModel
from nnunetv2_dycon.uncertainty.measures import Uncertainty, largest_entropy
from nnunetv2_dycon.uncertainty.picture import draw_case
from nnunetv2_dycon.uncertainty.predict_uncertainty import (
    PredictionOptions,
    load_predictor,
    record_of,
    refuse_other_predictions,
)
from nnunetv2_dycon.uncertainty.table import structures_of

RECORD = "ranking.json"


@dataclass(frozen=True)
class RankedCase:
    """An unlabeled case in its place of the order.

    Attributes:
        case: its name.
        score: by which it was chosen.
        uncertainty: 1 - expected Dice, see scan_uncertainty.
        distance: to the nearest case that is labeled or precedes it; None where uncertainty alone decided.
        nearest: that case.
        distance_to_labeled: to the nearest labeled case.
    """

    case: str
    score: float
    uncertainty: float
    distance: float | None
    nearest: str | None
    distance_to_labeled: float | None


@dataclass(frozen=True)
class Measured:
    """What is known of a case.

    Attributes:
        features: see nnUNetFeaturePredictor; None where none were read.
        uncertainty: None for a labeled case, which need not be predicted.
    """

    features: list[float] | None = None
    uncertainty: float | None = None


def rank_cases(
    model: TrainedModel, candidates: Candidates, output: Path, options: PredictionOptions, criterion: Criterion
) -> list[RankedCase]:
    """Predict the unlabeled cases of a dataset and order them by what annotating them is expected to bring.

    The folder gets the segmentations, ``pictures/CASE.png`` with the least certain slices, ``cases/CASE.json`` with
    what the order is made of, and ``ranking.json`` with what was predicted how.

    Args:
        model: which has been checked.
        candidates: cases, which have been checked.
        output: the folder, which is made.
        options: how to predict.
        criterion: see order_candidates.

    Returns:
        All unlabeled cases, the first to annotate first.

    Raises:
        UserError: when the folder cannot be written to or has predictions of another model that are to be continued,
            for a network without bottleneck whose features are needed, and for a scan that nnU-Net cannot preprocess.
    """
    needs_features = criterion != "uncertainty"
    predictor = load_predictor(nnUNetFeaturePredictor, model, options, reads_features=needs_features)
    record = record_of(model, predictor)
    if options.continue_prediction:
        refuse_other_predictions(output / RECORD, record)
    writer = _CaseWriter(predictor, candidates, output)
    with explained_write_errors(output):
        output.mkdir(parents=True, exist_ok=True)
        if not options.continue_prediction:
            # Of another model, perhaps: whoever continues would take them for this one's.
            writer.remove_measured()
        with written_aside(output / RECORD) as partial:
            partial.write_text(json.dumps(record, indent=1))
    labeled, unlabeled = candidates.labeled, candidates.unlabeled_images
    if options.continue_prediction:
        labeled = {case: files for case, files in labeled.items() if not writer.is_done(case, needs_features)}
        unlabeled = {case: files for case, files in unlabeled.items() if not writer.is_done(case, needs_features)}
        print(f"{len(candidates.unlabeled) - len(unlabeled)} of {len(candidates.unlabeled)} cases are done.")
    if labeled and needs_features:
        with tqdm(desc="Reading labeled scans", unit="scan", total=len(labeled)) as progress:

            def receive(case: str, features: np.ndarray) -> None:
                writer.write_measured(case, Measured(features.tolist()))
                progress.update()

            predictor.predict_features(labeled, output, receive, options.num_processes)
    if unlabeled:
        total = predictor.steps_per_case * len(unlabeled)
        # nnU-Net prints lines first.
        with tqdm(desc="Predicting", unit="step", total=total, delay=1) as progress:
            predictor.predict_cases(
                unlabeled, output, writer.write, progress.update, num_processes=options.num_processes
            )
    measured = {case: writer.read_measured(case) for case in candidates.unlabeled}
    of_labeled = {case: writer.read_measured(case) for case in candidates.labeled} if needs_features else {}
    return ranked(measured, of_labeled, criterion)


def ranked(
    unlabeled: Mapping[str, Measured], labeled: Mapping[str, Measured], criterion: Criterion
) -> list[RankedCase]:
    """The order of unlabeled cases, see order_candidates. Labeled ones are needed unless uncertainty decides."""
    names, labeled_names = list(unlabeled), list(labeled)
    uncertainties = np.array([unlabeled[name].uncertainty for name in names], dtype=np.float64)
    if criterion == "uncertainty":
        choices, to_labeled = order_candidates(uncertainties, None, None, criterion), None
    else:
        features = np.array([unlabeled[name].features for name in names])
        labeled_features = np.array([labeled[name].features for name in labeled_names])
        choices = order_candidates(uncertainties, features, labeled_features, criterion)
        to_labeled = distances_to_labeled(features, labeled_features)
    nearest = [*labeled_names, *names]
    return [
        RankedCase(
            names[choice.index],
            choice.score,
            float(uncertainties[choice.index]),
            None if to_labeled is None else choice.distance,
            None if to_labeled is None else nearest[choice.nearest],
            None if to_labeled is None else float(to_labeled[choice.index]),
        )
        for choice in choices
    ]


class _CaseWriter:
    """Writes what there is beside the segmentation of a case."""

    def __init__(self, predictor: nnUNetFeaturePredictor, candidates: Candidates, output: Path) -> None:
        self._predictor = predictor
        self._candidates = candidates
        self._output = output
        self._labels = label_space_of(predictor.label_manager)
        self._structures = structures_of(predictor.dataset_json["labels"], predictor.label_manager)
        self._reader = predictor.plans_manager.image_reader_writer_class()

    def _file(self, case: str) -> Path:
        return self._output / "cases" / f"{case}.json"

    def _segmentation(self, case: str) -> Path:
        return self._output / f"{case}{self._candidates.file_ending}"

    def is_done(self, case: str, needs_features: bool) -> bool:
        """Whether all that is needed of a case is there; its file is written last."""
        if not self._file(case).is_file():
            return False
        measured = self.read_measured(case)
        has_features = measured.features is not None or not needs_features
        if case in self._candidates.labeled:
            return has_features
        return has_features and measured.uncertainty is not None and self._segmentation(case).is_file()

    def remove_measured(self) -> None:
        """Remove what an earlier order has left, also of cases that are no candidates now and may be later."""
        files = {self._file(case) for case in (*self._candidates.labeled, *self._candidates.unlabeled)}
        if (self._output / RECORD).is_file():
            files.update(self._file("*").parent.glob(self._file("*").name))
        for file in files:
            file.unlink(missing_ok=True)

    def read_measured(self, case: str) -> Measured:
        """What :meth:`write_measured` wrote."""
        return Measured(**read_json(self._file(case), ("features", "uncertainty")))

    def write_measured(self, case: str, measured: Measured) -> None:
        """Write what is known of a case."""
        content = {"features": measured.features, "uncertainty": measured.uncertainty}
        with explained_write_errors(self._output), written_aside(self._file(case)) as partial:
            partial.write_text(json.dumps(content))

    def write(self, output: str, properties: dict[str, Any], uncertainty: Uncertainty) -> None:
        """Write the picture and, last, the measures of an unlabeled case."""
        case = Path(output).name
        features = self._predictor.take_features()
        segmentation = torch.from_numpy(self._reader.read_seg(str(self._segmentation(case)))[0][0]).int()
        value = scan_uncertainty(self._structures, segmentation, uncertainty.probabilities)
        draw_case(
            self._output / "pictures" / f"{case}.png",
            f"{case}: uncertainty {value:.2f}",
            self._reader.read_images([str(file) for file in self._candidates.unlabeled[case].images])[0][0],
            {structure.name: structure.mask(segmentation).numpy() for structure in self._structures},
            uncertainty.entropy.numpy(),
            tuple(float(each) for each in properties["spacing"]),
            largest_entropy(uncertainty.probabilities.shape[0], self._labels),
        )
        self.write_measured(case, Measured(None if features is None else features.tolist(), value))
