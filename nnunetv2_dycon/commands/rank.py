"""``nnunetv2_dycon rank``: which unlabeled scans to annotate next."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from nnunetv2_dycon.commands.model_arguments import (
    add_checkpoint_argument,
    add_model_arguments,
    add_model_folder_argument,
    add_prediction_arguments,
    model_folder_of,
    prediction_options_of,
    set_number_of_threads,
)
from nnunetv2_dycon.commands.shared_arguments import add_dataset_argument

NAME = "rank"
HELP = "order the unlabeled scans by what annotating them is expected to bring"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.description = (
        "Predicts the unlabeled scans of a dataset and orders them: first those that stand for many others which no "
        "labeled scan is like. Writes the order as a table, pictures of the least certain slices, and the predictions. "
        "Takes models of this package and of nnU-Net's trainers. With 4 labels, this order was mostly better than "
        "chance on hippocampi and not on ACDC, where one with uncertainty (both) was worse."
    )
    add_dataset_argument(parser)
    add_model_arguments(parser)
    parser.add_argument("-o", type=Path, metavar="FOLDER", help="folder to write (default: ranking, in the model's)")
    add_model_folder_argument(parser, in_place_of="-c, -tr and -p")
    add_checkpoint_argument(parser)
    parser.add_argument("-n", type=int, default=5, metavar="N", help="number of scans to name (default: 5)")
    parser.add_argument(
        "--annotate",
        type=Path,
        metavar="FOLDER",
        help="copy the first N scans and their pre-segmentations into a new folder, for an annotation tool",
    )
    parser.add_argument(
        "--by",
        choices=("coverage", "diversity", "uncertainty", "both"),
        default="coverage",
        help="what decides: how many others a scan stands for, how unlike the labeled ones it is, how uncertain its "
        "prediction is, or both of the latter (default: coverage)",
    )
    add_prediction_arguments(parser)


def run(arguments: argparse.Namespace) -> None:
    """Predict, order and print."""
    from nnunetv2_dycon.annotation.annotation_folder import (
        IMAGES,
        LABELS,
        refuse_folder_in_use,
        write_annotation_folder,
    )
    from nnunetv2_dycon.annotation.candidates import find_candidates
    from nnunetv2_dycon.annotation.rank_cases import rank_cases
    from nnunetv2_dycon.annotation.report import TABLE, text_table, write_ranking
    from nnunetv2_dycon.datasets.names import dataset_id
    from nnunetv2_dycon.exceptions import UserError
    from nnunetv2_dycon.uncertainty.inputs import read_model

    if arguments.n < 1:
        raise UserError(f"-n must be at least 1, not {arguments.n}.")
    options = prediction_options_of(arguments)
    if arguments.annotate is not None:
        refuse_folder_in_use(arguments.annotate)
    folder = model_folder_of(arguments) if arguments.m is None else arguments.m
    model = read_model(folder, arguments.f, arguments.chk)
    candidates = find_candidates(arguments.d, model)
    set_number_of_threads(options.device)
    output = folder / "ranking" if arguments.o is None else arguments.o
    ranking = rank_cases(model, candidates, output, options, arguments.by)
    write_ranking(ranking, list(candidates.labeled), arguments.n, f"{candidates.dataset}: what to annotate", output)
    first = ranking[: arguments.n]
    print(f"\n{candidates.dataset}: the first {len(first)} of {len(ranking)} unlabeled scans to annotate\n")
    print(text_table(first, list(candidates.labeled)))
    print(f"\nAll are in {output / TABLE}, pictures and predictions beside it.")
    if arguments.annotate is not None:
        cases = [each.case for each in first]
        write_annotation_folder(arguments.annotate, cases, candidates, output, model.dataset_json["labels"])
        print(f"\nThe scans are in {arguments.annotate / IMAGES}.")
        print(f"Correct their segmentations in {arguments.annotate / LABELS}. When some are finished:")
        print(
            f"  nnunetv2_dycon add-labels -d {dataset_id(candidates.dataset)} -i {shlex.quote(str(arguments.annotate))}"
        )
