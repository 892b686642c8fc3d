"""Chains of steps of the integration recipe, from planning to evaluation."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnunetv2_dycon.datasets.names import dataset_id
from tests.integration.recipe_data import LABELED, UNLABELED, case_names
from tests.integration.recipe_runner import Runner
from tests.settings import FULL_WEIGHTS_AT_ONCE

# The cascade comes last: it needs the low resolution's predictions.
CONFIGURATIONS = ("2d", "3d_fullres", "3d_lowres", "3d_cascade_fullres")
SMALL_PLANS, PLANS = "nnUNetPlansSmall", "nnUNetPlansRecipe"
FIRST_FEATURES, MOST_FEATURES = 8, 32
BATCH_SIZE = {"2d": 4, "3d_fullres": 2, "3d_lowres": 2}
FEW_PROCESSES = ("-npp", 1, "-nps", 1)


@dataclass(frozen=True)
class Chain:
    """Steps on one data set.

    Attributes:
        runner: runs them.
        key: the data set's name in the table.
        dataset: its full name.
        configurations: which to train, in the order of CONFIGURATIONS.
        folds: which to train.
    """

    runner: Runner
    key: str
    dataset: str
    configurations: Sequence[str]
    folds: Sequence[int] = (0, 1)

    @property
    def identifier(self) -> int:
        """The data set's ID."""
        return dataset_id(self.dataset)

    @property
    def raw(self) -> Path:
        """Its raw folder."""
        return self.runner.raw / self.dataset

    @property
    def preprocessed(self) -> Path:
        """Its preprocessed folder."""
        return self.runner.preprocessed / self.dataset

    def model(self, configuration: str) -> Path:
        """The folder of a trained model."""
        return self.runner.results / self.dataset / f"{self.runner.trainer}__{PLANS}__{configuration}"

    def prediction(self, name: str) -> Path:
        """A folder of predictions."""
        return self.runner.work / "predictions" / self.key / name

    def run(
        self, step: str, command: str, *arguments: object, refused_with: str | None = None, **variables: str
    ) -> None:
        """See Runner.run."""
        self.runner.run(self.key, step, command, *arguments, refused_with=refused_with, **variables)

    def plan(self) -> None:
        """Plan and preprocess, labeled and unlabeled, with small plans that have the low resolution where wanted."""
        planned = [name for name in self.configurations if name in ("2d", "3d_fullres")]
        arguments = ("-c", *planned, "-np", 1, "-npfp", 1, "--verify_dataset_integrity")
        self.run("plan and preprocess", "nnUNetv2_plan_and_preprocess", "-d", self.identifier, *arguments)
        self.runner.check(self.key, "write small plans", self._write_small_plans)
        dataset = ("-d", self.identifier)
        if "3d_lowres" in self.configurations:
            arguments = (*dataset, "-plans_name", SMALL_PLANS, "-c", "3d_lowres", "-np", 1)
            self.run("preprocess 3d_lowres", "nnUNetv2_preprocess", *arguments)
        arguments = (*dataset, "-p", SMALL_PLANS, "-o", PLANS, "-tr", self.runner.trainer)
        # So that a few steps meet every loss.
        settings = [f"{name}={json.dumps(value)}" for name, value in FULL_WEIGHTS_AT_ONCE.items()]
        self.run("dycon plan", "nnunetv2_dycon", "plan", *arguments, "-c", *self.configurations, *settings)
        ahead = [name for name in self.configurations if name != "3d_cascade_fullres"]
        self.run("dycon preprocess", "nnunetv2_dycon", "preprocess", *dataset, "-p", PLANS, "-c", *ahead, "-np", 1)
        self.run("dycon doctor", "nnunetv2_dycon", "doctor", *dataset, "-p", PLANS, "-c", self.configurations[0])

    def _write_small_plans(self) -> None:
        plans = json.loads((self.preprocessed / "nnUNetPlans.json").read_text())
        write_small_plans(self.preprocessed, plans, SMALL_PLANS, low_resolution="3d_lowres" in self.configurations)

    def split_in_halves(self) -> None:
        """Write two folds that validate all labeled cases, since the cascade needs predictions of each."""
        file_ending = json.loads((self.raw / "dataset.json").read_text())["file_ending"]
        cases = list(case_names(self.raw / "labelsTr", file_ending))
        halves = cases[::2], cases[1::2]
        splits = [{"train": train, "val": val} for train, val in (halves, halves[::-1])]
        (self.preprocessed / "splits_final.json").write_text(json.dumps(splits))

    def train(self, configuration: str, fold: object, *flags: object, step: str | None = None) -> None:
        """Train one fold."""
        arguments = (self.identifier, configuration, fold, "-tr", self.runner.trainer, "-p", PLANS)
        step = step or f"train {configuration} fold {fold}"
        self.run(step, "nnUNetv2_train", *arguments, "-device", self.runner.device, *flags)

    def predict(self, configuration: str, *flags: object, images: str = "imagesTs", name: str | None = None) -> None:
        """Predict the test scans with all folds."""
        model = ("-d", self.identifier, "-c", configuration, "-tr", self.runner.trainer, "-p", PLANS, "-f", *self.folds)
        if configuration == "3d_cascade_fullres":
            flags = (*flags, "-prev_stage_predictions", self.prediction("3d_lowres"))
        name = name or configuration
        files = ("-i", self.raw / images, "-o", self.prediction(name), "--save_probabilities", "--disable_tta")
        self.run(
            f"predict {name}", "nnUNetv2_predict", *model, *files, "-device", self.runner.device, *FEW_PROCESSES, *flags
        )

    def evaluate(self, name: str) -> None:
        """Evaluate a folder of predictions, and see that every test case has a Dice."""
        model = self.model(self.configurations[0])
        files = ("-djfile", model / "dataset.json", "-pfile", model / "plans.json")
        folder = self.prediction(name)
        self.run(f"evaluate {name}", "nnUNetv2_evaluate_folder", self.raw / "labelsTs", folder, *files, "-np", 1)
        self.runner.check(self.key, f"scores of {name}", lambda: self._check_scores(folder))

    def _check_scores(self, folder: Path) -> None:
        summary = json.loads((folder / "summary.json").read_text())
        dataset_json = json.loads((self.raw / "dataset.json").read_text())
        predicted = {Path(case["prediction_file"]).name for case in summary["metric_per_case"]}
        assert predicted == {file.name for file in (self.raw / "labelsTs").glob(f"*{dataset_json['file_ending']}")}
        dice = [scores["Dice"] for scores in summary["mean"].values()]
        assert len(dice) == len(dataset_json["labels"]) - 1 - ("ignore" in dataset_json["labels"]), dice
        assert all(math.isfinite(value) for value in dice), dice


