"""DyCON whose FeCL sees the hidden labels: what the released code does, to measure what that is worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from nnunetv2.training.dataloading.data_loader import nnUNetDataLoader
from nnunetv2.training.dataloading.nnunet_dataset import nnUNetDatasetBlosc2
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
from torch import Tensor

from benchmarks.label_efficiency.runs import read_json_file
from nnunetv2_dycon.datasets.raw_dataset import read_labeled_dataset
from nnunetv2_dycon.datasets.simulate import RECORD
from nnunetv2_dycon.exceptions import UnsupportedFeatureError
from nnunetv2_dycon.losses.cell_labels import CellLabels, cell_labels_from_probabilities
from nnunetv2_dycon.losses.label_space import Classes, LabelSpace
from nnunetv2_dycon.methods.dycon import DyCON, PastedTask
from nnunetv2_dycon.methods.dycon_settings import DyCONSettings
from nnunetv2_dycon.methods.method import Guidance, LabeledBatch
from nnunetv2_dycon.preprocessing.prepare_unlabeled_data import UnlabeledData
from nnunetv2_dycon.training.trainer import nnUNetTrainerSemiSupervised
from nnunetv2_dycon.training.unlabeled_stream import (
    make_unlabeled_loader,
    nnUNetTwoViewDataLoader,
    nnUNetUnlabeledDataset,
)
from nnunetv2_dycon.views.copy_paste import next_ones
from nnunetv2_dycon.views.two_views import TwoViewsTransform


def write_hidden_labels(
    raw: Path, plans: dict[str, Any], configuration_name: str, dataset_json: dict[str, Any], folder: Path
) -> None:
    """Preprocess the unlabeled cases with their labels, into a folder that no other arm knows.

    Args:
        raw: the raw dataset that the benchmark made; its record tells where the labels are.
        plans: of the training.
        configuration_name: of the plans.
        dataset_json: the dataset's dataset.json.
        folder: where to; cases that are there are left.
    """
    record = read_json_file(raw / RECORD)
    source = read_labeled_dataset(Path(record["source"]))
    plans_manager = PlansManager(plans)
    configuration = plans_manager.get_configuration(configuration_name)
    preprocessor = configuration.preprocessor_class(verbose=False)
    folder.mkdir(exist_ok=True)
    for name in record["unlabeled"]:
        case = source.cases[name]
        # Written last of a case.
        if not (folder / f"{name}.pkl").is_file():
            preprocessor.run_case_save(
                str(folder / name),
                [str(image) for image in case.images],
                str(case.label),
                plans_manager,
                configuration,
                dataset_json,
            )


@dataclass(frozen=True)
class OracleTask(PastedTask):
    """A task whose unlabeled voxels have their true class.

    Attributes:
        truth: (B, C, *patch), one-hot, float32.
        unknown: (B, 1, *patch) booleans, true where there is the ignore label.
    """

    truth: Tensor = field(kw_only=True)
    unknown: Tensor = field(kw_only=True)


class DyCONOracle(DyCON):
    """DyCON with the true classes of the unlabeled cells in FeCL. For the benchmark only: no fair method.

    Attributes:
        hidden_target: of the unlabeled batch of this step, (B, 1, *patch); the trainer sets it.
    """

    hidden_target: Tensor

    def __init__(self, settings: DyCONSettings, labels: LabelSpace, *, batch_dice: bool = False) -> None:
        if not isinstance(labels, Classes):
            raise UnsupportedFeatureError("the oracle arm does not support region-based training")
        super().__init__(settings, labels, batch_dice=batch_dice)

    def task(self, strong: Tensor, guidance: Guidance, labeled: LabeledBatch) -> OracleTask:
        """As in DyCON, with the hidden labels. See DyCON."""
        task = super().task(strong, guidance, labeled)
        truth, unknown = self.labels.reference_logits(self.hidden_target, guidance.teacher.logits.shape[1])
        truth = (truth > 0).float()
        if unknown is None:
            unknown = torch.zeros_like(truth[:, :1], dtype=torch.bool)
        if task.moved is not None:
            partners = next_ones(len(truth), truth.device)
            truth = torch.where(task.moved, truth[partners], truth)
            unknown = torch.where(task.moved, unknown[partners], unknown)
        if task.labeled is not None:
            # Labeled patches were pasted there, and the logits are their labels.
            truth = torch.where(task.labeled, task.teacher.logits.float().softmax(1), truth)
            unknown = unknown & ~task.labeled
        if task.ignored is not None:
            unknown = unknown | task.ignored
        return OracleTask(
            task.patches, task.teacher, task.moved, task.labeled, task.ignored, truth=truth, unknown=unknown
        )

    def unlabeled_cell_labels(self, probabilities: Tensor, cells: Sequence[int], task: PastedTask) -> CellLabels:
        """The true classes. See DyCON."""
        assert isinstance(task, OracleTask)
        return cell_labels_from_probabilities(task.truth, cells, self.labels, task.unknown)


class nnUNetTrainerDyCONOracle(nnUNetTrainerSemiSupervised):
    """The trainer of :class:`DyCONOracle`.

    Attributes:
        hidden_labels_folder: see :func:`write_hidden_labels`; set before a trainer is made.
    """

    method_class = DyCONOracle
    hidden_labels_folder: Path | None = None

    def make_unlabeled_loader(self, data: UnlabeledData) -> nnUNetTwoViewDataLoader:
        """With the labels in the crops. See nnUNetTrainerSemiSupervised."""
        dataset = OracleDataset(str(data.folder), data.identifiers, self.hidden_labels_folder)
        return make_unlabeled_loader(self, dataset, self.settings, OracleDataLoader, OracleViewsTransform)

    def next_unlabeled_batch(self) -> dict:
        """Give the method the target of the batch. See nnUNetTrainerSemiSupervised."""
        batch = super().next_unlabeled_batch()
        self.method.hidden_target = batch["target"].to(self.device, non_blocking=True)
        return batch


class OracleDataset(nnUNetUnlabeledDataset):
    """Unlabeled cases with their labels.

    Args:
        folder: of the preprocessed unlabeled cases.
        identifiers: the cases to use.
        hidden_labels_folder: see :func:`write_hidden_labels`.
    """

    def __init__(self, folder: str, identifiers: list[str], hidden_labels_folder: Path) -> None:
        super().__init__(folder, identifiers)
        self.hidden_labels = nnUNetDatasetBlosc2(str(hidden_labels_folder), identifiers)

    def load_case(self, identifier: str) -> tuple:
        """See nnUNetUnlabeledDataset; the segmentation is the hidden one."""
        image, _, previous, properties = super().load_case(identifier)
        return image, self.hidden_labels.load_case(identifier)[1], previous, properties


class OracleViewsTransform(TwoViewsTransform):
    """The two views, and the labels after the same spatial transform."""

    def apply(self, data_dict: dict, **params: object) -> dict:
        """Make the views; see TwoViewsTransform."""
        crop = self.spatial(**data_dict)
        views = [crop["image"], self.strong(image=crop["image"].clone())["image"]]
        views = [self.masking(**{**crop, "image": view})["image"] for view in views]
        # Outside of the scan there is background.
        return {"image": torch.cat(views), "segmentation": crop["segmentation"].clamp_min(0)}


class OracleDataLoader(nnUNetTwoViewDataLoader):
    """The unlabeled loader, whose batches keep their target."""

    def generate_train_batch(self) -> dict:
        """See nnUNetDataLoader.generate_train_batch."""
        return nnUNetDataLoader.generate_train_batch(self)
