"""What is written of a case beside its segmentation: maps, picture and the rows of the table."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch

from nnunetv2_dycon.training.start import label_space_of
from nnunetv2_dycon.uncertainty.maps import is_planar, map_ending, write_map
from nnunetv2_dycon.uncertainty.measures import Uncertainty, largest_entropy
from nnunetv2_dycon.uncertainty.picture import draw_case
from nnunetv2_dycon.uncertainty.predictor import nnUNetMemberPredictor
from nnunetv2_dycon.uncertainty.table import TABLE, Row, rows_of, structures_of, write_table

MAP_FOLDERS = ("entropy", "mutual_information", "pictures")
"""What :class:`CaseWriter` makes beside segmentations and table."""


class CaseWriter:
    """Writes what there is beside the segmentation of a case.

    Args:
        predictor: which predicts.
        scans: the image files of each case, by its name.
        output: folder of the segmentations.
        table_only: no maps and pictures.
    """

    def __init__(
        self, predictor: nnUNetMemberPredictor, scans: dict[str, list[Path]], output: Path, *, table_only: bool
    ) -> None:
        self._predictor = predictor
        self._table_only = table_only
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
        """The files of a case that are to be written, by what they hold."""
        files = {"segmentation": self._output / f"{case}{self._ending}"}
        if not self._table_only:
            files["entropy"] = self._output / "entropy" / f"{case}{map_ending(self._ending)}"
            files["picture"] = self._output / "pictures" / f"{case}.png"
        if self._predictor.num_members > 1:
            files["mutual_information"] = self._mutual_information(case)
        return files

    def _mutual_information(self, case: str) -> Path:
        return self._output / "mutual_information" / f"{case}{map_ending(self._ending)}"

    def write(self, output: str, properties: dict[str, Any], uncertainty: Uncertainty) -> None:
        """Write the maps, the picture and, last, the rows of a case."""
        case = Path(output).name
        files = self._files(case)
        if uncertainty.mutual_information is None:
            # Of an earlier prediction with several members.
            self._mutual_information(case).unlink(missing_ok=True)
        segmentation = torch.from_numpy(self._reader.read_seg(str(files["segmentation"]))[0][0]).int()
        spacing = tuple(float(each) for each in properties["spacing"])
        volume = None if is_planar(tuple(segmentation.shape), spacing) else math.prod(spacing)
        if not self._table_only:
            self._write_maps(files, properties, segmentation, uncertainty)
        self.rows += rows_of(case, self._structures, segmentation, uncertainty, volume)
        write_table(self.rows, self._output / TABLE)

    def _write_maps(
        self, files: dict[str, Path], properties: dict[str, Any], segmentation: torch.Tensor, uncertainty: Uncertainty
    ) -> None:
        """Write the maps and the picture of a case."""
        entropy = uncertainty.entropy.numpy()
        write_map(entropy, files["entropy"], properties)
        if uncertainty.mutual_information is not None:
            write_map(uncertainty.mutual_information.numpy(), files["mutual_information"], properties)
        case = files["picture"].stem
        draw_case(
            files["picture"],
            case,
            self._reader.read_images([str(file) for file in self._scans[case]])[0][0],
            {structure.name: structure.mask(segmentation).numpy() for structure in self._structures},
            entropy,
            tuple(float(each) for each in properties["spacing"]),
            largest_entropy(uncertainty.probabilities.shape[0], self._labels),
        )
