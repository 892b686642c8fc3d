"""The table of cases and structures: volume, entropy inside, and the Dice to expect."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from nnunetv2.utilities.label_handling.label_handling import LabelManager
from torch import Tensor

from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.files import explained_write_errors, written_aside
from nnunetv2_dycon.uncertainty.measures import Uncertainty, expected_dice, mean_inside

TABLE = "uncertainty.csv"
# A structure that is not predicted has neither entropy nor expected Dice, a 2D image no volume.
COLUMNS = ("case", "class", "voxels", "volume_mm3", "mean_entropy", "mean_mutual_information", "expected_dice")
Row = dict[str, str]


@dataclass(frozen=True)
class Structure:
    """A class or region of a dataset.

    Attributes:
        name: in dataset.json.
        labels: its values in a segmentation.
        channel: of the network's probabilities.
    """

    name: str
    labels: tuple[int, ...]
    channel: int

    def mask(self, segmentation: Tensor) -> Tensor:
        """Booleans that say which voxels of a segmentation are the structure."""
        return torch.isin(segmentation, torch.tensor(self.labels, dtype=segmentation.dtype))


def structures_of(label_dict: Mapping[str, Any], label_manager: LabelManager) -> list[Structure]:
    """Foreground classes or regions, by ``labels`` of dataset.json, in the order of the network's channels."""
    foreground = {
        name: tuple(value) if isinstance(value, list) else (value,)
        for name, value in label_dict.items()
        if name != "ignore" and value not in (0, [0])
    }
    if label_manager.has_regions:
        # As LabelManager of 2.8.1 counts them: in the order of dataset.json, without background.
        return [Structure(name, labels, channel) for channel, (name, labels) in enumerate(foreground.items())]
    structures = [
        Structure(name, labels, label_manager.all_labels.index(labels[0])) for name, labels in foreground.items()
    ]
    return sorted(structures, key=lambda structure: structure.channel)


def rows_of(
    case: str,
    structures: Sequence[Structure],
    segmentation: Tensor,
    uncertainty: Uncertainty,
    voxel_volume: float | None,
) -> list[Row]:
    """The rows of a case, one for each structure.

    Args:
        case: its name.
        structures: of the dataset.
        segmentation: (X, Y, Z) integers.
        uncertainty: of the same shape.
        voxel_volume: in mm^3, or None for a 2D image.
    """
    rows = []
    for structure in structures:
        predicted = structure.mask(segmentation)
        voxels = int(predicted.sum())
        information = uncertainty.mutual_information
        values = (
            math.nan if voxel_volume is None else voxels * voxel_volume,
            mean_inside(uncertainty.entropy, predicted),
            math.nan if information is None else mean_inside(information, predicted),
            expected_dice(uncertainty.probabilities[structure.channel], predicted),
        )
        texts = ["" if math.isnan(value) else f"{value:.6g}" for value in values]
        rows.append(dict(zip(COLUMNS, (case, structure.name, str(voxels), *texts), strict=True)))
    return rows


def write_table(rows: Sequence[Row], file: Path) -> None:
    """Write the rows, sorted by case, as CSV with :data:`COLUMNS`; the old file stays until the new one is whole."""
    with explained_write_errors(file.parent), written_aside(file) as partial, partial.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(sorted(rows, key=lambda row: row["case"]))


def read_table(file: Path) -> list[Row]:
    """Read the rows that :func:`write_table` wrote; none where there is no file.

    Raises:
        UserError: for another table.
    """
    if not file.is_file():
        return []
    with file.open(newline="") as stream:
        reader = csv.DictReader(stream)
        if tuple(reader.fieldnames or ()) != COLUMNS:
            raise UserError(f"{file} is not a table of nnunetv2_dycon uncertainty: remove it, and predict again.")
        return list(reader)
