"""How many labels each method saves: train, record and report.

``run`` trains arms on few labeled and many unlabeled cases of a fully labeled dataset and records metrics on test
cases that no training sees; ``report`` makes tables and pictures of the records, at any time.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks.common.command_line import exit_code_of, make_parser
from benchmarks.label_efficiency.arms import ARMS
from benchmarks.label_efficiency.presets import PRESETS
from benchmarks.label_efficiency.report import write_report
from benchmarks.label_efficiency.scheduler import do_runs


def main(arguments: list[str] | None = None) -> int:
    """Run one of the commands.

    Args:
        arguments: the command line, without the program's name; that of this process if None.

    Returns:
        The exit code.
    """
    parser = make_parser("benchmarks.label_efficiency", __doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    _add_run(commands.add_parser("run", help="train arms and record their metrics"))
    _add_report(commands.add_parser("report", help="make tables and pictures of the records"))
    options = parser.parse_args(arguments)
    if options.command == "run":
        return exit_code_of(lambda: do_runs(options))
    return exit_code_of(lambda: write_report(options.workspace, options.output))


def _add_run(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Trains every arm on every budget with every seed, predicts the test cases and records the metrics. Runs that "
        "are recorded are skipped, interrupted ones are continued. Several processes, on several machines that share "
        "the workspace, may run this command at once: each takes runs that no other has."
    )
    parser.add_argument("--data", type=Path, required=True, metavar="FOLDER", help="a fully labeled dataset")
    parser.add_argument("--workspace", type=Path, required=True, metavar="FOLDER", help="everything goes there")
    parser.add_argument("--preset", required=True, choices=sorted(PRESETS), help="network, patch and length")
    parser.add_argument("--budgets", nargs="+", required=True, metavar="N", help="numbers of labels, or all")
    parser.add_argument(
        "--arms",
        nargs="+",
        default=[],
        metavar="ARM",
        help=f"of {', '.join(ARMS)}; or X for any other trainer nnUNetTrainerX that nnU-Net finds, with its defaults",
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[0], metavar="S", help="default: 0")
    parser.add_argument(
        "--method", nargs="+", type=Path, default=[], metavar="FILE.py", help="further arms: a method in a file each"
    )
    parser.add_argument(
        "--define",
        nargs="+",
        action="append",
        default=[],
        metavar="WORD",
        help="a further arm: its name, a trainer (as nnU-Net finds it, FILE.py:CLASS or MODULE:CLASS), then settings "
        "as NAME=VALUE",
    )
    parser.add_argument("--name", help="name of the dataset in tables and folders (default: the folder's)")
    parser.add_argument(
        "--protocol", type=Path, metavar="FILE", help="JSON file with the lists train and test (default: protocol.json)"
    )
    parser.add_argument("--epochs", type=int, metavar="N", help="instead of the preset's")
    parser.add_argument("--steps", type=int, metavar="N", help="training steps an epoch, instead of the preset's")
    parser.add_argument("--validation-steps", type=int, metavar="N", help="instead of the preset's")
    parser.add_argument("--patch-size", nargs="+", type=int, metavar="N", help="instead of the preset's")
    parser.add_argument("--features", nargs="+", type=int, metavar="N", help="instead of the preset's")
    parser.add_argument("--convolutions", nargs="+", type=int, metavar="N", help="instead of the preset's")
    parser.add_argument(
        "--float32", action="store_true", help="on a CPU, no bfloat16, which is slow on those without AMX"
    )
    parser.add_argument("--device", choices=["cpu", "cuda"], help="default: cuda if there is one")
    parser.add_argument("--threads", type=int, metavar="T", help="CPU threads of a training (default: torch's choice)")
    parser.add_argument(
        "--workers", type=int, metavar="N", help="augmentation workers (default: 1 on a CPU); 0 repeats runs exactly"
    )
    parser.add_argument("--processes", type=int, metavar="N", help="for preprocessing (default: CPU cores, at most 4)")
    parser.add_argument("--list", action="store_true", help="print the runs with their numbers and states, do nothing")
    parser.add_argument("--only", type=int, metavar="I", help="do the run of this number only, e.g. in a SLURM array")
    parser.add_argument(
        "--take-over",
        action="store_true",
        help="no longer needed, and without effect: the claim of a process ends with the process",
    )


def _add_report(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Writes report.md, report.json, report.png, runs.csv (a line a run) and cases.csv (a line a run, case and "
        "class) of the runs that are recorded, and names those that are not."
    )
    parser.add_argument("--workspace", type=Path, required=True, metavar="FOLDER", help="of the runs")
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER", help="where to write the report")


if __name__ == "__main__":
    sys.exit(main())
