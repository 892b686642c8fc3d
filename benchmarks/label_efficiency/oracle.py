"""DyCON whose FeCL sees the hidden labels: what the released code does, to measure what that is worth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from nnunetv2.training.dataloading.data_loader import nnUNetDataLoader
from nnunetv2.training.dataloading.nnunet_dataset import nnUNetDatasetBlosc2
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
from torch import Tensor
from torch.nn import functional

from benchmarks.label_efficiency.presets import CONFIGURATION
from benchmarks.label_efficiency.runs import read_json_file
from nnunetv2_dycon.dataset_conversion.simulate import RECORD
from nnunetv2_dycon.dataset_conversion.source_dataset import read_source_dataset
from nnunetv2_dycon.exceptions import UnsupportedFeatureError
from nnunetv2_dycon.training.data_augmentation.two_views import TwoViewsTransform
from nnunetv2_dycon.training.dataloading.two_view_data_loader import nnUNetTwoViewDataLoader
from nnunetv2_dycon.training.dataloading.unlabeled_dataset import nnUNetUnlabeledDataset
from nnunetv2_dycon.training.dataloading.unlabeled_stream import UnlabeledStream
from nnunetv2_dycon.training.loss.cell_labels import CellLabels, cell_labels_from_probabilities
from nnunetv2_dycon.training.network.network_output import NetworkOutput
from nnunetv2_dycon.training.nnUNetTrainer.nnUNetTrainerDyCON import nnUNetTrainerDyCON


def write_hidden_labels(raw: Path, plans: dict[str, Any], dataset_json: dict[str, Any], folder: Path) -> None:
    """Preprocess the unlabeled cases with their labels, into a folder that no other arm knows.

    Args:
        raw: the raw dataset that the benchmark made; its record tells where the labels are.
        plans: of the training.
        dataset_json: the dataset's dataset.json.
        folder: where to; cases that are there are left.
    """
    record = read_json_file(raw / RECORD)
    source = read_source_dataset(Path(record["source"]))
    plans_manager = PlansManager(plans)
    configuration = plans_manager.get_configuration(CONFIGURATION)
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


class nnUNetTrainerDyCONOracle(nnUNetTrainerDyCON):
    """DyCON with the true classes of the unlabeled cells in FeCL. For the benchmark only: no fair method.

    Attributes:
        hidden_labels_folder: see :func:`write_hidden_labels`; set before a trainer is made.
    """

    hidden_labels_folder: Path | None = None

    def initialize(self) -> None:
        """See nnUNetTrainerDyCON.

        Raises:
            UnsupportedFeatureError: for region-based training.
        """
        if self.label_manager.has_regions:
            raise UnsupportedFeatureError("the oracle arm does not support region-based training")
        super().initialize()

    def _start_unlabeled_stream(self) -> UnlabeledStream:
        """As nnUNetTrainerTwoStreams does, with the labels in the crops."""
        patch_size = self.configuration_manager.patch_size
        rotation, dummy_2d, initial_patch_size, mirror_axes = (
            self.configure_rotation_dummyDA_mirroring_and_inital_patch_size()
        )
        training_transforms = self.get_training_transforms(
            patch_size,
            rotation,
            None,
            mirror_axes,
            dummy_2d,
            use_mask_for_norm=self.configuration_manager.use_mask_for_norm,
        )
        loader = OracleDataLoader(
            OracleDataset(str(self.unlabeled_data.folder), self.unlabeled_data.identifiers, self.hidden_labels_folder),
            self.settings.unlabeled_batch_size or self.batch_size,
            initial_patch_size,
            patch_size,
            self.label_manager,
            transforms=OracleViewsTransform(training_transforms, self.settings.strong_view_probability),
        )
        stream = OracleStream(loader, pin_memory=self.device.type == "cuda")
        next(stream)
        return stream

    def unlabeled_losses(self, student: NetworkOutput, teacher: NetworkOutput) -> dict[str, Tensor]:
        """UnCL as in DyCON, FeCL with the true classes. See nnUNetTrainerDyCON."""
        target = self.unlabeled_stream.target.to(self.device)[:, 0].long()
        ignored = torch.zeros_like(target, dtype=torch.bool)
        if self.label_manager.ignore_label is not None:
            ignored = target == self.label_manager.ignore_label
            target = target.masked_fill(ignored, 0)
        num_labels = teacher.logits.shape[1]
        truth = functional.one_hot(target, num_labels).movedim(-1, 1).float()
        ignored = ignored[:, None]
        if teacher.labeled is not None:
            # The method has pasted labeled patches, whose labels the logits are there.
            truth = torch.where(teacher.labeled, teacher.logits.float().softmax(1), truth)
            ignored = ignored & ~teacher.labeled
        if teacher.ignored is not None:
            ignored = ignored | teacher.ignored
        self._truth, self._ignored = truth, ignored
        return super().unlabeled_losses(student, teacher)

    def _fecl(
        self,
        embeddings: Tensor,
        cell_labels: CellLabels,
        logits: Tensor,
        teacher_embeddings: Tensor | None = None,
        *further: Tensor | None,
    ) -> Tensor:
        # Only the unlabeled half has embeddings of the teacher.
        if teacher_embeddings is not None:
            cell_labels = cell_labels_from_probabilities(self._truth, embeddings.shape[2:], self._ignored)
        return super()._fecl(embeddings, cell_labels, logits, teacher_embeddings, *further)


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


class OracleStream(UnlabeledStream):
    """The unlabeled stream; ``target`` is that of the last batch."""

    target: Tensor | None = None

    def __next__(self) -> dict:
        """The next batch."""
        batch = super().__next__()
        self.target = batch["target"]
        return batch
