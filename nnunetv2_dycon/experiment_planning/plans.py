"""Plans of a new name, with other settings of a method or another network."""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nnunetv2_dycon.datasets.planned_dataset import PlannedDataset, can_name_plans
from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.experiment_planning.networks import change_network
from nnunetv2_dycon.files import written_aside
from nnunetv2_dycon.json_files import read_json
from nnunetv2_dycon.methods.settings import MethodSettings, Value
from nnunetv2_dycon.methods.settings_section import (
    refuse_misplaced_settings,
    refuse_settings_in_dataset_json,
    refuse_settings_of_other_methods,
)


def parse_assignments(assignments: Sequence[str]) -> dict[str, Value]:
    """Read ``NAME=VALUE`` texts.

    Args:
        assignments: values are JSON (``0.5``, ``true``, ``null``) or plain text.

    Returns:
        The value of each name.

    Raises:
        UserError: for a text without ``=`` and for a name that comes twice.
    """
    values: dict[str, Value] = {}
    for assignment in assignments:
        name, separator, text = assignment.partition("=")
        if not separator:
            raise UserError(f'"{assignment}" is no setting: write NAME=VALUE, e.g. uncl_weight=2.')
        if name in values:
            raise UserError(f'"{name}" is given twice.')
        try:
            values[name] = json.loads(text)
        except json.JSONDecodeError:
            values[name] = text
    return values


def write_plans(
    dataset: PlannedDataset,
    configurations: Sequence[str],
    plans_identifier: str,
    *,
    settings_section: str = "",
    settings_class: type[MethodSettings] = MethodSettings,
    changes: dict[str, Value],
    network: str | None = None,
    overwrite: bool = False,
) -> Path:
    """Write plans that differ from a dataset's in the settings of a method and in the network only.

    ``data_identifier`` stays, so nothing has to be preprocessed again.

    Args:
        dataset: with the plans to start from.
        configurations: whose settings and network change.
        plans_identifier: the name of the new plans.
        settings_section: the method's key in a configuration; needed where settings change.
        settings_class: checks the settings.
        changes: the settings to change; the others stay as they are in the plans.
        network: see :func:`nnunetv2_dycon.experiment_planning.networks.change_network`; None: it stays.
        overwrite: whether plans of that name may be replaced.

    Returns:
        The new file.

    Raises:
        UserError: for unknown configurations and settings, values out of range, a name that is taken or no name, and
            plans whose network cannot be changed.
    """
    target = _plans_file(dataset, plans_identifier, overwrite)
    unknown = changes.keys() - {field.name for field in dataclasses.fields(settings_class)}
    remedy = "Correct the name." if unknown else f"Give another value here, or correct {dataset.plans_file}."
    dataset_file = str(dataset.folder / "dataset.json")
    plans = copy.deepcopy(dataset.plans)
    plans["plans_name"] = plans_identifier
    for name in configurations:
        changed: dict[str, Any] = {}
        if network is not None:
            changed["architecture"] = change_network(dataset, name, network)
        resolved, plans_file = dataset.configuration(name).configuration, str(dataset.plans_file)
        refuse_misplaced_settings(plans, name, resolved, plans_file, settings_section, settings_class)
        refuse_settings_in_dataset_json(
            dataset.dataset_json, dataset_file, plans_file, name, settings_section, settings_class
        )
        if changes:
            # The section may be inherited from another configuration.
            section = resolved.get(settings_section) or {}
            if isinstance(section, dict):
                section = section | changes
            where = f"configurations/{name}/{settings_section} of {target}"
            refuse_settings_of_other_methods(section, settings_class, where)
            settings_class.from_configuration(section, where, remedy)
            changed[settings_section] = section
        plans["configurations"][name] |= changed
    with written_aside(target) as partial:
        partial.write_text(json.dumps(plans, indent=4))
    return target


def _plans_file(dataset: PlannedDataset, plans_identifier: str, overwrite: bool) -> Path:
    """The file of new plans, which may be written."""
    if not can_name_plans(plans_identifier):
        raise UserError(
            f'"{plans_identifier}" cannot be the name of plans: use letters, digits, "-", "." and "_", but neither "-" '
            'nor "." in front, and no "__", which nnU-Net puts between trainer, plans and configuration in the names '
            "of results folders."
        )
    target = dataset.folder / f"{plans_identifier}.json"
    if target == dataset.plans_file:
        raise UserError(f"{target} holds the plans to start from: choose another name for the new ones with -o.")
    if target.exists() and not overwrite:
        raise UserError(f"{target} is there already: choose another name with -o, or replace it with --overwrite.")
    if target.exists() and "plans_name" not in _read_if_possible(target):
        raise UserError(f"{target} holds no plans, so it is not replaced: choose another name with -o.")
    return target


def _read_if_possible(file: Path) -> dict[str, Any]:
    try:
        return read_json(file)
    except UserError:
        return {}
