"""The documentation tells the truth where a test can tell."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import json
import re
from pathlib import Path

import pytest
import yaml
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

import nnunetv2_dycon
from documentation.site import settings_page
from nnunetv2_dycon.commands.main import COMMANDS
from nnunetv2_dycon.methods import all_methods
from nnunetv2_dycon.methods import method as method_module
from nnunetv2_dycon.methods.method import Method
from nnunetv2_dycon.trainers import TRAINING_LENGTHS
from nnunetv2_dycon.training.trainer import nnUNetTrainerSemiSupervised

REPOSITORY = Path(__file__).resolve().parents[1]
PACKAGE = REPOSITORY / "nnunetv2_dycon"
ARCHITECTURE = REPOSITORY / "documentation" / "architecture.md"
PAGES = sorted(
    file for folder in (".", "documentation", "benchmarks/results") for file in (REPOSITORY / folder).glob("*.md")
)
# Of documentation/architecture.md: what the modules of these folders must not import.
FORBIDDEN_IMPORTS = {
    "datasets": ("nnunetv2_dycon.training", "nnunetv2_dycon.methods", "nnunetv2_dycon.trainers"),
    "preprocessing": ("nnunetv2_dycon.training", "nnunetv2_dycon.methods", "nnunetv2_dycon.trainers"),
    "methods": ("nnunetv2", "nnunetv2_dycon.training", "nnunetv2_dycon.trainers"),
    "views": ("nnunetv2", "nnunetv2_dycon.training", "nnunetv2_dycon.trainers"),
    "networks": ("nnunetv2", "nnunetv2_dycon.training", "nnunetv2_dycon.trainers"),
}


def imports_of(file: Path) -> set[str]:
    """All modules that a file imports, in functions too."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def table_after(heading: str) -> list[list[str]]:
    """The cells of the first table in a section of the page on the architecture, without its head."""
    section = ARCHITECTURE.read_text().split(f"## {heading}\n")[1].split("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("|")]
    return rows[2:]


def test_tables_of_settings_are_those_of_the_dataclasses() -> None:
    text = settings_page.PAGE.read_text()
    assert settings_page.page_with_tables(text) == text, "run: make pages"


@pytest.mark.parametrize("method", all_methods(), ids=lambda method: method.__name__)
def test_every_setting_is_in_the_table_of_all_methods_or_of_its_own(method: type[Method]) -> None:
    text = settings_page.PAGE.read_text()
    common, *own = re.split(r"^## (?=nnUNetTrainer)", text, flags=re.MULTILINE)
    sections = {section.split("\n")[0]: section for section in own}
    section = sections[f"nnUNetTrainer{method.__name__}"]
    if borrowed := re.search(r"^The settings and defaults of `(\w+)`", section, flags=re.MULTILINE):
        section = sections[borrowed[1]]
    for field in dataclasses.fields(method.settings_class):
        row = f"| `{field.name}` | `{json.dumps(field.default)}` |"
        # A default of the method's own overrules the common one.
        assert row in (section if f"| `{field.name}` |" in section else common)


def test_training_lengths_are_all_named() -> None:
    text = (REPOSITORY / "documentation" / "train.md").read_text()
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


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_sections_that_links_name_exist(page: Path) -> None:
    for target, section in re.findall(r"\]\(([^)#:]*)#([^)]+)\)", page.read_text()):
        text = ((page.parent / target) if target else page).read_text()
        headings = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
        assert section in {re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-") for heading in headings}, section


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_modules_and_files_of_the_repository_that_pages_name_exist(page: Path) -> None:
    text = page.read_text()
    for name in re.findall(r"\b(?:nnunetv2_dycon|benchmarks)(?:\.\w+)+", text):
        module, _, attribute = name.rpartition(".")
        if attribute not in ("egg", "json", "pth"):
            assert hasattr(importlib.import_module(module), attribute) or importlib.import_module(name), name
    for name in re.findall(r"(?<![\w./-])(?:\w+/)+\w+\.py\b", text):
        assert any((folder / name).is_file() for folder in (PACKAGE, REPOSITORY, REPOSITORY / "documentation")), name


def test_the_architecture_has_a_room_for_every_module() -> None:
    named = {name for room, _ in table_after("Rooms") for name in re.findall(r"`([^`]+)`", room)}
    folders = {f"{file.parent.name}/" for file in PACKAGE.glob("*/__init__.py")}
    modules = {file.name for file in PACKAGE.glob("*.py") if file.name != "__init__.py"}
    assert named == folders | modules


def test_the_architecture_names_every_method_of_nnunettrainer_that_is_overridden() -> None:
    named = [name for names, _ in table_after("Where nnU-Net calls us") for name in re.findall(r"`(\w+)`", names)]
    overridden = [name for name in vars(nnUNetTrainerSemiSupervised) if name in vars(nnUNetTrainer)]
    assert sorted(named) == sorted(set(overridden) - {"__module__", "__doc__", "__dict__", "__weakref__"})


def test_the_architecture_names_what_travels() -> None:
    named = [row[0].strip("`") for row in table_after("What travels between rooms")]
    assert named == ["Prediction", "Guidance", "LabeledBatch", "Task", "Losses", "StepResult"]
    assert all(hasattr(method_module, name) for name in named[:-1])


@pytest.mark.parametrize("folder", FORBIDDEN_IMPORTS)
def test_rooms_do_not_import_what_the_architecture_forbids(folder: str) -> None:
    for file in (PACKAGE / folder).glob("*.py"):
        for name in imports_of(file):
            for forbidden in FORBIDDEN_IMPORTS[folder]:
                assert not f"{name}.".startswith(f"{forbidden}."), f"{file}: {name}"


def test_losses_import_nothing_of_the_package_but_losses() -> None:
    for file in (PACKAGE / "losses").glob("*.py"):
        for name in imports_of(file):
            assert not name.startswith("nnunetv2") or f"{name}.".startswith("nnunetv2_dycon.losses."), f"{file}: {name}"


def test_the_changelog_has_this_release_first() -> None:
    releases = re.findall(r"^## \[?(\d+\.\d+\.\d+)", (REPOSITORY / "CHANGELOG.md").read_text(), flags=re.MULTILINE)
    assert releases[0] == nnunetv2_dycon.__version__


def test_the_citation_is_of_this_release() -> None:
    citation = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text())
    assert citation["version"] == nnunetv2_dycon.__version__
