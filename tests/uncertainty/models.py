"""Model folders with networks that were not trained, whose predictions are as uncertain as can be."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from batchgenerators.utilities.file_and_folder_operations import save_json
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from nnunetv2_dycon.uncertainty.predictor import nnUNetMemberPredictor
from tests.conftest import Workspace

CASES = ("demo_010", "demo_011")
CHECKPOINT = "checkpoint_final.pth"


def write_model(
    workspace: Workspace,
    configuration: str = "3d_fullres",
    *,
    trainer_class: type[nnUNetTrainer] = nnUNetTrainer,
    num_folds: int = 2,
    mirrored_axes: tuple[int, ...] = (0, 1),
) -> Path:
    """Write a model as nnUNetv2_train leaves it, each fold with weights of its own; returns its folder."""
    plans, dataset_json = workspace.read_plans(), workspace.read_dataset_json()
    for fold in range(num_folds):
        torch.manual_seed(fold)
        arguments = ({**plans, "continue_training": False}, configuration, fold, dataset_json, torch.device("cpu"))
        trainer = trainer_class(*arguments)
        trainer.initialize()
        trainer.inference_allowed_mirroring_axes = mirrored_axes
        trainer.save_checkpoint(str(Path(trainer.output_folder) / CHECKPOINT))
    folder = Path(trainer.output_folder_base)
    # Regions have the order in which they stand there.
    save_json(plans, str(folder / "plans.json"), sort_keys=False)
    save_json(dataset_json, str(folder / "dataset.json"), sort_keys=False)
    return folder


def train_again(model: Path, fold: int = 0) -> None:
    """Give a fold other weights, as another training would."""
    file = model / f"fold_{fold}" / CHECKPOINT
    checkpoint = torch.load(file, weights_only=False)
    next(iter(checkpoint["network_weights"].values())).mul_(1.1)
    torch.save(checkpoint, file)


def predict_with_nnunet(
    workspace: Workspace, model: Path, output: Path, folds: tuple[int, ...] = (0, 1), *, use_mirroring: bool = True
) -> None:
    """Predict the test cases with nnU-Net's own predictor, with probabilities."""
    output.mkdir()
    predictor = nnUNetPredictor(
        use_mirroring=use_mirroring,
        perform_everything_on_device=False,
        device=torch.device("cpu"),
        allow_tqdm=False,
    )
    predictor.initialize_from_trained_model_folder(str(model), folds, CHECKPOINT)
    scans = [[str(workspace.raw / "imagesTs" / f"{case}_0000.nii.gz")] for case in CASES]
    outputs = [str(output / case) for case in CASES]
    predictor.predict_from_files_sequential(scans, outputs, save_probabilities=True)


def preprocess_in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spare the member predictor the processes that preprocess, each of which imports everything again."""

    def iterate(
        self: nnUNetMemberPredictor, scans: list[list[str]], previous: list[str | None], outputs: list[str], _: int
    ) -> Iterator[dict[str, Any]]:
        preprocessor = self.configuration_manager.preprocessor_class(verbose=False)
        managers = (self.plans_manager, self.configuration_manager, self.dataset_json)
        for files, stage, output in zip(scans, previous, outputs, strict=True):
            data, _, properties = preprocessor.run_case(files, stage, *managers)
            yield {"data": torch.from_numpy(data), "data_properties": properties, "ofile": output}

    monkeypatch.setattr(nnUNetMemberPredictor, "_internal_get_data_iterator_from_lists_of_filenames", iterate)
