"""Does it help to annotate the cases that ``nnunetv2_dycon rank`` names, rather than any others?

In each draw, nnU-Net is trained on a few random cases. Then as many more are chosen, by ``rank`` or at random, and
nnU-Net is trained from scratch on all of them. Test cases are those of the dataset's protocol. What is in the workspace
already is not done again. Options that are not listed go to ``benchmarks.label_efficiency run``.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path

import numpy as np

from benchmarks.choice_of_cases.draw import CHOICES, NOTHING_CHOSEN, RANDOM, Result, Settings, do_draw
from benchmarks.common.command_line import exit_code_of, make_parser
from benchmarks.common.report import default_device, markdown_table
from benchmarks.label_efficiency.presets import PRESETS
from nnunetv2_dycon.exceptions import UserError


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark.

    Args:
        arguments: the command line, without the program's name; that of this process if None.

    Returns:
        The exit code.
    """
    options, others = parse(arguments)
    settings = Settings(
        data=options.data,
        workspace=options.workspace.resolve(),
        preset=options.preset,
        first=options.first,
        more=options.more,
        device=options.device or default_device(),
        processes=options.processes,
        others=tuple(others),
    )
    return exit_code_of(lambda: _run(settings, options))


def _run(settings: Settings, options: argparse.Namespace) -> None:
    results = {each.training: each for each in read_csv(options.output)} if options.output.exists() else {}
    made: dict[tuple[str, int, str, int], Result] = {}
    for draw in options.draws:
        made |= {each.training: each for each in do_draw(settings, draw, options.choices)}
        results |= made
        write_csv(options.output, list(results.values()))
    # Of the same sizes: those of the first trainings and of the choices are not each other's.
    same = {(each.dataset, each.labels, each.choice == NOTHING_CHOSEN) for each in made.values()}
    shown = [each for each in results.values() if (each.dataset, each.labels, each.choice == NOTHING_CHOSEN) in same]
    print(table(shown))
    print(f"Wrote {options.output}")


def parse(arguments: list[str] | None) -> tuple[argparse.Namespace, list[str]]:
    """Read the command line.

    Args:
        arguments: see :func:`main`.

    Returns:
        The options, and words for ``benchmarks.label_efficiency run``.
    """
    parser = make_parser("benchmarks.choice_of_cases", __doc__)
    parser.add_argument("--data", type=Path, required=True, metavar="FOLDER", help="a fully labeled dataset")
    parser.add_argument("--workspace", type=Path, required=True, metavar="FOLDER", help="everything goes there")
    parser.add_argument("--preset", required=True, choices=sorted(PRESETS), help="network, patch and length")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="CSV file to write")
    parser.add_argument("--draws", nargs="+", type=int, default=[0, 1, 2, 3, 4], metavar="D", help="default: 0 to 4")
    parser.add_argument("--first", type=int, default=4, metavar="N", help="cases of the first training (default: 4)")
    parser.add_argument("--more", type=int, default=4, metavar="N", help="cases that are chosen (default: 4)")
    parser.add_argument(
        "--choices",
        nargs="+",
        choices=sorted(CHOICES),
        default=["coverage", RANDOM],
        help="default: coverage and random",
    )
    parser.add_argument("--device", choices=["cpu", "cuda"], help="default: cuda if there is one")
    parser.add_argument("--processes", type=int, default=1, metavar="N", help="for preprocessing (default: 1)")
    return parser.parse_known_args(arguments)


def write_csv(file: Path, results: Sequence[Result]) -> None:
    """Write a line for each training.

    Args:
        file: where to; its folder is made if it is not there.
        results: of all trainings so far.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, [field.name for field in fields(Result)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(result) for result in results)


def read_csv(file: Path) -> list[Result]:
    """Read what :func:`write_csv` wrote; a UserError for another file, which it would replace."""
    with file.open(newline="") as stream:
        reader = csv.DictReader(stream)
        if reader.fieldnames != [field.name for field in fields(Result)]:
            raise UserError(f"{file} was not written by this version of the benchmark: choose another --output")
        return [
            Result(
                row["dataset"], int(row["draw"]), row["choice"], int(row["labels"]), row["chosen"], float(row["dice"])
            )
            for row in reader
        ]


def table(results: Sequence[Result]) -> str:
    """Means over draws, and differences to the random choice of the same draw, as a Markdown table."""
    dice = {(result.choice, result.draw): result.dice for result in results}
    rows = []
    for choice in dict.fromkeys(result.choice for result in results):
        own = [result for result in results if result.choice == choice]
        gains = [
            result.dice - dice[RANDOM, result.draw]
            for result in own
            if choice != RANDOM and (RANDOM, result.draw) in dice
        ]
        rows.append(
            [
                choice,
                str(own[0].labels),
                str(len(own)),
                f"{np.mean([result.dice for result in own]):.4f}",
                f"{np.mean(gains):+.4f}" if gains else "",
                ", ".join(f"{gain:+.4f}" for gain in gains),
            ]
        )
    columns = ("chosen by", "labels", "draws", "Dice", "difference to random", "of each draw")
    return markdown_table(columns, rows)


if __name__ == "__main__":
    sys.exit(main())
