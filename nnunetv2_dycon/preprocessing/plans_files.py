"""Reading what nnUNetv2_plan_and_preprocess left."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

from nnunetv2.paths import nnUNet_preprocessed
from nnunetv2.utilities.dataset_name_id_conversion import maybe_convert_to_dataset_name
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager

from nnunetv2_dycon.exceptions import UserError


@dataclass(frozen=True)
class PlannedDataset:
    """A dataset that nnU-Net has planned.

    Attributes:
        folder: ``nnUNet_preprocessed/DatasetXXX_NAME``.
        plans: the contents of its plans file.
        plans_file: that file.
        dataset_json: its dataset.json.
    """

    folder: Path
    plans: dict
    plans_file: Path
    dataset_json: dict

    @property
    def plans_manager(self) -> PlansManager:
        """nnU-Net's view of the plans."""
        return PlansManager(self.plans)

    def configuration(self, name: str) -> ConfigurationManager:
        """nnU-Net's view of a configuration.

        Args:
            name: e.g. ``3d_fullres``.

        Raises:
            UserError: when the plans have no such configuration.
        """
        if name not in self.plans["configurations"]:
            raise UserError(
                f"{self.plans_file} has no configuration {name}. It has {', '.join(self.plans['configurations'])}."
            )
        return self.plans_manager.get_configuration(name)


def dataset_name_of(name_or_id: str) -> str:
    """The full name of a dataset that nnU-Net's folders know.

    Args:
        name_or_id: ``501`` or ``Dataset501_NAME``.

    Raises:
        UserError: when there is none, or more than one, or the folders are not set.
    """
    try:
        name = str(maybe_convert_to_dataset_name(name_or_id))
    except (RuntimeError, ValueError) as error:
        raise UserError(f"Dataset {name_or_id}: {error}") from error
    if re.match(r"Dataset\d{3}_", name) is None:
        raise UserError(f"{name} is not the name of a dataset: nnU-Net's are DatasetXXX_NAME with three digits.")
    return name


def read_planned_dataset(name_or_id: str, plans_identifier: str) -> PlannedDataset:
    """Read a dataset's plans.

    Args:
        name_or_id: ``501`` or ``Dataset501_NAME``.
        plans_identifier: e.g. ``nnUNetPlans``.

    Returns:
        The dataset.

    Raises:
        UserError: when it is not known or not planned.
    """
    name = dataset_name_of(name_or_id)
    if not nnUNet_preprocessed.is_set():
        raise UserError("nnUNet_preprocessed is not set. Export it as nnU-Net's documentation says.")
    folder = Path(nnUNet_preprocessed) / name
    plans_file = folder / f"{plans_identifier}.json"
    if not plans_file.is_file():
        raise UserError(
            f"{plans_file} is not there. Plan the dataset first: nnUNetv2_plan_and_preprocess -d {int(name[7:10])}, or "
            "name other plans with -p."
        )
    return PlannedDataset(
        folder, json.loads(plans_file.read_text()), plans_file, json.loads((folder / "dataset.json").read_text())
    )
