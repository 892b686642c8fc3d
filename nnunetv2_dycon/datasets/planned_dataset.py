"""Datasets as nnUNetv2_plan_and_preprocess leaves them in nnUNet_preprocessed."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnunetv2.utilities.dataset_name_id_conversion import find_candidate_datasets
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager

from nnunetv2_dycon.datasets.names import (
    dataset_id,
    dataset_name_of,
    find_raw_dataset_folder,
    preprocessed_folder,
)
from nnunetv2_dycon.datasets.plans_schema import check_configuration, check_plans
from nnunetv2_dycon.datasets.schemas import check_dataset_json
from nnunetv2_dycon.datasets.splits import SPLITS_FILE
from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.json_files import read_json, read_json_file

_OWN_PLANS, _NO_PLANS = "nnUNetPlans", ("dataset.json", "dataset_fingerprint.json", SPLITS_FILE)
# The options of nnUNetv2_plan_experiment that make plans of these names.
_PLANNERS = {
    _OWN_PLANS: "",
    "nnUNetResEncUNetPlans": " -pl ResEncUNetPlanner",
    **{f"nnUNetResEncUNet{size}Plans": f" -pl nnUNetPlannerResEnc{size}" for size in ("M", "L", "XL")},
}
# What -c of nnUNetv2_preprocess needs for a configuration: a cascade needs both of its stages.
_TO_PREPROCESS = {
    "2d": "2d",
    "3d_fullres": "3d_fullres",
    "3d_lowres": "3d_fullres 3d_lowres",
    "3d_cascade_fullres": "3d_fullres 3d_lowres",
}


@dataclass(frozen=True)
class PlannedDataset:
    """A dataset that nnU-Net has planned: its folder in nnUNet_preprocessed and the contents of its files."""

    folder: Path
    plans: dict[str, Any]
    plans_file: Path
    dataset_json: dict[str, Any]

    @property
    def name(self) -> str:
        """``DatasetXXX_NAME``."""
        return self.folder.name

    @property
    def splits_file(self) -> Path:
        """Its ``splits_final.json``, which need not be there."""
        return self.folder / SPLITS_FILE

    @property
    def plans_manager(self) -> PlansManager:
        """nnU-Net's view of the plans."""
        return PlansManager(self.plans)

    @property
    def has_ignore_label(self) -> bool:
        """Whether labeled cases may have voxels without annotation."""
        return self.plans_manager.get_label_manager(self.dataset_json).has_ignore_label

    def configuration(self, name: str) -> ConfigurationManager:
        """nnU-Net's view of a configuration such as ``3d_fullres``.

        Raises:
            UserError: when the plans have no such one, or it holds what nnU-Net cannot use.
        """
        check_configuration(self.plans, name, str(self.plans_file), self.dataset_json)
        return self.plans_manager.get_configuration(name)

    def data_folder(self, configuration_name: str) -> Path:
        """Where nnU-Net preprocesses the labeled cases of a configuration into; see :meth:`configuration`."""
        return self.folder / self.configuration(configuration_name).data_identifier


def plans_there(name: str) -> list[str]:
    """Identifiers of the plans that a dataset has, nnU-Net's own first."""
    files = (file for file in (preprocessed_folder() / name).glob("[!.]*.json") if file.name not in _NO_PLANS)
    return sorted(filter(None, map(_identifier_of_plans, files)), key=lambda name: (name != _OWN_PLANS, name))


def configurations_of(name: str, plans_identifier: str) -> list[str]:
    """The configurations in plans of a dataset that are there; none where they have no such entry."""
    return list(read_json(preprocessed_folder() / name / f"{plans_identifier}.json").get("configurations") or ())


def _identifier_of_plans(file: Path) -> str | None:
    try:
        return file.stem if "plans_name" in read_json(file) else None
    except UserError:
        return None


def describe_missing_plans(plans_file: Path, *configurations: str) -> str:
    """A sentence on a plans file that is not there, with the remedy, for the configurations that are meant."""
    name = plans_file.parent.name
    others = [other for other in find_candidate_datasets(dataset_id(name)) if other != name]
    if others and not plans_file.parent.is_dir() and find_raw_dataset_folder(name) is None:
        return f"{name} is in none of nnU-Net's folders, which have {others[0]}: correct the name of the dataset."
    there, identifier = plans_there(name), plans_file.stem
    needed = " ".join(dict.fromkeys(stage for each in configurations for stage in _TO_PREPROCESS.get(each, "").split()))
    planning = f"nnUNetv2_plan_and_preprocess -d {dataset_id(name)} -c {needed or 'CONFIGURATION'}"
    choice = f"Name others with -p ({', '.join(there)} are there), or"
    if (option := _PLANNERS.get(identifier)) is not None:
        first = f"{choice} plan with" if there else "Plan the dataset first:"
        return f"{plans_file} is not there. {first} {planning}{option}"
    # The command would make nnU-Net's own plans, and remove what is preprocessed for them.
    first = choice if there else f'Plan the dataset first, with "{planning}", then'
    if not can_name_plans(identifier):
        return f"{plans_file} is not there, and plans cannot have this name. {first} correct it."
    options = f" -c {' '.join(configurations)}" if configurations else ""
    options += f" -p {shlex.quote(there[0])}" if there and there[0] != _OWN_PLANS else ""
    making = f'make these with "nnunetv2_dycon plan -d {dataset_id(name)}{options} -o {identifier} NAME=VALUE"'
    return f"{plans_file} is not there. {first} {making}"


def can_name_plans(identifier: str) -> bool:
    """Whether ``nnunetv2_dycon plan`` writes plans of this name."""
    return re.fullmatch(r"\w[\w.-]*", identifier) is not None and "__" not in identifier


def read_planned_dataset(name_or_id: str, plans_identifier: str, *configurations: str) -> PlannedDataset:
    """Read the plans (such as ``nnUNetPlans``) of a dataset.

    Args:
        name_or_id: of the dataset.
        plans_identifier: name of the plans.
        configurations: which are wanted of it, for errors to name; they are not checked.

    Raises:
        UserError: when it is not known or not planned, and for plans and a dataset.json that nnU-Net cannot use.
    """
    preprocessed = preprocessed_folder()
    name = dataset_name_of(name_or_id)
    folder = preprocessed / name
    plans_file = folder / f"{plans_identifier}.json"
    if not plans_file.exists():
        raise UserError(describe_missing_plans(plans_file, *configurations))
    plans, dataset_json = read_json_file(plans_file), read_json_file(folder / "dataset.json")
    check_plans(plans, str(plans_file))
    if plans["dataset_name"] != name:
        raise UserError(
            f"{plans_file} has the dataset_name {plans['dataset_name']}, whose data nnU-Net would use: copy plans with "
            "nnUNetv2_move_plans_between_datasets, or correct the name."
        )
    check_dataset_json(dataset_json, str(folder / "dataset.json"))
    return PlannedDataset(folder, plans, plans_file, dataset_json)
