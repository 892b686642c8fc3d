"""What MkDocs calls while it builds the site: see mkdocs.yml."""

from __future__ import annotations

import html
import re

from latex2mathml.converter import convert as convert_to_mathml
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from pymdownx.slugs import slugify
from pymdownx.superfences import fence_code_format

from documentation.site import site_pages

_FORMULA = re.compile(r'<(span|div) class="arithmatex">(?:\\\(|\\\[)(.*?)(?:\\\)|\\\])</\1>', re.S)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Complete the navigation, name sections as a repository host does, and draw diagrams."""
    config.nav[-1] = {title: site_pages.api_navigation() for title in config.nav[-1]}
    config.mdx_configs["toc"]["slugify"] = slugify(case="lower")
    diagrams = {"name": "mermaid", "class": "mermaid", "format": fence_code_format}
    config.mdx_configs["pymdownx.superfences"] = {"custom_fences": [diagrams]}
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the files outside the folder of the documentation, and a page for each public module."""
    listed = [page for page in site_pages.pages_in_navigation(config.nav) if not page.startswith("reference/")]
    pages = [site_pages.place_in_repository(page) for page in listed]
    pages += [f"{site_pages.PAGES_FOLDER}/{file.src_uri}" for file in files.documentation_pages()]
    for file in site_pages.files_outside(pages):
        source = str(site_pages.REPOSITORY / file)
        files.append(File.generated(config, site_pages.place_on_site(file), abs_src_path=source))
    for module in site_pages.public_modules():
        place, text = site_pages.api_page(module)
        files.append(File.generated(config, place, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Make links those of the site."""
    return site_pages.links_of_site(site_pages.place_in_repository(page.file.src_uri), markdown)


def on_page_content(content: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn formulas into MathML, which needs no script.

    Raises:
        PluginError: for a command that MathML has nothing for.
    """

    def formula(found: re.Match[str]) -> str:
        display = "block" if found[1] == "div" else "inline"
        mathml = convert_to_mathml(html.unescape(found[2]), display=display)
        if "\\" in mathml:
            raise PluginError(f"{page.file.src_uri} has a formula with a command that is not known here: {found[2]}")
        return mathml

    return _FORMULA.sub(formula, content)
