"""``nnunetv2_dycon determine-postprocessing``: what nnU-Net's command needs a cross-validation for."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from nnunetv2_dycon.commands.shared_arguments import add_dataset_argument

NAME = "determine-postprocessing"
HELP = "decide by the labels which structures keep their largest connected component alone"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.description = (
        "Writes a postprocessing file for nnUNetv2_apply_postprocessing. nnUNetv2_determine_postprocessing needs the "
        "predictions of a cross-validation, which few labels do not give. This command needs the labels alone: where "
        "all labeled cases that show a structure, four or more, have one connected component of it, predictions keep "
        "their largest one. A structure is the whole foreground, or a class where there are no regions. Labels are not "
        "read that are predictions or that splits_final.json puts off limits."
    )
    add_dataset_argument(parser)
    parser.add_argument("-o", required=True, type=Path, metavar="FILE", help="the file to write (.pkl)")


def run(arguments: argparse.Namespace) -> None:
    """Decide, write and print."""
    from nnunetv2_dycon.exceptions import counted
    from nnunetv2_dycon.postprocessing.determine import determine_postprocessing

    found = determine_postprocessing(arguments.d, arguments.o)
    others = f" ({found.num_without_a_say} more are predicted or off limits)" if found.num_without_a_say else ""
    print(f"By {counted(found.num_cases, 'labeled case')}{others}, predictions")
    if found.kept:
        print(f"  keep their largest connected component of: {', '.join(found.kept)}")
    if found.left:
        print(f"  stay as they are in: {', '.join(f'{name} ({reason})' for name, reason in found.left.items())}")
    if not found.kept:
        print(f"So {arguments.o} changes nothing.")
        return
    print(
        f"If scans can show several of a structure, do not use {arguments.o}. Otherwise:\n"
        f"  nnUNetv2_apply_postprocessing -i PREDICTIONS -o POSTPROCESSED -pp_pkl_file {shlex.quote(str(arguments.o))}"
    )
