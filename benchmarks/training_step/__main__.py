"""The whole training step: nnUNetTrainerDyCON's time and memory as ratios to nnUNetTrainer's.

Both trainers are built as nnU-Net builds them and get the same labeled batch; DyCON gets an unlabeled batch as large
beside it and runs with its default settings at full weights, after warm-up and ramp-up. The batches are drawn before,
so that loading is not timed. Time: the two take turns in one process, step by step; the ratio is the median over pairs
of neighbouring steps. Memory: each trainer in a process of its own, the peak over three steps beyond what the process
held before the trainer was made (weights, optimizer and teacher included).

Where other programs run too, set OMP_WAIT_POLICY=passive, or threads that wait take the time of those that work.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

from tqdm import tqdm

from benchmarks.common.command_line import make_parser
from benchmarks.common.measuring import run_measurement
from benchmarks.common.report import default_device, describe_machine, write_json
from benchmarks.training_step.measure import CASES, DEFAULT_CASES
from benchmarks.training_step.report import BARS, DYCON, LIMIT, PLAIN, draw, result, table

_MODULE = "benchmarks.training_step.measure"


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark.

    Args:
        arguments: the command line, without the program's name; that of this process if None.
    """
    options = parse(arguments)
    with tqdm(total=5 * len(options.cases), unit="measurement") as progress:
        results = [_measure(name, options, progress) for name in options.cases]
    machine = describe_machine(options.device, options.threads)
    print(table(results))
    content = {"machine": machine, "bars": BARS, "least_possible_seconds_ratio": LIMIT, "results": results}
    write_json(options.output / "training_step.json", content)
    draw(options.output / "training_step.png", results, machine)
    print(f"Wrote {options.output / 'training_step.json'} and {options.output / 'training_step.png'}")


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line.

    Args:
        arguments: see :func:`main`.

    Returns:
        The options.
    """
    parser = make_parser("benchmarks.training_step", __doc__)
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER", help="where to write the results")
    parser.add_argument(
        "--cases",
        nargs="+",
        choices=CASES,
        default=list(DEFAULT_CASES),
        help=f"networks and patches (default: {' '.join(DEFAULT_CASES)}; tiny only shows that the benchmark works)",
    )
    parser.add_argument(
        "--batch-size", type=int, metavar="B", help="patches of a batch, labeled and unlabeled each (default: 2)"
    )
    parser.add_argument("--device", default=default_device(), help=f"cpu or cuda (default here: {default_device()})")
    parser.add_argument("--threads", type=int, metavar="T", help="CPU threads (default: torch's own choice)")
    parser.add_argument(
        "--repeats", type=int, default=25, metavar="R", help="the median of R steps counts (default: 25)"
    )
    return parser.parse_args(arguments)


def _measure(name: str, options: argparse.Namespace, progress: tqdm) -> dict[str, Any]:
    def run(quantity: str, *flags: object) -> Any:
        progress.set_description(" ".join(map(str, (name, quantity, *flags[1::2]))))
        measurement = run_measurement(_MODULE, quantity, folder, *common, *flags, of_memory=quantity == "bytes")
        progress.update()
        return measurement

    common = ["--device", options.device, "--case", name]
    for flag, value in (("--threads", options.threads), ("--batch-size", options.batch_size)):
        if value is not None:
            common += [flag, value]
    with tempfile.TemporaryDirectory() as folder:
        run("prepare")
        seconds = run("seconds", "--repeats", options.repeats)
        memory = {trainer: run("bytes", "--trainer", trainer) for trainer in (PLAIN, DYCON)}
        parts = run("parts", "--repeats", options.repeats)
    return result(name, seconds, memory, parts)


if __name__ == "__main__":
    main()
