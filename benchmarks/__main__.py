"""All benchmarks, one after the other: losses, training step, data loading.

Each prints its table and writes a JSON file and a picture into a folder of its name. Every figure is a ratio of two
things measured side by side; they are clearest on a machine that does nothing else. It takes a while.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from benchmarks import REPOSITORY
from benchmarks.common.command_line import make_parser

# What each runs where only the working of it is of interest.
_QUICK = {
    "losses": ["--cells", "64", "--patch-sizes", "8", "--repeats", "1"],
    "training_step": ["--cases", "tiny", "--repeats", "2"],
    "data_loading": ["--cases", "tiny", "--scans", "1", "--batches", "2", "--rounds", "2"],
}
_WITHOUT_DEVICE = {"data_loading"}


def main(arguments: list[str] | None = None) -> None:
    """Run all benchmarks.

    Args:
        arguments: the command line, without the program's name; that of this process if None.
    """
    parser = make_parser("benchmarks", __doc__)
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER", help="where to write the results")
    parser.add_argument("--device", help="cpu or cuda (default: cuda if there is one)")
    parser.add_argument("--threads", type=int, metavar="T", help="CPU threads (default: torch's own choice)")
    parser.add_argument("--quick", action="store_true", help="tiny cases, which show in minutes that everything works")
    options = parser.parse_args(arguments)
    for name, flags in command_lines(options).items():
        print(f"\n=== {name}", flush=True)
        subprocess.run([sys.executable, "-m", f"benchmarks.{name}", *flags], cwd=REPOSITORY, check=True)


def command_lines(options: argparse.Namespace) -> dict[str, list[str]]:
    """The arguments of each benchmark.

    Args:
        options: those of :func:`main`.

    Returns:
        Arguments by benchmark, in the order in which they run.
    """
    lines = {}
    for name, quick in _QUICK.items():
        flags = ["--output", str(options.output.resolve() / name)]
        if name not in _WITHOUT_DEVICE:
            for flag in ("device", "threads"):
                if getattr(options, flag) is not None:
                    flags += [f"--{flag}", str(getattr(options, flag))]
        lines[name] = flags + (quick if options.quick else [])
    return lines


if __name__ == "__main__":
    main()
