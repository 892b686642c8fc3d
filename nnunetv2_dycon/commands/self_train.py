"""``nnunetv2_dycon self-train``."""

from __future__ import annotations

import argparse
import shlex

from nnunetv2_dycon.commands.shared_arguments import (
    add_all_components_argument,
    add_configuration_argument,
    add_copy_argument,
    add_dataset_argument,
    add_device_argument,
    add_fold_argument,
    add_mirroring_argument,
    add_new_datasets_argument,
    add_plans_argument,
    add_trainer_argument,
)

NAME = "self-train"
HELP = "self-training: train, predict the unlabeled scans, train nnU-Net on both"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.description = (
        "Self-training: trains a first model on the labeled cases (or takes it if it is trained), predicts "
        "imagesUnlabeled with it, makes a new dataset with these predictions as labels, and trains a second model with "
        "the same plans on it, from scratch. With several datasets after -o there are several rounds: each model "
        "predicts for the next one. Each command is printed as you would type it. Started again, it goes on where it "
        "ended."
    )
    add_dataset_argument(parser)
    add_configuration_argument(parser)
    add_trainer_argument(parser, what="trainer of the first model, with or without unlabeled scans")
    add_plans_argument(parser)
    add_fold_argument(parser, default="0")
    add_new_datasets_argument(parser, "one for each round, whose model predicts for the next")
    parser.add_argument(
        "-tr2",
        metavar="TRAINER",
        help="trainer of the second model and further ones, not a semi-supervised one (default: nnU-Net's own of the "
        "same length, such as nnUNetTrainer_250epochs for nnUNetTrainerDyCON_250epochs; for a trainer that is not "
        "semi-supervised, the same)",
    )
    add_mirroring_argument(parser)
    add_all_components_argument(parser)
    add_copy_argument(parser)
    add_device_argument(parser)
    parser.add_argument(
        "-np",
        type=int,
        metavar="N",
        help="processes for preprocessing and prediction (default: those of nnU-Net)",
    )


def run(arguments: argparse.Namespace) -> None:
    """Run the steps that are not done."""
    from nnunetv2_dycon.datasets.names import dataset_id, existing_dataset_folder
    from nnunetv2_dycon.self_training.check_self_training import SelfTrainingOptions
    from nnunetv2_dycon.self_training.run_self_training import run_self_training

    options = SelfTrainingOptions(
        dataset=arguments.d,
        outputs=arguments.o,
        configuration=arguments.c,
        fold=arguments.f,
        trainer=arguments.tr,
        second_trainer=arguments.tr2,
        plans=arguments.p,
        device=arguments.device,
        disable_tta=arguments.disable_tta,
        copy=arguments.copy,
        all_components=arguments.all_components,
        num_processes=arguments.np,
    )
    model = run_self_training(options)
    dataset = dataset_id(model.parent.parent.name)
    print(f"\nThe last model is in {model}. Predict with:")
    chosen = ["-c", options.configuration, "-p", options.plans, "-f", options.fold]
    device = [] if options.device == "cuda" else ["-device", options.device]
    images = ["-i", "IN", "-o", "OUT", *device]
    print(shlex.join(["nnUNetv2_predict", "-d", str(dataset), "-tr", options.last_trainer, *chosen, *images]))
    if options.fold != "all":
        first = dataset_id(existing_dataset_folder(options.dataset).name)
        models = ["-tr", options.trainer, f"{dataset}/{options.last_trainer}"]
        print("Compare it with the first model on their validation cases:")
        print(shlex.join(["nnunetv2_dycon", "compare", "-d", str(first), *models, *chosen]))
