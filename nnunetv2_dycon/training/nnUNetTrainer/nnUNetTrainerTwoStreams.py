"""First layer of the semi-supervised trainers: settings and the unlabeled stream."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import torch
from nnunetv2.configuration import default_num_processes
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from nnunetv2_dycon.datasets.splits import off_limits_cases
from nnunetv2_dycon.exceptions import UnsupportedFeatureError, UserError, print_user_errors_without_traceback
from nnunetv2_dycon.preprocessing.prepare_unlabeled_data import UnlabeledData, prepare_unlabeled_data
from nnunetv2_dycon.training.data_augmentation.two_views import TwoViewsTransform
from nnunetv2_dycon.training.dataloading.two_view_data_loader import nnUNetTwoViewDataLoader
from nnunetv2_dycon.training.dataloading.unlabeled_dataset import nnUNetUnlabeledDataset
from nnunetv2_dycon.training.dataloading.unlabeled_stream import UnlabeledStream
from nnunetv2_dycon.training.settings import SemiSupervisedSettings


class nnUNetTrainerTwoStreams(nnUNetTrainer):
    """nnUNetTrainer with settings from the plans and an unlabeled stream beside the labeled one.

    The labeled stream is nnU-Net's own and untouched.

    Attributes:
        settings_section: the key of a configuration in the plans that holds the settings.
        settings_class: the dataclass of the settings.
    """

    settings_section: str = "semi_supervised"
    settings_class: type[SemiSupervisedSettings] = SemiSupervisedSettings

    def __init__(
        self,
        plans: dict,
        configuration: str,
        fold: int,
        dataset_json: dict,
        device: torch.device = torch.device("cuda"),  # noqa: B008 (nnU-Net reads this signature)
    ) -> None:
        print_user_errors_without_traceback()
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.settings = self.settings_class.from_configuration(
            self.configuration_manager.configuration.get(self.settings_section),
            f"configurations/{configuration}/{self.settings_section} of {self.plans_manager.plans_name}.json",
        )
        self.unlabeled_data: UnlabeledData | None = None  # -> on_train_start
        self.unlabeled_stream: UnlabeledStream | None = None  # -> get_dataloaders

    @property
    def needs_unlabeled_data(self) -> bool:
        """Whether the training draws unlabeled batches at all."""
        return True

    def initialize(self) -> None:
        """Refuse what is not supported, then build. See nnUNetTrainer.initialize.

        Raises:
            UnsupportedFeatureError: for several GPUs and for cascades.
            UserError: when the labeled cases are not preprocessed.
        """
        if self.is_ddp:
            raise UnsupportedFeatureError(f"{type(self).__name__} does not support -num_gpus above 1 yet: use one GPU.")
        if self.is_cascaded:
            raise UnsupportedFeatureError(
                f"{type(self).__name__} does not support cascades yet, since unlabeled scans have no segmentation of "
                "a previous stage: train 3d_fullres or 3d_lowres."
            )
        if not Path(self.preprocessed_dataset_folder).is_dir():
            raise UserError(
                f"{self.preprocessed_dataset_folder} is not there: the labeled cases are not preprocessed. Run "
                f"nnUNetv2_preprocess with -c {self.configuration_name} -plans_name {self.plans_manager.plans_name}."
            )
        super().initialize()
        self.print_to_log_file(f"Settings of {type(self).__name__}:\n{self.settings.describe()}", add_timestamp=False)
        self.logger.update_config({self.settings_section: dataclasses.asdict(self.settings)})

    def on_train_start(self) -> None:
        """Check and prepare everything that could stop a training later. See nnUNetTrainer.on_train_start."""
        if not self.was_initialized:
            self.initialize()
        self._refuse_results_of_other_settings()
        if self.needs_unlabeled_data:
            self.unlabeled_data = self._prepare_unlabeled_data()
        super().on_train_start()

    def on_train_end(self) -> None:
        """See nnUNetTrainer.on_train_end."""
        super().on_train_end()
        if self.unlabeled_stream is not None:
            self.unlabeled_stream.close()

    def refuse_other_settings(self, there: dict, place: str) -> None:
        """Refuse to go on where other settings were in force.

        Args:
            there: these settings, as ``dataclasses.asdict`` gives them.
            place: the file or folder they come from.

        Raises:
            UserError: naming each setting that differs.
        """
        differences = self.settings.differences(there)
        if differences:
            raise UserError(
                f"{place} holds results of other settings ({'; '.join(differences)}), and results of different "
                'settings must not share a folder. Make plans of another name with "nnunetv2_dycon plan" and train '
                "with -p, or remove that folder."
            )

    def _refuse_results_of_other_settings(self) -> None:
        plans_file = Path(self.output_folder_base) / "plans.json"
        if plans_file.is_file():
            configuration = json.loads(plans_file.read_text())["configurations"].get(self.configuration_name, {})
            there = self.settings_class.from_configuration(configuration.get(self.settings_section), str(plans_file))
            self.refuse_other_settings(dataclasses.asdict(there), self.output_folder_base)

    def _prepare_unlabeled_data(self) -> UnlabeledData:
        tr_keys, val_keys = self.do_split()
        data = prepare_unlabeled_data(
            self.plans_manager,
            self.configuration_manager,
            self.dataset_json,
            off_limits_cases(Path(self.preprocessed_dataset_folder_base) / "splits_final.json", self.fold),
            default_num_processes,
            self.print_to_log_file,
        )
        self.print_to_log_file(
            f"{len(tr_keys)} labeled and {len(data.identifiers)} unlabeled training cases, {len(val_keys)} validation "
            "cases."
        )
        return data

    def get_dataloaders(self) -> tuple:
        """nnU-Net's loaders; the unlabeled stream is started beside. See nnUNetTrainer.get_dataloaders."""
        loaders = super().get_dataloaders()
        if self.needs_unlabeled_data:
            self.unlabeled_stream = self._start_unlabeled_stream()
        return loaders

    def _start_unlabeled_stream(self) -> UnlabeledStream:
        patch_size = self.configuration_manager.patch_size
        use_mask_for_norm = self.configuration_manager.use_mask_for_norm
        rotation, dummy_2d, initial_patch_size, mirror_axes = (
            self.configure_rotation_dummyDA_mirroring_and_inital_patch_size()
        )
        training_transforms = self.get_training_transforms(
            patch_size, rotation, None, mirror_axes, dummy_2d, use_mask_for_norm=use_mask_for_norm
        )
        loader = nnUNetTwoViewDataLoader(
            nnUNetUnlabeledDataset(
                str(self.unlabeled_data.folder), self.unlabeled_data.identifiers, any(use_mask_for_norm)
            ),
            self.settings.unlabeled_batch_size or self.batch_size,
            initial_patch_size,
            patch_size,
            self.label_manager,
            transforms=TwoViewsTransform(training_transforms, self.settings.strong_view_probability),
        )
        stream = UnlabeledStream(loader, pin_memory=self.device.type == "cuda")
        # As nnU-Net does: what goes wrong in a worker shows here.
        next(stream)
        return stream
