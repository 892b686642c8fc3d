"""The site of the documentation: what it consists of, and links between its pages. Building it is ``make docs``."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from documentation.site import site_pages

REPOSITORY = Path(__file__).resolve().parents[1]
NAVIGATION = yaml.safe_load((REPOSITORY / "mkdocs.yml").read_text())["nav"]
LISTED = [site_pages.place_in_repository(page) for page in site_pages.pages_in_navigation(NAVIGATION)]


def test_the_navigation_lists_every_page_once() -> None:
    pages = [file.relative_to(REPOSITORY).as_posix() for file in (REPOSITORY / "documentation").glob("*.md")]
    outside = [file for file in site_pages.files_outside(pages) if file.endswith(".md")]
    assert sorted(LISTED) == sorted([*pages, *outside])


def test_the_navigation_ends_with_the_modules() -> None:
    assert NAVIGATION[-1] == {"API reference": []}


def test_every_module_has_a_page() -> None:
    modules = site_pages.public_modules()
    assert {"nnunetv2_dycon", "nnunetv2_dycon.losses", "nnunetv2_dycon.losses.uncl", "nnunetv2_dycon.files"} <= {
        *modules
    }
    files = {file for file in site_pages.PACKAGE.rglob("*.py") if file.name != "__init__.py"}
    assert len(files) == sum((REPOSITORY / f"{module.replace('.', '/')}.py").is_file() for module in modules)
    assert sorted(site_pages.pages_in_navigation(site_pages.api_navigation())) == sorted(
        site_pages.api_page(module)[0] for module in modules
    )


def test_a_module_without_a_docstring_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "nnunetv2_dycon"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "_private.py").touch()
    (package / "described.py").write_text('"""What it is for."""\n')
    monkeypatch.setattr(site_pages, "REPOSITORY", tmp_path)
    monkeypatch.setattr(site_pages, "PACKAGE", package)
    assert site_pages.public_modules() == ["nnunetv2_dycon.described"]
    (package / "not_described.py").write_text("value = 1\n")
    with pytest.raises(ValueError, match=r"not_described.py has no docstring"):
        site_pages.public_modules()


@pytest.mark.parametrize(
    "file", ["README.md", "documentation/method.md", "CONTRIBUTING.md", "benchmarks/results/defaults.md"]
)
def test_a_page_comes_back_from_the_site(file: str) -> None:
    assert site_pages.place_in_repository(site_pages.place_on_site(file)) == file


@pytest.mark.parametrize(
    ("file", "link", "link_of_site"),
    [
        ("README.md", "documentation/train.md#length", "train.md#length"),
        ("documentation/train.md", "settings.md", "settings.md"),
        ("documentation/train.md", "../README.md", "index.md"),
        ("documentation/results.md", "../benchmarks/results/runs.csv", "benchmarks/results/runs.csv"),
        ("benchmarks/results/defaults.md", "../../documentation/method.md#fecl", "../../method.md#fecl"),
        ("benchmarks/results/defaults.md", "runs.csv", "runs.csv"),
        ("documentation/train.md", "#length", "#length"),
        ("documentation/train.md", "https://arxiv.org/abs/1", "https://arxiv.org/abs/1"),
    ],
)
def test_links_lead_to_the_same_file_on_the_site(file: str, link: str, link_of_site: str) -> None:
    text = "See [the page]({0}) or ![it]({0}).\n\n```\n[code]({0})\n```\n"
    expected = text.format(link_of_site).replace(f"[code]({link_of_site})", f"[code]({link})")
    assert site_pages.links_of_site(file, text.format(link)) == expected


def test_files_that_pages_link_to_are_found_through_other_pages() -> None:
    outside = site_pages.files_outside(["documentation/results.md"])
    assert outside[0] == "README.md"
    # The picture lies in documentation, the records outside it; the second one is named by the first's page alone.
    assert "benchmarks/results/runs.csv" in outside
    assert "benchmarks/results/error_shares.csv" in outside
    assert not [file for file in outside if file.startswith("documentation/")]


@pytest.mark.parametrize("blank", ["", "\n"])
def test_sphinx_markup_of_docstrings_becomes_markdown(blank: str) -> None:
    text = f"With :math:`x^2` of :func:`~package.function`,\n\n.. math::\n{blank}    \\sum_i\n    x_i\n\nand ``code``."
    expected = "With $x^2$ of `package.function`,\n\n$$\\sum_i x_i$$\n\nand ``code``."
    assert site_pages.docstring_as_markdown(text) == expected
