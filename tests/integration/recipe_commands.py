"""Further commands and options of nnU-Net, on a model of this package's, and data sets in other formats."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from nnunetv2_dycon import trainers
from tests.integration.recipe_data import GeneratedDataset
from tests.integration.recipe_runner import Runner
from tests.integration.recipe_steps import BATCH_SIZE, PLANS, Chain, write_small_plans
from tests.settings import FULL_WEIGHTS_AT_ONCE


def run_input_format(runner: Runner, key: str, dataset: GeneratedDataset) -> None:
    """Plan, train, predict and evaluate a generated data set; then simulate few labels and make pseudo-labels of it."""
    dataset.write(runner.raw)
    chain = Chain(runner, key, dataset.name, ["2d" if dataset.dimensions == 2 else "3d_fullres"], folds=(0,))
    chain.plan()
    (configuration,) = chain.configurations
    chain.train(configuration, 0)
    chain.predict(configuration)
    chain.evaluate(configuration)
    chain.predict(configuration, images="imagesUnlabeled", name="unlabeled")
    pseudo_labeled, simulated = chain.identifier % 100 + 800, chain.identifier % 100 + 900
    source = ("-d", chain.identifier, "-o")
    pseudo = (*source, pseudo_labeled, "-i", chain.prediction("unlabeled"))
    chain.run("dycon pseudo-label", "nnunetv2_dycon", "pseudo-label", *pseudo)
    chain.run("dycon simulate", "nnunetv2_dycon", "simulate", *source, simulated, "-n", 3)
    for name, identifier in (("pseudo-labeled", pseudo_labeled), ("simulated", simulated)):
        arguments = ("-d", identifier, "-np", 1, "--verify_dataset_integrity")
        chain.run(f"fingerprint, {name}", "nnUNetv2_extract_fingerprint", *arguments)


def run_commands(chain: Chain) -> None:
    """Options of nnUNetv2_train, and the commands around plans, models and predictions."""
    _plan(chain)
    _train(chain)
    _share_models(chain)
    _predict(chain)
    _move_plans(chain)


def _plan(chain: Chain) -> None:
    chain.run("extract fingerprint", "nnUNetv2_extract_fingerprint", "-d", chain.identifier, "-np", 1)
    chain.plan()
    residual, torch_resampling, coarse = "nnUNetPlansResEnc", "nnUNetPlansTorch", "nnUNetPlansCoarse"
    planners = {
        residual: ("-pl", "nnUNetPlannerResEncM", "-gpu_memory_target", 3),
        torch_resampling: ("-pl", "nnUNetPlanner_torchres"),
        coarse: ("-overwrite_target_spacing", 1.5, 1.5, 1.5),
    }
    for plans, options in planners.items():
        arguments = ("-d", chain.identifier, *options, "-overwrite_plans_name", plans)
        chain.run(f"plan {plans}", "nnUNetv2_plan_experiment", *arguments)
        chain.runner.check(chain.key, f"small {plans}", lambda plans=plans: _shrink(chain, plans))
        small = f"{plans}Small"
        preprocess = ("-d", chain.identifier, "-plans_name", small, "-c", "3d_fullres", "-np", 1)
        chain.run(f"preprocess {small}", "nnUNetv2_preprocess", *preprocess)
        _train_with(chain, chain.identifier, small, "3d_fullres", step=f"train -p {small}")


def _shrink(chain: Chain, plans: str) -> None:
    contents = json.loads((chain.preprocessed / f"{plans}.json").read_text())
    section = getattr(trainers, chain.runner.trainer.removesuffix("Recipe")).method_class.settings_section
    for name in contents["configurations"].keys() & BATCH_SIZE.keys():
        contents["configurations"][name][section] = FULL_WEIGHTS_AT_ONCE
    write_small_plans(chain.preprocessed, contents, f"{plans}Small")


def _train_with(chain: Chain, identifier: int, plans: str, configuration: str, *flags: object, step: str) -> None:
    arguments = (identifier, configuration, 0, "-tr", chain.runner.trainer, "-p", plans, "-device", chain.runner.device)
    chain.run(step, "nnUNetv2_train", *arguments, *flags)


def _train(chain: Chain) -> None:
    fold = chain.model("3d_fullres") / "fold_0"
    for number in chain.folds:
        chain.train("3d_fullres", number, "--npz", step=f"train --npz, fold {number}")
    for step, flags in {
        "train --val": ("--val",),
        "train --val --npz": ("--val", "--npz"),
        "train --val --val_best": ("--val", "--val_best"),
        "train --c, of what is done": ("--c",),
        "train --c --val_best": ("--c", "--val_best"),
    }.items():
        shutil.rmtree(fold / "validation", ignore_errors=True)
        chain.train("3d_fullres", 0, *flags, step=step)
        summary = fold / "validation" / "summary.json"
        chain.runner.check(chain.key, f"summary after {step}", lambda summary=summary: _require(summary))
    chain.train("3d_fullres", 3, "--val_best", step="train --val_best")
    chain.train("3d_fullres", 2, "--disable_checkpointing", step="train --disable_checkpointing")
    checkpoints = list((chain.model("3d_fullres") / "fold_2").glob("*.pth"))
    chain.runner.check(chain.key, "no checkpoint", lambda: _require_none(checkpoints))
    pretrained = ("-pretrained_weights", fold / "checkpoint_final.pth")
    chain.train("3d_fullres", 4, *pretrained, step="train -pretrained_weights")
    chain.train("3d_fullres", "all", step="train, fold all")
    arguments = (chain.identifier, "3d_fullres", 0, "-tr", "nnUNetTrainerRecipe", "-p", PLANS)
    chain.run(
        "train nnUNetTrainer on our weights", "nnUNetv2_train", *arguments, "-device", chain.runner.device, *pretrained
    )


def _require(file: Path) -> None:
    assert file.is_file(), f"{file} is not there"


def _require_none(files: list[Path]) -> None:
    assert not files, files


def _share_models(chain: Chain) -> None:
    trainer, results = chain.runner.trainer, chain.runner.results / chain.dataset
    model = ("-d", chain.identifier, "-c", "3d_fullres", "-tr", trainer, "-p", PLANS)
    folds = ("-f", *chain.folds)
    theirs, ours = chain.runner.work / "theirs.zip", chain.runner.work / "ours.zip"
    chain.run("export model to zip", "nnUNetv2_export_model_to_zip", *model, *folds, "-o", theirs)
    chain.run("dycon export", "nnunetv2_dycon", "export", *model, *folds, "-o", ours)
    for archive, installed_trainer in ((theirs, trainer), (ours, "nnUNetTrainer")):
        installed = chain.runner.work / f"installed_{archive.stem}"
        installed.mkdir()
        variable = {"nnUNet_results": str(installed)}
        chain.run(f"install {archive.name}", "nnUNetv2_install_pretrained_model_from_zip", archive, **variable)
        other = ("-d", chain.identifier, "-c", "3d_fullres", "-tr", installed_trainer, "-p", PLANS, *folds)
        files = ("-i", chain.raw / "imagesTs", "-o", chain.prediction(archive.stem), "--disable_tta")
        sequential = ("-npp", 0, "-nps", 0, "-device", chain.runner.device)
        chain.run(f"predict with {archive.name}", "nnUNetv2_predict", *other, *files, *sequential, **variable)
    accumulated = chain.runner.work / "accumulated"
    arguments = (chain.identifier, *model[2:], *folds, "-o", accumulated)
    chain.run("accumulate crossval results", "nnUNetv2_accumulate_crossval_results", *arguments)
    ground_truth, plans = chain.preprocessed / "gt_segmentations", ("-plans_json", accumulated / "plans.json")
    arguments = ("-i", accumulated, "-ref", ground_truth, *plans, "-dataset_json", results / "dataset.json", "-np", 1)
    shutil.copyfile(chain.raw / "dataset.json", results / "dataset.json")
    chain.run("determine postprocessing", "nnUNetv2_determine_postprocessing", *arguments)


def _predict(chain: Chain) -> None:
    chain.predict("3d_fullres", "-step_size", 1, name="step_size")
    chain.predict("3d_fullres", "-chk", "checkpoint_best.pth", name="best")
    chain.predict("3d_fullres", "--continue_prediction", name="best")
    parts = ("-num_parts", 2, "-part_id")
    for part in (0, 1):
        chain.predict("3d_fullres", *parts, part, name="parts")
    for name in ("step_size", "best", "parts"):
        chain.evaluate(name)
    folder = ("-m", chain.model("3d_fullres"), "-f", *chain.folds, "--save_probabilities", "--disable_tta")
    files = ("-i", chain.raw / "imagesTs", "-o", chain.prediction("modelfolder"), "-npp", 1, "-nps", 1)
    device = ("-device", chain.runner.device)
    chain.run("predict from modelfolder", "nnUNetv2_predict_from_modelfolder", *folder, *files, *device)
    simple = (chain.raw / "labelsTs", chain.prediction("modelfolder"), "-l", 1, 2, "-np", 1)
    chain.run("evaluate simple", "nnUNetv2_evaluate_simple", *simple)
    overlays = ("-d", chain.identifier, "-np", 1, "-o")
    pictures = chain.runner.work / "overlays"
    chain.run("overlays of raw data", "nnUNetv2_plot_overlay_pngs", *overlays, pictures / "raw", "--use_raw")
    preprocessed = (*overlays, pictures / "preprocessed", "-p", PLANS, "-c", "3d_fullres")
    chain.run("overlays of preprocessed data", "nnUNetv2_plot_overlay_pngs", *preprocessed)


def _move_plans(chain: Chain) -> None:
    """Plans of one data set for another one, as for pretraining and fine-tuning."""
    other, moved = "Dataset712_Target", "nnUNetPlansMoved"
    shutil.copytree(chain.raw, chain.runner.raw / other)
    # Preprocessing needs what planning leaves, dataset.json among it.
    chain.run("plan another data set", "nnUNetv2_plan_and_preprocess", "-d", 712, "--no_pp", "-npfp", 1)
    arguments = ("-s", chain.identifier, "-t", 712, "-sp", PLANS, "-tp", moved)
    chain.run("move plans between datasets", "nnUNetv2_move_plans_between_datasets", *arguments)
    preprocess = ("-d", 712, "-plans_name", moved, "-c", "3d_fullres", "-np", 1)
    chain.run("preprocess with moved plans", "nnUNetv2_preprocess", *preprocess)
    pretrained = ("-pretrained_weights", chain.model("3d_fullres") / "fold_0" / "checkpoint_final.pth")
    _train_with(chain, 712, moved, "3d_fullres", *pretrained, step="train with moved plans, pretrained")