def run_whole_chain(chain: Chain) -> None:
    """nnU-Net's own integration test with a semi-supervised trainer: from planning to evaluated postprocessing."""
    chain.plan()
    chain.runner.check(chain.key, "two folds", chain.split_in_halves)
    for configuration in chain.configurations:
        for fold in chain.folds:
            chain.train(configuration, fold, "--npz")
            log = chain.model(configuration) / f"fold_{fold}"
            chain.runner.check(chain.key, f"log of {configuration} fold {fold}", lambda log=log: _check_log(log))
    model = ("-p", PLANS, "-tr", chain.runner.trainer)
    best = ("-c", *chain.configurations, *model, "-f", *chain.folds, "-np", 1)
    chain.run("find best configuration", "nnUNetv2_find_best_configuration", chain.identifier, *best)
    for configuration in chain.configurations:
        chain.predict(configuration)
    merged = chain.configurations[0]
    if len(chain.configurations) > 1:
        merged = "ensemble"
        members = [chain.prediction(configuration) for configuration in chain.configurations]
        chain.run("ensemble", "nnUNetv2_ensemble", "-i", *members, "-o", chain.prediction(merged), "-np", 1)
    file, plans = _postprocessing(chain)
    folders = ("-i", chain.prediction(merged), "-o", chain.prediction("postprocessed"))
    arguments = (*folders, "-pp_pkl_file", file, "-plans_json", plans, "-np", 1)
    chain.run("apply postprocessing", "nnUNetv2_apply_postprocessing", *arguments)
    chain.evaluate("postprocessed")


def _postprocessing(chain: Chain) -> tuple[str, str]:
    """What nnU-Net found best: file of the postprocessing, and plans."""
    file = chain.runner.results / chain.dataset / "inference_information.json"
    if not file.is_file():
        return "postprocessing.pkl", "plans.json"
    best = json.loads(file.read_text())["best_model_or_ensemble"]
    return best["postprocessing_file"], best["some_plans_file"]


def _check_log(folder: Path) -> None:
    """The training was semi-supervised: it had unlabeled cases, and its losses are finite."""
    (file,) = folder.glob("training_log_*.txt")
    text = file.read_text()
    expected = f"{LABELED // 2} labeled and {UNLABELED} unlabeled training cases"
    assert expected in text, f"{file} does not say {expected!r}"
    assert " nan" not in text.split("Epoch 0")[1].lower().replace("dice", ""), f"{file} has a loss that is no number"


def write_small_plans(folder: Path, plans: dict[str, Any], identifier: str, *, low_resolution: bool = False) -> None:
    """Write plans with small patches and networks, for a CPU; nnU-Net plans no low resolution for small scans."""
    plans = json.loads(json.dumps(plans)) | {"plans_name": identifier}
    configurations = plans["configurations"]
    if low_resolution:
        full = configurations["3d_fullres"]
        spacing = full["spacing"]
        # As nnU-Net does: axes that are coarse already stay as they are.
        factors = [2 if value <= max(spacing) / 2 or max(spacing) < 2 * min(spacing) else 1 for value in spacing]
        sizes = zip(full["median_image_size_in_voxels"], factors, strict=True)
        configurations["3d_lowres"] = json.loads(json.dumps(full)) | {
            "data_identifier": f"{identifier}_3d_lowres",
            "spacing": [value * factor for value, factor in zip(spacing, factors, strict=True)],
            "median_image_size_in_voxels": [size / factor for size, factor in sizes],
            "next_stage": "3d_cascade_fullres",
        }
        configurations["3d_cascade_fullres"] = {"inherits_from": "3d_fullres", "previous_stage": "3d_lowres"}
    for name in configurations.keys() & BATCH_SIZE.keys():
        configurations[name]["batch_size"] = BATCH_SIZE[name]
        network = configurations[name]["architecture"]["arch_kwargs"]
        stages = range(network["n_stages"])
        network["features_per_stage"] = [min(FIRST_FEATURES * 2**stage, MOST_FEATURES) for stage in stages]
        cells = [math.prod(strides) for strides in zip(*network["strides"], strict=True)]
        halves = zip(configurations[name]["patch_size"], cells, strict=True)
        configurations[name]["patch_size"] = [max(2, math.ceil(size / 2 / cell)) * cell for size, cell in halves]
    (folder / f"{identifier}.json").write_text(json.dumps(plans, indent=1))
