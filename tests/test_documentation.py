"""The documentation tells the truth where a test can tell."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from nnunetv2_dycon.commands.main import COMMANDS
from nnunetv2_dycon.methods import all_methods
from nnunetv2_dycon.methods.method import Method
from nnunetv2_dycon.methods.settings import settings_table
from nnunetv2_dycon.trainers import TRAINING_LENGTHS

REPOSITORY = Path(__file__).resolve().parents[1]
PAGES = sorted([REPOSITORY / "README.md", *(REPOSITORY / "documentation").glob("*.md")])


@pytest.mark.parametrize("method", all_methods(), ids=lambda method: method.__name__)
def test_settings_table_is_that_of_the_dataclass(method: type[Method]) -> None:
    text = (REPOSITORY / "documentation" / "settings.md").read_text()
    heading = f"^## All settings of nnUNetTrainer{method.__name__}\n"
    (section,) = re.findall(rf"{heading}(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE)
    assert section.split("<!-- settings table -->\n")[1].strip() == settings_table(method.settings_class)


def test_training_lengths_are_all_named() -> None:
    text = (REPOSITORY / "documentation" / "settings.md").read_text()
    for length in TRAINING_LENGTHS:
        assert f"_{length}epoch" in text


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_to_files_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_subcommands_that_pages_name_exist(page: Path) -> None:
    known = {command.NAME for command in COMMANDS} | {"--version", "--help"}
    for name in re.findall(r"^nnunetv2_dycon ([-a-z]+)", page.read_text(), flags=re.MULTILINE):
        assert name in known
