"""``nnunetv2_dycon self-train``."""

from __future__ import annotations

import argparse

NAME = "self-train"
HELP = "self-training: train, predict the unlabeled scans, retrain on both"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.description = (
        "Self-training: trains a first model on the labeled cases (or takes it if it is trained), predicts "
        "imagesUnlabeled with it, makes a new dataset with these predictions as labels, and trains a second model with "
        "the same plans on it, from scratch. Each command is printed as you would type it. Started again, it goes on "
        "where it ended."
    )
    parser.add_argument("-d", required=True, metavar="DATASET", help="dataset ID or name, e.g. 501")
    parser.add_argument(
        "-o", required=True, metavar="OUTPUT", help="ID (502) or name (Dataset502_NAME) of the dataset to make"
    )
    parser.add_argument("-c", default="3d_fullres", metavar="CONFIGURATION", help="configuration (default: 3d_fullres)")
    parser.add_argument("-f", default="0", metavar="FOLD", help="fold of both models, or all (default: 0)")
    parser.add_argument(
        "-tr", default="nnUNetTrainer", metavar="TRAINER", help="trainer of the first model (default: nnUNetTrainer)"
    )
    parser.add_argument(
        "-tr2", metavar="TRAINER", help="trainer of the second model (default: the same); not a semi-supervised one"
    )
    parser.add_argument("-p", default="nnUNetPlans", metavar="PLANS", help="plans identifier (default: nnUNetPlans)")
    parser.add_argument(
        "-device", choices=("cuda", "cpu", "mps"), default="cuda", help="where to compute (default: cuda)"
    )
    parser.add_argument("--disable_tta", action="store_true", help="predict without mirroring: faster, less accurate")
    parser.add_argument("--copy", action="store_true", help="copy images and labels; default: symbolic links to them")
    parser.add_argument(
        "-np", type=int, metavar="N", help="processes for preprocessing and prediction (default: nnU-Net's)"
    )


def run(arguments: argparse.Namespace) -> None:
    """Run the steps that are not done."""
    from nnunetv2_dycon.datasets.names import dataset_id
    from nnunetv2_dycon.self_training.run_self_training import SelfTrainingOptions, run_self_training

    options = SelfTrainingOptions(
        dataset=arguments.d,
        output=arguments.o,
        configuration=arguments.c,
        fold=arguments.f,
        trainer=arguments.tr,
        second_trainer=arguments.tr2,
        plans=arguments.p,
        device=arguments.device,
        disable_tta=arguments.disable_tta,
        copy=arguments.copy,
        num_processes=arguments.np,
    )
    model = run_self_training(options)
    dataset = dataset_id(model.parent.parent.name)
    print(f"\nThe second model is in {model}. Predict with:")
    chosen = f"-c {options.configuration} -f {options.fold} -tr {options.last_trainer} -p {options.plans}"
    print(f"nnUNetv2_predict -d {dataset} {chosen} -i IN -o OUT")
