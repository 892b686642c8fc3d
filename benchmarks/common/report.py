"""Tables, files and figures that all benchmarks have."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch


def default_device() -> str:
    """The name of the device to measure on where the user names none."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def describe_machine(device: str, threads: int | None) -> dict[str, Any]:
    """What was measured on.

    Args:
        device: name of the device.
        threads: CPU threads, or None for torch's own choice.

    Returns:
        Names and values for the report.
    """
    cuda = torch.device(device).type == "cuda"
    return {
        "device": torch.cuda.get_device_name(device) if cuda else f"{platform.machine()} CPU",
        "threads": threads or torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table with aligned columns.

    Args:
        header: the column names.
        rows: the cells.

    Returns:
        The text.
    """
    lines = [header, ["---"] * len(header), *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    )


def verdict(ratio: float, bar: float, *, at_least: bool = False) -> str:
    """Say whether a ratio is within its bar.

    Args:
        ratio: what was measured.
        bar: the largest allowed value.
        at_least: the bar is the smallest allowed value instead.

    Returns:
        For a table: the bar, and whether it holds.
    """
    holds = ratio >= bar if at_least else ratio <= bar
    return f"{'>=' if at_least else '<='} {bar:g}: {'yes' if holds else 'NO'}"


def write_json(file: Path, content: dict[str, Any]) -> None:
    """Write a file of results.

    Args:
        file: where to; its folder is made if it is not there.
        content: what to write.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content, indent=2) + "\n")
