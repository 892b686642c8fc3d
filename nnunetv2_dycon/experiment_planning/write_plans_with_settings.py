"""Plans of a new name with other settings of a method."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Sequence
from pathlib import Path

from nnunetv2_dycon.datasets.planned_dataset import PlannedDataset
from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.training.settings import SemiSupervisedSettings, Value


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


def write_plans_with_settings(
    dataset: PlannedDataset,
    configurations: Sequence[str],
    plans_identifier: str,
    settings_section: str,
    settings_class: type[SemiSupervisedSettings],
    changes: dict[str, Value],
    overwrite: bool = False,
) -> Path:
    """Write plans that differ from a dataset's in the settings of a method only.

    ``data_identifier`` stays, so nothing has to be preprocessed again.

    Args:
        dataset: with the plans to start from.
        configurations: whose settings change.
        plans_identifier: the name of the new plans.
        settings_section: the method's key in a configuration.
        settings_class: checks the settings.
        changes: the settings to change; the others stay as they are in the plans.
        overwrite: whether plans of that name may be replaced.

    Returns:
        The new file.

    Raises:
        UserError: for unknown configurations and settings, values out of range, and a name that is taken or no name.
    """
    if re.fullmatch(r"[\w.-]+", plans_identifier) is None or "__" in plans_identifier:
        raise UserError(
            f'"{plans_identifier}" cannot be the name of plans: use letters, digits, "-", "." and "_", but no "__", '
            "which nnU-Net puts between trainer, plans and configuration in the names of results folders."
        )
    target = dataset.folder / f"{plans_identifier}.json"
    if target == dataset.plans_file:
        raise UserError(f"{target} holds the plans to start from: choose another name for the new ones with -o.")
    if target.exists() and not overwrite:
        raise UserError(f"{target} is there already: choose another name with -o, or replace it with --overwrite.")
    if target.exists() and "plans_name" not in json.loads(target.read_text()):
        raise UserError(f"{target} holds no plans, so it is not replaced: choose another name with -o.")
    plans = copy.deepcopy(dataset.plans)
    plans["plans_name"] = plans_identifier
    for name in configurations:
        # The section may be inherited from another configuration.
        section = dict(dataset.configuration(name).configuration.get(settings_section) or {}) | changes
        settings_class.from_configuration(section, f"configurations/{name}/{settings_section} of {target}")
        plans["configurations"][name][settings_section] = section
    target.write_text(json.dumps(plans, indent=4))
    return target
