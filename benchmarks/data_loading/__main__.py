"""The loaders: patches a second of the two-view stream as a ratio to those of nnU-Net's training loader.

Both are the loaders of one nnUNetTrainerDyCON: same patches, batch size and number of worker processes, on generated
scans that nnU-Net's preprocessor has stored. An unlabeled patch counts as one, although it has two views. The loaders
take turns in one process.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

from tqdm import tqdm

from benchmarks.common.command_line import make_parser
from benchmarks.common.measuring import run_measurement
from benchmarks.common.report import describe_machine, write_json
from benchmarks.data_loading.measure import CASES, DEFAULT_CASES
from benchmarks.data_loading.report import BAR, draw, result, table

_MODULE = "benchmarks.data_loading.measure"


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark.

    Args:
        arguments: the command line, without the program's name; that of this process if None.
    """
    options = parse(arguments)
    with tqdm(total=2 * len(options.cases), unit="measurement") as progress:
        results = [_measure(name, options, progress) for name in options.cases]
    # Workers have one thread each.
    machine = {**describe_machine("cpu", 1), "workers": options.workers}
    print(table(results))
    write_json(options.output / "data_loading.json", {"machine": machine, "bar": BAR, "results": results})
    draw(options.output / "data_loading.png", results, machine)
    print(f"Wrote {options.output / 'data_loading.json'} and {options.output / 'data_loading.png'}")


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line.

    Args:
        arguments: see :func:`main`.

    Returns:
        The options.
    """
    parser = make_parser("benchmarks.data_loading", __doc__)
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER", help="where to write the results")
    parser.add_argument(
        "--cases",
        nargs="+",
        choices=CASES,
        default=list(DEFAULT_CASES),
        help="scans and patches (default: all but tiny, which only shows that the benchmark works)",
    )
    parser.add_argument(
        "--workers", type=int, default=1, metavar="W", help="processes of each loader; 0: none (default: 1)"
    )
    parser.add_argument(
        "--scans", type=int, default=3, metavar="S", help="labeled and unlabeled scans each (default: 3)"
    )
    parser.add_argument("--batches", type=int, default=10, metavar="B", help="of each loader in a round (default: 10)")
    parser.add_argument("--rounds", type=int, default=10, metavar="R", help="that count (default: 10)")
    return parser.parse_args(arguments)


def _measure(name: str, options: argparse.Namespace, progress: tqdm) -> dict[str, Any]:
    def run(quantity: str, *flags: object) -> Any:
        progress.set_description(f"{name} {quantity}")
        measurement = run_measurement(_MODULE, quantity, folder, *flags)
        progress.update()
        return measurement

    with tempfile.TemporaryDirectory() as folder:
        run("prepare", "--case", name, "--scans", options.scans)
        flags = ("--workers", options.workers, "--batches", options.batches, "--rounds", options.rounds)
        rates = run("patches_per_second", *flags)
    return result(name, rates)


if __name__ == "__main__":
    main()
