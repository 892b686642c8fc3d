"""Fixtures: the shared reference data, and a tiny planned dataset with trainers on it."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

# nnU-Net reads these when it is imported. No worker processes: batches are then reproducible within a process.
os.environ.update(
    {
        "nnUNet_n_proc_DA": "0",
        "nnUNet_def_n_proc": "1",
        "nnUNet_compile": "f",
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",
        "MATPLOTLIBRC": str(Path(__file__).with_name("matplotlibrc")),
    }
)

import matplotlib as mpl
import numpy as np
import pytest
import torch
from batchgeneratorsv2.transforms.noise.gaussian_blur import GaussianBlurTransform, blur_dimension
from filelock import FileLock
from nnunetv2.training.logging.nnunet_logger import LocalLogger
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from nnunetv2_dycon.datasets.planned_dataset import read_planned_dataset
from nnunetv2_dycon.demo.dataset import write_demo_dataset
from nnunetv2_dycon.files import written_aside
from nnunetv2_dycon.preprocessing.prepare_unlabeled_data import (
    UnlabeledData,
    prepare_unlabeled_data,
    unlabeled_data_folder,
)
from tests.cascade import trained_low_resolution as trained_low_resolution
from tests.command_server import run_command
from tests.scratch_environment import link_dependencies
from tests.small_plans import shrink

torch.set_num_threads(1)

DATASET_NAME = "Dataset501_Tiny"
SMALL_PLANS = "nnUNetPlansSmall"
PATCH_SIZE = {"3d_fullres": (16, 24, 16), "2d": (32, 32)}

SHORT_TRAINERS = """
import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2_dycon.trainers import nnUNetTrainerDyCON


def short(base, name, num_epochs):
    class Trainer(base):
        def __init__(self, plans, configuration, fold, dataset_json, device=torch.device("cuda")):
            super().__init__(plans, configuration, fold, dataset_json, device)
            self.num_epochs = num_epochs
            self.num_iterations_per_epoch = 3
            self.num_val_iterations_per_epoch = 1
            self.save_every = 1

    Trainer.__name__ = Trainer.__qualname__ = name
    return Trainer


nnUNetTrainerShort = short(nnUNetTrainer, "nnUNetTrainerShort", 2)
nnUNetTrainerDyCONShort = short(nnUNetTrainerDyCON, "nnUNetTrainerDyCONShort", 2)
"""


MANY_TESTS = 200  # in a file


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run what takes long first, so that no core waits for another one's last file: see ``make test``.

    That is the file with hundreds of command lines, and then files by their number of tests: those with few tests
    hold whole trainings.
    """
    sizes = Counter(item.path for item in items)
    items.sort(key=lambda item: (sizes[item.path] < MANY_TESTS, sizes[item.path], item.path))


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Commands that predict take all cores, also where a test runs them in this process."""
    yield
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def shared_folder() -> Path:
    """The folder with reference values and real data sets, which is not part of the repository."""
    default = Path(__file__).resolve().parents[2] / "shared"
    folder = Path(os.environ.get("NNUNETV2_DYCON_SHARED", default))
    if not (folder / "golden").is_dir():
        pytest.skip(f"no reference data in {folder}; name their folder in NNUNETV2_DYCON_SHARED")
    return folder


@pytest.fixture(scope="session")
def dependencies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all that the test environment has installed, except this package."""
    folder = tmp_path_factory.mktemp("dependencies")
    link_dependencies(folder)
    return folder


