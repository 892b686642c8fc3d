"""Further protocols of a dataset: for choices that must not see the test cases, and with other labeled cases.

``python -m benchmarks.label_efficiency.protocols --data FOLDER --held-out 40 --output FILE`` writes a protocol whose
test cases are the last 40 training cases; ``--first 14`` one whose first labeled case is the 15th. Both are given to
``run`` as ``--protocol FILE --name NAME``.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from pathlib import Path

from benchmarks.common.command_line import exit_code_of, make_parser
from benchmarks.label_efficiency.runs import write_whole_json
from nnunetv2_dycon.datasets.protocol import Protocol, read_protocol
from nnunetv2_dycon.datasets.raw_dataset import read_labeled_dataset
from nnunetv2_dycon.exceptions import UserError


def derive_protocol(whole: Protocol, *, held_out: int = 0, first: int = 0) -> Protocol:
    """Another protocol on the same training cases.

    Args:
        whole: of the dataset.
        held_out: so many training cases, the last ones, take the place of the test cases; 0 keeps these.
        first: the training cases begin with this one, counted from 0, and go on with the first one after the last.

    Raises:
        UserError: if there are not as many training cases.
    """
    kept = len(whole.train) - held_out
    if held_out < 0 or kept < 1:
        raise UserError(f"--held-out must be from 0 to {len(whole.train) - 1}, and is {held_out}")
    if not 0 <= first < kept:
        raise UserError(f"--first must be from 0 to {kept - 1}, and is {first}")
    train, test = whole.train[:kept], whole.train[kept:] or whole.test
    return Protocol((*train[first:], *train[:first]), test)


def add_held_out_argument(parser: argparse.ArgumentParser) -> None:
    """Declare the option that is the argument ``held_out`` of :func:`derive_protocol`."""
    parser.add_argument(
        "--held-out",
        type=int,
        default=0,
        metavar="N",
        help="test on the last N training cases (default: 0, the test set)",
    )


def main(arguments: list[str] | None = None) -> int:
    """Write the protocol that the command line asks for; returns the exit code."""
    parser = make_parser("benchmarks.label_efficiency.protocols", __doc__)
    parser.add_argument("--data", type=Path, required=True, metavar="FOLDER", help="a dataset with a protocol.json")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="the protocol to write")
    add_held_out_argument(parser)
    parser.add_argument(
        "--first", type=int, default=0, metavar="N", help="label from this training case on (default: 0)"
    )
    options = parser.parse_args(arguments)
    return exit_code_of(lambda: _write(options))


def _write(options: argparse.Namespace) -> None:
    whole = read_protocol(options.data / "protocol.json", read_labeled_dataset(options.data).cases)
    write_whole_json(options.output, asdict(derive_protocol(whole, held_out=options.held_out, first=options.first)))


if __name__ == "__main__":
    sys.exit(main())
