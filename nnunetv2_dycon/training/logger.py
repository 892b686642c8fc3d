"""nnU-Net's local logger with further values and panels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import StrMethodFormatter
from nnunetv2.training.logging.nnunet_logger import LocalLogger
from PIL import Image

from nnunetv2_dycon.methods.method import Method

_CASES = "cases_with_foreground"
# nnU-Net's figure, in which seaborn's font of 12 points is enlarged by 2.5.
_INCHES = (30, 54)
_FONT_SIZE = 28


def panels_of(method: Method[Any, Any]) -> dict[str, tuple[str, ...]]:
    """What is logged of a method's steps: for each panel of ``progress.png`` its title and the names drawn in it."""
    return {
        "unsupervised loss": tuple(f"{term}_loss" for term in method.terms),
        "weight": ("ramp", *(f"{term}_weight" for term in method.terms)),
        "share of the loss": tuple(f"{term}_share" for term in method.terms),
        "unlabeled patches with foreground": ("patches_with_foreground",),
        **method.panels,
    }


def names_of_steps(method: Method[Any, Any]) -> list[str]:
    """The values of :func:`panels_of`, of which each step adds one."""
    return [name for names in panels_of(method).values() for name in names]


def all_panels_of(method: Method[Any, Any]) -> dict[str, tuple[str, ...]]:
    """All further panels of ``progress.png``: of the networks, of the unlabeled cases, and of a method's steps."""
    return {
        "pseudo dice": ("student_pseudo_dice", "teacher_pseudo_dice"),
        "unlabeled cases with foreground": (_CASES,),
        **panels_of(method),
    }


def logger_of(method: Method[Any, Any], verbose: bool, not_drawn: Sequence[str]) -> SemiSupervisedLogger:
    """The logger of a training with a method, which keeps all values and shows those that the settings give a meaning.

    Terms of weight 0 are not computed. Where all are, no unlabeled patch is read. Foreground of unlabeled cases is
    noted only where patches are drawn around it.

    Args:
        method: with its settings.
        verbose: see ``LocalLogger``.
        not_drawn: further keys that are kept and never shown.
    """
    panels, weights = all_panels_of(method), method.term_weights()
    off = {
        f"{term}_{value}" for term, weight in weights.items() if weight == 0 for value in ("loss", "weight", "share")
    }
    off.update(method.values_without_meaning())
    if not any(weights.values()):
        off.update(names_of_steps(method))
    if method.settings.unlabeled_foreground_fraction == 0 or not any(weights.values()):
        off.add(_CASES)
    shown = {title: tuple(key for key in keys if key not in off) for title, keys in panels.items()}
    hidden = [key for keys in panels.values() for key in keys if key in off]
    return SemiSupervisedLogger(
        {title: keys for title, keys in shown.items() if keys}, verbose=verbose, not_drawn=[*hidden, *not_drawn]
    )


def draw_panels(
    panels: Mapping[str, Sequence[str]], values: Mapping[str, Sequence[float]], dots_per_inch: float
) -> Figure:
    """Draw curves below each other, in a figure as large as nnU-Net's.

    The title of a panel and its legend stand above it: beside it, a title would be longer than the panel is high.

    Args:
        panels: for each its title and the names of the values that are drawn in it.
        values: for each name one value per epoch; NaN for none.
        dots_per_inch: resolution of the figure.

    Returns:
        The figure.
    """
    figure = Figure(figsize=_INCHES, dpi=dots_per_inch, layout=ConstrainedLayoutEngine(w_pad=0.3, h_pad=0.2))
    axes = figure.subplots(len(panels), 1, squeeze=False, sharex=True)[:, 0]
    for axis, (title, keys) in zip(axes, panels.items(), strict=True):
        for key in keys:
            marker = "o" if len(values[key]) == 1 else None
            # A dashed curve leaves visible another one that it lies on, as a weight of 1 lies on the ramp.
            style = "-" if key == keys[0] else "--"
            axis.plot(range(len(values[key])), values[key], style, label=key, linewidth=4, marker=marker)
        if not any(math.isfinite(value) for key in keys for value in values[key]):
            axis.text(0.5, 0.5, "no value yet", fontsize=_FONT_SIZE, ha="center", transform=axis.transAxes)
        axis.set_title(title, loc="left", fontsize=_FONT_SIZE)
        axis.legend(
            loc="lower right",
            bbox_to_anchor=(1, 1),
            borderaxespad=0,
            ncol=len(keys),
            fontsize=_FONT_SIZE,
            frameon=False,
        )
        axis.tick_params(labelsize=_FONT_SIZE)
        # Without a common factor above the axis, where the title is.
        axis.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes[-1].set_xlabel("epoch", fontsize=_FONT_SIZE)
    return figure


class SemiSupervisedLogger(LocalLogger):
    """Keeps one value per epoch of further keys and draws them beside nnU-Net's own panels in ``progress.png``.

    Args:
        panels: for each further panel its title and the keys drawn in it; these keys are registered.
        verbose: see ``LocalLogger``.
        not_drawn: keys that are registered and not drawn.
    """

    def __init__(
        self, panels: Mapping[str, Sequence[str]], verbose: bool = False, not_drawn: Sequence[str] = ()
    ) -> None:
        super().__init__(verbose)
        self.panels = panels
        for keys in (*panels.values(), not_drawn):
            for key in keys:
                self.my_fantastic_logging[key] = []

    def describe_epoch(self) -> list[str]:
        """The values of the last epoch, a line for each further panel; those that are not known are left out.

        So is the share of unlabeled cases with foreground, before the teacher has been asked about any: it would be 0.
        """
        lines = []
        not_yet = {_CASES} if not any(ramp > 0 for ramp in self.my_fantastic_logging.get("ramp", (1.0,))) else set()
        for title, keys in self.panels.items():
            values = {key: self.my_fantastic_logging[key][-1] for key in keys if key not in not_yet}
            known = [f"{key} {value:.4g}" for key, value in values.items() if not math.isnan(value)]
            if known:
                lines.append(f"{title}: {', '.join(known)}")
        return lines

    def load_checkpoint(self, checkpoint: dict) -> None:
        """Take up the log of a checkpoint. See LocalLogger.

        Where another release wrote it, values that it did not log are NaN, and those that are no longer logged are left
        out: nnU-Net draws the epochs that all values have.
        """
        epochs = max((len(values) for values in checkpoint.values()), default=0)
        for key in self.my_fantastic_logging:
            values = checkpoint.get(key, [])
            self.my_fantastic_logging[key] = [math.nan] * (epochs - len(values)) + list(values)

    def plot_progress_png(self, output_folder: str) -> None:
        """Write ``progress.png``: nnU-Net's panels on the left, ours on the right. See LocalLogger."""
        super().plot_progress_png(output_folder)
        file = Path(output_folder) / "progress.png"
        with Image.open(file) as opened:
            theirs = opened.convert("RGB")
        ours = self._draw_panels(theirs.height / _INCHES[1])
        both = Image.new("RGB", (theirs.width + ours.width, theirs.height))
        both.paste(theirs, (0, 0))
        both.paste(ours, (theirs.width, 0))
        # The picture is large and drawn each epoch, so it is compressed quickly rather than well.
        both.save(file, compress_level=1)

    def _draw_panels(self, dots_per_inch: float) -> Image.Image:
        canvas = FigureCanvasAgg(draw_panels(self.panels, self.my_fantastic_logging, dots_per_inch))
        canvas.draw()
        return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
