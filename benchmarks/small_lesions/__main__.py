"""What drawing unlabeled patches around the teacher's foreground is worth where lesions are tiny.

Generated scans have one or two lesions, together below 0.1 % of the voxels. DyCON is trained with the same seeds and
steps without such patches, and with nnU-Net's share of them. Counted are the unlabeled patches that show a lesion by
the true labels, which are read for that alone. Trainings run one after the other on the CPU, each in a process of its
own. What is in the workspace already is not done again.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from benchmarks.common.command_line import make_parser
from benchmarks.common.measuring import run_measurement
from benchmarks.common.report import markdown_table, write_json
from benchmarks.small_lesions.training import prepare

_MODULE = "benchmarks.small_lesions.training"


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark.

    Args:
        arguments: the command line, without the program's name; that of this process if None.
    """
    options = parse(arguments)
    folder = options.workspace.resolve()
    if not folder.exists():
        numbers = {name: getattr(options, name) for name in ("labeled", "unlabeled", "test", "size", "patch")}
        prepare(folder, **numbers)
    results = []
    for seed, fraction in tqdm([(seed, fraction) for seed in options.seeds for fraction in options.fractions]):
        file = folder / f"{fraction}_{seed}.json"
        if not file.is_file():
            flags = ("--fraction", fraction, "--seed", seed, "--epochs", options.epochs)
            write_json(file, run_measurement(_MODULE, folder, *flags))
        results.append(json.loads(file.read_text()))
    write_csv(options.output, results)
    print(table(results))
    print(f"Wrote {options.output}")


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line.

    Args:
        arguments: see :func:`main`.

    Returns:
        The options.
    """
    parser = make_parser("benchmarks.small_lesions", __doc__)
    parser.add_argument("--workspace", type=Path, required=True, metavar="FOLDER", help="for scans and trainings")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="CSV file to write")
    parser.add_argument("--fractions", nargs="+", type=float, default=[0.0, 0.33], help="default: 0 and 0.33")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], help="default: 0, 1 and 2")
    parser.add_argument("--epochs", type=int, default=8, help="of 200 steps (default: 8)")
    parser.add_argument("--labeled", type=int, default=5, help="labeled scans (default: 5)")
    parser.add_argument("--unlabeled", type=int, default=20, help="unlabeled scans (default: 20)")
    parser.add_argument("--test", type=int, default=8, help="scans to validate on (default: 8)")
    parser.add_argument("--size", type=int, default=96, help="voxels of a scan along each axis (default: 96)")
    parser.add_argument("--patch", type=int, default=24, help="voxels of a patch along each axis (default: 24)")
    return parser.parse_args(arguments)


def write_csv(file: Path, results: Sequence[dict[str, Any]]) -> None:
    """Write a line for each training."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, results[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(
            {key: round(value, 5) if isinstance(value, float) else value for key, value in result.items()}
            for result in results
        )


def table(results: Sequence[dict[str, Any]]) -> str:
    """The means over seeds as a Markdown table."""
    rows = []
    for fraction in sorted({result["fraction"] for result in results}):
        own = [result for result in results if result["fraction"] == fraction]
        mean = {key: float(np.mean([result[key] for result in own])) for key in own[0]}
        rows.append(
            [
                f"{fraction:g}",
                f"{len(own)}",
                f"{100 * mean['patches_with_lesion']:.1f} %",
                f"{100 * mean['patches_with_lesion_second_half']:.1f} %",
                f"{mean['dice']:.3f}",
                ", ".join(f"{result['dice']:.3f}" for result in own),
            ]
        )
    columns = ("setting", "trainings", "patches with a lesion", "in the second half", "Dice", "Dice of each training")
    return markdown_table(columns, rows)


if __name__ == "__main__":
    main()
