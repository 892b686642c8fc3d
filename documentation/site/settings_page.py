"""The tables at the end of documentation/settings.md, made of the dataclasses that hold the settings.

``python -m documentation.site.settings_page`` writes them.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from nnunetv2_dycon.methods import all_methods
from nnunetv2_dycon.methods.method import Method
from nnunetv2_dycon.methods.settings import MethodSettings, settings_table

PAGE = Path(__file__).resolve().parents[1] / "settings.md"
MARKER = "<!-- The rest of this page is made by: python -m documentation.site.settings_page -->\n"
COMMON = """\
## Settings of every method

{table}
"""
OWN = """\
## nnUNetTrainer{name}

Section `"{section}"`; see [its page]({page}).

{settings}
"""
# Where each method is described, in the order of the page.
PAGES = {
    "DyCON": "method.md",
    "MeanTeacher": "baselines.md#nnunettrainermeanteacher",
    "UAMT": "baselines.md#nnunettraineruamt",
    "BCP": "baselines.md#nnunettrainerbcp",
    "CoTraining": "co_training.md#nnunettrainercotraining",
    "DyCONCoTraining": "co_training.md#nnunettrainerdyconcotraining",
    "GACPS": "co_training.md#nnunettrainergacps",
    "CML": "co_training.md#nnunettrainercml",
}


def render() -> str:
    """The tables: one of the settings that all methods share, then each method's own."""
    methods = {method.__name__: method for method in all_methods()}
    parts = [COMMON.format(table=settings_table(MethodSettings))]
    for name, page in PAGES.items():
        method = methods.pop(name)
        own = _own_settings(method)
        parts.append(OWN.format(name=name, section=method.settings_section, page=page, settings=own))
    if methods:
        raise ValueError(f"PAGES does not say where {', '.join(methods)} is described")
    return "\n".join(parts)


def page_with_tables(text: str) -> str:
    """The page with the tables as they must be.

    Args:
        text: the page as it is.

    Returns:
        The same up to the marker, then the tables.
    """
    return f"{text.split(MARKER)[0]}{MARKER}\n{render()}"


def _own_settings(method: type[Method]) -> str:
    """What the method adds to the settings of every method, or has another default of."""
    parent = method.settings_class.__mro__[1]
    if parent is not MethodSettings and not method.settings_class.__annotations__:
        return f"The settings and defaults of `nnUNetTrainer{parent.__name__.removesuffix('Settings')}`."
    common = {field.name for field in dataclasses.fields(MethodSettings)}
    changed = {name for name in common if getattr(method.settings_class, name) != getattr(MethodSettings, name)}
    return settings_table(method.settings_class, leave_out=common - changed)


if __name__ == "__main__":
    PAGE.write_text(page_with_tables(PAGE.read_text()))
