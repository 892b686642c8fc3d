"""Where the settings of a method lie in plans. Settings that lie where nobody would read them are refused."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping
from typing import Any

from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.methods import all_methods
from nnunetv2_dycon.methods.method import Method
from nnunetv2_dycon.methods.settings import MethodSettings


def read_settings(
    plans: Mapping[str, Any],
    configuration_name: str,
    configuration: Mapping[str, Any],
    method: type[Method[Any, Any]],
    plans_file: str,
) -> MethodSettings:
    """The settings of a method for a configuration.

    Args:
        plans: the whole plans.
        configuration_name: such as ``3d_fullres``.
        configuration: the configuration with what it inherits.
        method: of the training.
        plans_file: for the message, such as ``nnUNetPlans.json``.

    Raises:
        UserError: for unknown settings and values out of range, each by name, and for settings that would not be read:
            at the top level of the plans, in a section of another spelling, outside the section, or in other
            configurations alone.
    """
    name, settings_class = method.settings_section, method.settings_class
    refuse_misplaced_settings(plans, configuration_name, configuration, plans_file, name, settings_class)
    others = [other for other, content in plans["configurations"].items() if name in content]
    # Plans of a cascade train several configurations.
    following = configuration.get("next_stage")
    stages = [configuration.get("previous_stage"), *(following if isinstance(following, list) else [following])]
    if name not in configuration and others and not any(stage in others for stage in stages):
        raise UserError(
            f'{plans_file} has "{name}" in configurations/{others[0]}, but {configuration_name} is to be trained. Move '
            f'it to configurations/{configuration_name}, or write "{name}": {{}} there for the defaults.'
        )
    where, section = f"configurations/{configuration_name}/{name} of {plans_file}", configuration.get(name)
    refuse_settings_of_other_methods(section, settings_class, where)
    return settings_class.from_configuration(section, where)


def refuse_misplaced_settings(
    plans: Mapping[str, Any],
    configuration_name: str,
    configuration: Mapping[str, Any],
    plans_file: str,
    section: str,
    settings_class: type[MethodSettings],
) -> None:
    """Refuse settings that would not be read because of their place or spelling.

    Args:
        plans: see :func:`read_settings`.
        configuration_name: see :func:`read_settings`.
        configuration: see :func:`read_settings`.
        plans_file: see :func:`read_settings`.
        section: the key of a method's settings.
        settings_class: their dataclass.
    """
    place, sections = f"configurations/{configuration_name}", _sections(section)
    for key, known in _keys_like(plans, sections):
        raise UserError(f'{plans_file}: "{key}" at the top level is not read. Move it to {place}/{known}.')
    for key, known in _keys_like(plans["configurations"], sections):
        if not plans["configurations"][key].keys() & {"data_identifier", "inherits_from"}:
            raise UserError(f'{plans_file}: "configurations/{key}" is not read. Move it to {place}/{known}.')
    for key, known in _keys_like(configuration, sections):
        if key != known:
            raise UserError(f'{plans_file}: "{key}" in {place} is not read. Name it "{known}".')
    network = configuration.get("architecture")
    network = network if isinstance(network, Mapping) else {}
    for key, known in _keys_like(network, sections):
        raise UserError(f'{plans_file}: "{key}" in {place}/architecture is not read. Move it to {place}/{known}.')
    names = {field.name for field in dataclasses.fields(settings_class)}
    places = ((place, configuration), (f"{place}/architecture", network), ("the top level", plans))
    for there, content in places:
        for key in sorted(names & content.keys()):
            raise UserError(
                f'{plans_file}: the setting "{key}" in {there} is not read. Move it to {place}/{section or "SECTION"}.'
            )


def refuse_settings_in_dataset_json(
    dataset_json: Mapping[str, Any],
    file: str,
    plans_file: str,
    configuration_name: str,
    section: str,
    settings_class: type[MethodSettings],
) -> None:
    """Refuse settings in dataset.json, from which nobody reads them.

    Args:
        dataset_json: its contents.
        file: where it lies, for the message.
        plans_file: see :func:`read_settings`.
        configuration_name: see :func:`read_settings`.
        section: the key of a method's settings.
        settings_class: their dataclass.
    """
    place = f"configurations/{configuration_name}"
    for key, known in _keys_like(dataset_json, _sections(section)):
        raise UserError(f'{file}: "{key}" is not read there. Move it to {place}/{known} of {plans_file}.')
    for field in dataclasses.fields(settings_class):
        if field.name in dataset_json:
            raise UserError(
                f'{file}: the setting "{field.name}" is not read there. Move it to {place}/{section or "SECTION"} of '
                f"{plans_file}."
            )


def refuse_settings_of_other_methods(section: object, settings_class: type[MethodSettings], where: str) -> None:
    """Refuse a setting that only another method of the package has, naming that method's trainer and section."""
    if not isinstance(section, Mapping):
        return
    known = {field.name for field in dataclasses.fields(settings_class)}
    for name in section:
        for other in all_methods():
            if name not in known and name in {field.name for field in dataclasses.fields(other.settings_class)}:
                raise UserError(
                    f'{where}: "{name}" is a setting of nnUNetTrainer{other.__name__}, whose section is '
                    f'"{other.settings_section}". Move it there or remove it.'
                )


def _sections(section: str) -> dict[str, str]:
    """The keys of all methods' settings, and one more, by what remains of them whatever the spelling."""
    return {_plain(known): known for known in (*(method.settings_section for method in all_methods()), section)}


def _keys_like(content: Mapping[str, Any], sections: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The keys that are sections but for their spelling, each with the section."""
    for key in content:
        if (plain := _plain(key)) in sections:
            yield key, sections[plain]


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
