"""Which files the site has, where they lie in it, and what becomes of links between them.

Pages link as on a repository host: relative to where they lie in the repository. On the site, the folder
``documentation`` is the top, README.md is the first page, and files elsewhere keep their path.
"""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGE = REPOSITORY / "nnunetv2_dycon"
PAGES_FOLDER = "documentation"
FIRST_PAGE = "index.md"
# Code comes first, so that links in it are left alone.
_LINK = re.compile(
    r"^(?:```|~~~).*?^(?:```|~~~)$|`[^`\n]*`|\]\((?P<target>[^)\s#]+)(?P<anchor>#[^)\s]*)?\)", re.M | re.S
)


def place_on_site(file: str) -> str:
    """Where a file of the repository lies on the site.

    Args:
        file: its path in the repository, such as ``documentation/method.md``.

    Returns:
        Its path from the top of the site.
    """
    if file == "README.md":
        return FIRST_PAGE
    return file.removeprefix(f"{PAGES_FOLDER}/")


def place_in_repository(page: str) -> str:
    """Where a page of the site lies in the repository: the opposite of :func:`place_on_site`.

    Args:
        page: its path from the top of the site.

    Returns:
        Its path in the repository.
    """
    if page == FIRST_PAGE:
        return "README.md"
    in_folder = f"{PAGES_FOLDER}/{page}"
    return in_folder if (REPOSITORY / in_folder).is_file() else page


def linked_files(file: str, text: str) -> list[str]:
    """The files of the repository that a page links to.

    Args:
        file: the page's path in the repository.
        text: the page.

    Returns:
        Their paths in the repository, whether they are there or not.
    """
    targets = (found["target"] for found in _LINK.finditer(text))
    return [_resolve(file, target) for target in targets if target and _is_relative(target)]


def links_of_site(file: str, text: str) -> str:
    """The page with links as the site needs them.

    Args:
        file: the page's path in the repository.
        text: the page.

    Returns:
        The text, links of which lead from the page's place on the site to the others'.
    """
    folder = PurePosixPath(place_on_site(file)).parent

    def rewrite(found: re.Match[str]) -> str:
        target = found["target"]
        if not target or not _is_relative(target):
            return found[0]
        place = os.path.relpath(place_on_site(_resolve(file, target)), folder)
        return f"]({place}{found['anchor'] or ''})"

    return _LINK.sub(rewrite, text)


def files_outside(pages: list[str]) -> list[str]:
    """The files outside ``documentation`` that the site needs: the first page, and all that pages link to.

    Args:
        pages: paths in the repository of the pages to begin with.

    Returns:
        Paths in the repository, of pages that are linked from these pages too.
    """
    found: dict[str, None] = {}
    waiting = ["README.md", *pages]
    while waiting:
        file = waiting.pop(0)
        if file in found or not (REPOSITORY / file).is_file():
            continue
        found[file] = None
        if file.endswith(".md"):
            waiting += linked_files(file, (REPOSITORY / file).read_text(encoding="utf-8"))
    return [file for file in found if not file.startswith(f"{PAGES_FOLDER}/")]


def public_modules() -> list[str]:
    """The names of all modules of the package that are public, packages before what is in them.

    Raises:
        ValueError: for one without a docstring.
    """
    names = []
    for file in sorted(PACKAGE.rglob("*.py")):
        parts = file.relative_to(REPOSITORY).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        if any(part.startswith("_") for part in name.split(".")):
            continue
        if ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))):
            names.append(name)
        elif parts[-1] != "__init__":
            raise ValueError(f"{file} has no docstring, so there is nothing to say on its page")
    return sorted(names)


def api_page(module: str) -> tuple[str, str]:
    """The page of a module.

    Args:
        module: its name.

    Returns:
        Its path on the site, and its text.
    """
    return f"reference/{module}.md", f"::: {module}\n"


def api_navigation() -> list[dict[str, str | list[dict[str, str]]]]:
    """The part of the navigation that has the pages of all modules, a group for each package."""
    alone: list[dict[str, str | list[dict[str, str]]]] = []
    groups: dict[str, list[dict[str, str]]] = {}
    for name in public_modules():
        parts = name.split(".")[1:]
        page = api_page(name)[0]
        if len(parts) > 1 or (parts and (PACKAGE / parts[0]).is_dir()):
            groups.setdefault(parts[0], []).append({".".join(parts[1:]) or "(package)": page})
        else:
            alone.append({".".join(parts) or "nnunetv2_dycon": page})
    return [*alone, *({name: pages} for name, pages in groups.items())]


def pages_in_navigation(navigation: list[object]) -> Iterator[str]:
    """The pages that a navigation lists, in its order.

    Args:
        navigation: as in mkdocs.yml: pages, or dictionaries from titles to pages or to further navigation.
    """
    for entry in navigation:
        values = entry.values() if isinstance(entry, dict) else [entry]
        for value in values:
            if isinstance(value, list):
                yield from pages_in_navigation(value)
            else:
                yield str(value)


def docstring_as_markdown(text: str) -> str:
    r"""What Markdown has for Sphinx's markup in a docstring.

    Args:
        text: with roles such as ``:func:`name` ``, and formulas in ``:math:`x` `` or in an indented block after
            ``.. math::``.

    Returns:
        The same with code, ``$x$`` and ``$$x$$``.
    """
    text = re.sub(r":math:`([^`]*)`", r"$\1$", text)
    text = re.sub(r":(?:attr|class|data|func|meth|mod):`~?([^`]*)`", r"`\1`", text)
    block = re.compile(r"^([ \t]*)\.\. math::\n(?:[ \t]*\n)?((?:\1[ \t]+\S.*\n|[ \t]*\n(?=\1[ \t]+\S))+)", re.M)
    return block.sub(lambda found: f"{found[1]}$${' '.join(found[2].split())}$$\n", f"{text}\n").rstrip()


def _is_relative(target: str) -> bool:
    return not re.match(r"[a-z]+:|/", target)


def _resolve(file: str, target: str) -> str:
    return os.path.normpath(PurePosixPath(file).parent / target)
