"""Self-training: train, predict the unlabeled scans, retrain on both."""

from __future__ import annotations

import shlex
from pathlib import Path

from nnunetv2_dycon.self_training.add_pseudo_labels import add_pseudo_labels
from nnunetv2_dycon.self_training.check_self_training import check_self_training, is_trained
from nnunetv2_dycon.self_training.options import SelfTrainingOptions
from nnunetv2_dycon.self_training.predict_unlabeled import predict_unlabeled
from nnunetv2_dycon.self_training.preprocess_target import preprocess_target
from nnunetv2_dycon.self_training.train_model import train_model


def run_self_training(options: SelfTrainingOptions) -> Path:
    """Do all steps that are not done yet, each by the command line that is printed.

    Args:
        options: what is asked for.

    Returns:
        Fold folder of the second model.

    Raises:
        UserError: for what is wrong, before anything is done where it can be known, and when a command fails. Started
            again, the same call goes on where it ended.
    """
    folders = check_self_training(options)
    source, target = folders.source.folder.name, folders.target_raw.name
    _heading("1/5  First model, on the labeled cases")
    if is_trained(folders.first_model):
        print(f"{folders.first_model} is trained.")
    else:
        train_model(source, options.trainer, folders.first_model, options)
    _heading(f"2/5  It predicts {len(folders.cases.unlabeled)} unlabeled scans")
    predict_unlabeled(options, folders)
    _heading(f"3/5  {target}: the labeled cases, and the unlabeled ones with these predictions as labels")
    line = ["nnunetv2_dycon", "pseudo-label", "-d", source, "-i", str(folders.predictions), "-o", target]
    print(f"$ {shlex.join([*line, '--copy'] if options.copy else line)}", flush=True)
    dataset = add_pseudo_labels(source, folders.predictions, target, link=not options.copy)
    _heading(f"4/5  {target} gets the same plans and is preprocessed")
    preprocess_target(options, folders, dataset)
    _heading(f"5/5  Second model, from scratch, on {target}")
    train_model(target, options.last_trainer, folders.second_model, options)
    return folders.second_model


def _heading(text: str) -> None:
    print(f"\n=== {text}", flush=True)
