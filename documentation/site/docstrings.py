"""Docstrings as Markdown, for the pages of modules."""

from __future__ import annotations

from typing import Any

import griffe

from documentation.site.site_pages import docstring_as_markdown


class DocstringsAsMarkdown(griffe.Extension):
    """Rewrites what docstrings have of Sphinx's markup; named in mkdocs.yml."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Rewrite the docstring of a module, class, function or attribute that was read."""
        if obj.docstring is not None:
            obj.docstring.value = docstring_as_markdown(obj.docstring.value)
