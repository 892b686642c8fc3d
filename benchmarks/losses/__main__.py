"""Compare the losses with a straightforward implementation of the released formulas, side by side.

Prints a table and writes losses.json and losses.png. Every measurement of memory runs in a process of its own; for the
time, the implementations take turns in one. The reference is left out where it would not fit into memory.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from benchmarks.common.command_line import make_parser
from benchmarks.common.measuring import run_measurement
from benchmarks.common.report import default_device, describe_machine
from benchmarks.losses.measure import REFERENCE, Case
from benchmarks.losses.report import add_ratios, row, table, write

# Runs this large take minutes on a CPU; warming up matters little to them.
MANY_CELLS = 16384


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark.

    Args:
        arguments: the command line, without the program's name; that of this process if None.
    """
    options = _parse(arguments)
    cases = [Case("FeCL", size) for size in options.cells] + [Case("UnCL", size) for size in options.patch_sizes]
    available = _available_bytes(options.device)
    rows: list[dict[str, Any]] = []
    with tqdm(total=sum(1 + len(case.implementations) for case in cases), unit="measurement") as progress:
        for case in cases:
            with_reference = case.reference_bytes < available
            progress.set_description(f"{case.loss} {case.size} time")
            repeats = 0 if case.loss == "FeCL" and case.size >= MANY_CELLS else options.repeats
            flags = ["--repeats", str(repeats)] + ([] if with_reference else ["--without-reference"])
            seconds = _measure("seconds", case, options, *flags)
            progress.update()
            for implementation in case.implementations:
                progress.set_description(f"{case.loss} {case.size} memory of {implementation}")
                peak_bytes = None
                if with_reference or implementation != REFERENCE:
                    peak_bytes = _measure("peak_bytes", case, options, "--implementation", implementation)
                rows.append(row(case.loss, case.size, implementation, seconds.get(implementation), peak_bytes))
                progress.update()
    add_ratios(rows)
    print(table(rows))
    write(options.output, describe_machine(options.device, options.threads), rows)
    print(f"Wrote {options.output / 'losses.json'} and {options.output / 'losses.png'}")


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = make_parser("benchmarks.losses", __doc__)
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER", help="where to write the results")
    parser.add_argument(
        "--cells",
        type=int,
        nargs="*",
        default=[1024, 2048, 4096, 32768],
        metavar="N",
        help="numbers of cells for FeCL, batch 2, 256 channels (default: 1024 2048 4096 32768; the last takes minutes)",
    )
    parser.add_argument(
        "--patch-sizes",
        type=int,
        nargs="*",
        default=[64, 96, 128],
        metavar="P",
        help="edges of the patch for UnCL, batch 2, 4 classes (default: 64 96 128)",
    )
    parser.add_argument("--device", default=default_device(), help=f"cpu or cuda (default here: {default_device()})")
    parser.add_argument(
        "--threads", type=int, default=None, metavar="T", help="CPU threads (default: torch's own choice)"
    )
    parser.add_argument(
        "--repeats", type=int, default=5, metavar="R", help="the shortest of R runs counts (default: 5)"
    )
    return parser.parse_args(arguments)


def _measure(quantity: str, case: Case, options: argparse.Namespace, *flags: str) -> Any:
    threads = ["--threads", options.threads] if options.threads else []
    common = (quantity, case.loss, case.size, "--device", options.device)
    return run_measurement("benchmarks.losses.measure", *common, *flags, *threads)


def _available_bytes(device: str) -> int:
    if torch.device(device).type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")


if __name__ == "__main__":
    main()
