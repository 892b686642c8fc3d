"""nnU-Net's local logger with further values and panels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from nnunetv2.training.logging.nnunet_logger import LocalLogger
from PIL import Image

from nnunetv2_dycon.methods.method import Method


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
        "unlabeled cases with foreground": ("cases_with_foreground",),
        **panels_of(method),
    }


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
        """The values of the last epoch, a line for each further panel; those that are not known are left out."""
        lines = []
        for title, keys in self.panels.items():
            values = {key: self.my_fantastic_logging[key][-1] for key in keys}
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
        ours = self._draw_panels(height=theirs.height)
        both = Image.new("RGB", (theirs.width + ours.width, theirs.height))
        both.paste(theirs, (0, 0))
        both.paste(ours, (theirs.width, 0))
        # The picture is large and drawn each epoch, so it is compressed quickly rather than well.
        both.save(file, compress_level=1)

    def _draw_panels(self, height: int) -> Image.Image:
        dpi = 100
        figure = Figure(figsize=(30, height / dpi), dpi=dpi)
        canvas = FigureCanvasAgg(figure)
        axes = figure.subplots(len(self.panels), 1, squeeze=False)
        for axis, (title, keys) in zip(axes[:, 0], self.panels.items(), strict=True):
            for key in keys:
                values = self.my_fantastic_logging[key]
                axis.plot(range(len(values)), values, label=key, linewidth=4, marker="o" if len(values) == 1 else None)
            axis.set_xlabel("epoch")
            axis.set_ylabel(title)
            axis.legend(loc=(0, 1), ncol=2)
        figure.tight_layout()
        canvas.draw()
        return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
