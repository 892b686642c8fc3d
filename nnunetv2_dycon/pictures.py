"""What all pictures need: Matplotlib's own style, and names that are not taken for formulas."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from matplotlib import style


@contextmanager
def matplotlib_defaults() -> Iterator[None]:
    """Matplotlib's default settings, for drawing and for saving; also a decorator.

    A user's ``matplotlibrc`` counts for all of a process, and so does what ``nnUNetLogger.plot_progress_png`` sets: its
    letters are two and a half times as large, for which no other picture has room.
    """
    with style.context("default"):
        yield


def literal(text: str) -> str:
    """A name as Matplotlib shows it as it is: between two dollar signs it would look for a formula."""
    return text.replace("$", r"\$")
