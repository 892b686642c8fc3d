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
        "their largest one. A structure is the whole foreground, or a class where there are no regions."
    )
    add_dataset_argument(parser)
    parser.add_argument("-o", required=True, type=Path, metavar="FILE", help="the file to write (.pkl)")


def run(arguments: argparse.Namespace) -> None:
    """Decide, write and print."""
    from nnunetv2_dycon.datasets.names import existing_dataset_folder
    from nnunetv2_dycon.exceptions import counted
    from nnunetv2_dycon.postprocessing.determine import determine_postprocessing
    from nnunetv2_dycon.postprocessing.largest_components import structure_names

    found = determine_postprocessing(existing_dataset_folder(arguments.d), arguments.o)
    cases = counted(found.num_cases, "labeled case")
    if not found.structures:
        print(f"By {cases}, no structure always has one connected component: {arguments.o} changes nothing.")
        return
    names = ", ".join(structure_names(found.structures, found.dataset_json))
    print(
        f"By {cases}, these have one connected component each: {names}. If scans can show several, do not use "
        f"{arguments.o}. Otherwise:\n"
        f"  nnUNetv2_apply_postprocessing -i PREDICTIONS -o POSTPROCESSED -pp_pkl_file {shlex.quote(str(arguments.o))}"
    )
