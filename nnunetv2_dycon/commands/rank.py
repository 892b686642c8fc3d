"""``nnunetv2_dycon rank``: which unlabeled scans to annotate next."""

from __future__ import annotations

import argparse
from pathlib import Path

NAME = "rank"
HELP = "order the unlabeled scans by what annotating them is expected to bring"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.description = (
        "Predicts the unlabeled scans of a dataset and orders them: first those whose prediction is uncertain and that "
        "are unlike the labeled scans and those before them. Writes the order as a table, pictures of the least "
        "certain slices, and the predictions. Takes models of this package and of nnU-Net's trainers."
    )
    parser.add_argument("-d", required=True, metavar="DATASET", help="dataset ID or name, e.g. 501")
    parser.add_argument("-n", type=int, default=5, metavar="N", help="how many scans to name (default: 5)")
    parser.add_argument("-c", default="3d_fullres", metavar="CONFIGURATION", help="configuration (default: 3d_fullres)")
    parser.add_argument("-p", default="nnUNetPlans", metavar="PLANS", help="plans identifier (default: nnUNetPlans)")
    parser.add_argument(
        "-tr", default="nnUNetTrainerDyCON", metavar="TRAINER", help="trainer (default: nnUNetTrainerDyCON)"
    )
    parser.add_argument("-m", type=Path, metavar="MODEL_FOLDER", help="folder of the model, in place of -c, -p and -tr")
    parser.add_argument(
        "-f", nargs="+", default=[], metavar="FOLD", help="folds (default: all that have been trained to the end)"
    )
    parser.add_argument(
        "-chk", default="checkpoint_final.pth", metavar="FILE", help="checkpoint (default: checkpoint_final.pth)"
    )
    parser.add_argument("-o", type=Path, metavar="OUTPUT", help="folder to write (default: ranking, in the model's)")
    parser.add_argument(
        "--annotate",
        type=Path,
        metavar="FOLDER",
        help="copy the first N scans and their pre-segmentations into a new folder, for an annotation tool",
    )
    parser.add_argument(
        "--by",
        choices=("both", "uncertainty", "diversity"),
        default="both",
        help="what decides: uncertain predictions, scans unlike the labeled ones, or both (default: both)",
    )
    parser.add_argument(
        "-step_size", type=float, default=0.5, metavar="SIZE", help="step of the sliding window (default: 0.5)"
    )
    parser.add_argument("--disable_tta", action="store_true", help="do not predict mirrored scans too")
    parser.add_argument("--continue_prediction", action="store_true", help="leave cases alone that are done")
    parser.add_argument("-npp", type=int, default=3, metavar="N", help="processes for preprocessing (default: 3)")
    parser.add_argument(
        "-device", choices=("cuda", "cpu", "mps"), default="cuda", help="where to predict (default: cuda)"
    )


def run(arguments: argparse.Namespace) -> None:
    """Predict, order and print."""
    import multiprocessing

    import torch
    from nnunetv2.utilities.file_path_utilities import convert_trainer_plans_config_to_identifier

    from nnunetv2_dycon.annotation.annotation_folder import refuse_folder_in_use, write_annotation_folder
    from nnunetv2_dycon.annotation.candidates import find_candidates
    from nnunetv2_dycon.annotation.rank_cases import rank_cases
    from nnunetv2_dycon.annotation.report import TABLE, text_table, write_ranking
    from nnunetv2_dycon.datasets.names import dataset_id, dataset_name_of, results_folder
    from nnunetv2_dycon.exceptions import UserError
    from nnunetv2_dycon.training.checks import refuse_missing_device
    from nnunetv2_dycon.uncertainty.inputs import read_model
    from nnunetv2_dycon.uncertainty.predict_uncertainty import PredictionOptions

    for name in ("n", "npp"):
        if getattr(arguments, name) < 1:
            raise UserError(f"-{name} must be at least 1, not {getattr(arguments, name)}.")
    if not 0 < arguments.step_size <= 1:
        raise UserError(f"-step_size must be above 0 and at most 1, not {arguments.step_size}.")
    device = torch.device(arguments.device)
    refuse_missing_device(device)
    if arguments.annotate is not None:
        refuse_folder_in_use(arguments.annotate)
    folder = arguments.m
    if folder is None:
        identifier = convert_trainer_plans_config_to_identifier(arguments.tr, arguments.p, arguments.c)
        folder = results_folder() / dataset_name_of(arguments.d) / identifier
    model = read_model(folder, arguments.f, arguments.chk)
    candidates = find_candidates(arguments.d, model)
    # As nnUNetv2_predict does it.
    torch.set_num_threads(multiprocessing.cpu_count() if device.type == "cpu" else 1)
    options = PredictionOptions(
        device,
        use_mirroring=not arguments.disable_tta,
        step_size=arguments.step_size,
        continue_prediction=arguments.continue_prediction,
        num_processes=arguments.npp,
    )
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
        print(f"{arguments.annotate}: scans in images, and in labels what to correct. When some are finished:")
        print(f"  nnunetv2_dycon add-labels -d {dataset_id(candidates.dataset)} -i {arguments.annotate}")