@dataclass(frozen=True)
class Workspace:
    """nnU-Net's three folders with one tiny dataset, planned and preprocessed."""

    root: Path

    @property
    def raw(self) -> Path:
        return self.root / "nnUNet_raw" / DATASET_NAME

    @property
    def preprocessed(self) -> Path:
        return self.root / "nnUNet_preprocessed" / DATASET_NAME

    @property
    def results(self) -> Path:
        return self.root / "nnUNet_results" / DATASET_NAME

    @property
    def environment(self) -> dict[str, str]:
        folders = {name: str(self.root / name) for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")}
        registered = os.environ.get("nnUNet_extTrainer", "")
        trainers = os.pathsep.join(filter(None, [str(self.root / "trainers"), registered]))
        return {**os.environ, **folders, "nnUNet_extTrainer": trainers, "nnUNet_n_proc_DA": "1"}

    def read_plans(self, identifier: str = SMALL_PLANS) -> dict:
        return json.loads((self.preprocessed / f"{identifier}.json").read_text())

    def write_plans(self, plans: dict, identifier: str) -> None:
        plans["plans_name"] = identifier
        (self.preprocessed / f"{identifier}.json").write_text(json.dumps(plans))

    def write_settings(self, identifier: str, configuration: str = "3d_fullres", **settings: object) -> None:
        """Small plans with settings of DyCON."""
        plans = self.read_plans()
        plans["configurations"][configuration]["dycon"] = settings
        self.write_plans(plans, identifier)

    def unlabeled_folder(self, configuration: str = "3d_fullres", plans: str = SMALL_PLANS) -> Path:
        """Where preprocessed unlabeled cases lie."""
        dataset = read_planned_dataset(self.raw.name, plans)
        return unlabeled_data_folder(dataset.plans_manager, dataset.configuration(configuration))

    def read_dataset_json(self) -> dict:
        return json.loads((self.preprocessed / "dataset.json").read_text())

    def write_dataset_json(self, dataset_json: dict) -> None:
        for folder in (self.raw, self.preprocessed):
            (folder / "dataset.json").write_text(json.dumps(dataset_json))

    def write_labels(self, *, regions: bool = False, ignores: bool = False) -> None:
        """Say that labels 1 and 2 make two nested regions, or that there is an ignore label, 3."""
        dataset_json = self.read_dataset_json()
        if regions:
            dataset_json["labels"] = {"background": 0, "whole": [1, 2], "inner": 2}
            dataset_json["regions_class_order"] = [1, 2]
        if ignores:
            dataset_json["labels"]["ignore"] = 3
        self.write_dataset_json(dataset_json)

    def write_splits(self, *splits: dict[str, list[str]]) -> None:
        (self.preprocessed / "splits_final.json").write_text(json.dumps(splits))

    def run(self, command: str, *arguments: object, expect: int = 0) -> str:
        """Run an installed command, as a user would; returns its output."""
        exit_code, output = run_command(command, [str(argument) for argument in arguments], self.environment)
        assert exit_code == expect, output
        return output


def _write_small_plans(workspace: Workspace) -> None:
    plans = workspace.read_plans("nnUNetPlans")
    for name, patch_size in PATCH_SIZE.items():
        shrink(plans["configurations"][name], patch_size)
    workspace.write_plans(plans, SMALL_PLANS)


def _plan_workspace(root: Path) -> None:
    workspace = Workspace(root)
    write_demo_dataset(workspace.raw, labeled=6, unlabeled=4, test=2, shape=(20, 28, 24))
    for folder in ("nnUNet_preprocessed", "nnUNet_results", "trainers"):
        (root / folder).mkdir()
    (root / "trainers" / "short_trainers.py").write_text(SHORT_TRAINERS)
    workspace.run("nnUNetv2_plan_and_preprocess", "-d", 501, "-c", "3d_fullres", "2d", "-np", 1, 1, "-npfp", 1)
    _write_small_plans(workspace)


@pytest.fixture(scope="session")
def _planned_workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Planned once, also where several processes run the tests: their folders lie in one."""
    own = tmp_path_factory.getbasetemp()
    shared = own if "PYTEST_XDIST_WORKER" not in os.environ else own.parent
    root = shared / "planned"
    with FileLock(shared / "planned.lock"):
        if not root.is_dir():
            with written_aside(root) as partial:
                _plan_workspace(partial)
    return Workspace(root)


@pytest.fixture
def workspace(_planned_workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A copy of the planned dataset that the test may change; nnU-Net's variables point to it.

    ``demo_000`` to ``demo_005`` are labeled, ``demo_006`` to ``demo_009`` unlabeled, ``demo_010`` and ``demo_011`` for
    testing. Fold 0 trains on four cases and validates on two.
    """
    shutil.copytree(_planned_workspace.root, tmp_path / "nnunet")
    copy = Workspace(tmp_path / "nnunet")
    copy.write_splits({"train": [f"demo_{i:03d}" for i in range(4)], "val": ["demo_004", "demo_005"]})
    for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results", "nnUNet_extTrainer"):
        monkeypatch.setenv(name, copy.environment[name])
    return copy


@pytest.fixture
def _blur_without_benchmark(monkeypatch: pytest.MonkeyPatch) -> None:
    """nnU-Net's blur chooses between two ways by their measured time, which round differently."""
    monkeypatch.setattr(
        GaussianBlurTransform, "_benchmark_wrapper", lambda _, image, sigma, axis: blur_dimension(image, sigma, axis)
    )


@pytest.fixture
def make_trainer(workspace: Workspace, _blur_without_benchmark: None) -> Callable[..., nnUNetTrainer]:
    """A function that builds a trainer on the workspace as ``nnUNetv2_train`` does, short and on the CPU."""

    def make(
        trainer_class: type[nnUNetTrainer],
        plans: str = SMALL_PLANS,
        configuration: str = "3d_fullres",
        fold: int | str = 0,
        *,
        seed: int = 0,
        num_epochs: int = 2,
        continue_training: bool = False,
    ) -> nnUNetTrainer:
        np.random.seed(seed)  # noqa: NPY002 (nnU-Net's loaders draw from it)
        torch.manual_seed(seed)
        plans_dict = {**workspace.read_plans(plans), "continue_training": continue_training}
        trainer = trainer_class(plans_dict, configuration, fold, workspace.read_dataset_json(), torch.device("cpu"))
        trainer.num_epochs, trainer.num_iterations_per_epoch, trainer.num_val_iterations_per_epoch = num_epochs, 3, 1
        return trainer

    return make


@pytest.fixture
def prepare_unlabeled(workspace: Workspace) -> Callable[..., UnlabeledData]:
    """A function that makes the unlabeled data of the workspace ready, as a training does at its start."""

    def prepare(plans: str = SMALL_PLANS, *, off_limits: Sequence[str] = ()) -> UnlabeledData:
        dataset = read_planned_dataset(workspace.raw.name, plans)
        configuration = dataset.configuration("3d_fullres")
        return prepare_unlabeled_data(dataset.plans_manager, configuration, dataset.dataset_json, off_limits, 1)

    return prepare


@pytest.fixture
def progress_png_drawn(tmp_path: Path) -> Iterator[None]:
    """As after nnU-Net has drawn its progress.png, which leaves its large letters in Matplotlib's settings."""
    logger = LocalLogger()
    for key, values in logger.my_fantastic_logging.items():
        values.append([0.5] if key == "dice_per_class_or_region" else 0.5)
    with mpl.rc_context():
        logger.plot_progress_png(str(tmp_path))
        yield
