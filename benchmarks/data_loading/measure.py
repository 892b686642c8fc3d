"""Measure the loaders on one case: ``python -m benchmarks.data_loading.measure``; prints JSON."""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.common.measuring_process import print_measurement
from benchmarks.data_loading.cases import CASES
from benchmarks.data_loading.loaders import patches_per_second, prepare


def main(arguments: list[str] | None = None) -> None:
    """Measure what the command line says.

    Args:
        arguments: the command line, without the program's name; that of this process if None.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("quantity", choices=("prepare", "patches_per_second"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--case", choices=CASES)
    parser.add_argument("--scans", type=int)
    parser.add_argument("--workers", type=int)
    parser.add_argument("--batches", type=int)
    parser.add_argument("--rounds", type=int)
    options = parser.parse_args(arguments)
    measurements = {
        "prepare": lambda: prepare(options.folder, CASES[options.case], options.scans),
        "patches_per_second": lambda: patches_per_second(
            options.folder, options.workers, options.batches, options.rounds
        ),
    }
    print_measurement(measurements[options.quantity])


if __name__ == "__main__":
    main()
