"""The adapter to nnU-Net: everything in which a semi-supervised training differs from nnU-Net's own.

What a method is lies in :mod:`nnunetv2_dycon.methods`, the step and its networks in
:mod:`nnunetv2_dycon.training.step` and :mod:`nnunetv2_dycon.training.students`.
"""

from __future__ import annotations

import dataclasses
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar

import torch
from nnunetv2.training.loss.deep_supervision import DeepSupervisionWrapper
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from torch import Tensor, nn
from torch._dynamo import OptimizedModule

from nnunetv2_dycon.exceptions import print_user_errors_without_traceback
from nnunetv2_dycon.methods.method import Method
from nnunetv2_dycon.methods.schedules import gaussian_rampup
from nnunetv2_dycon.networks.mean_teacher import borrowed_weights
from nnunetv2_dycon.preprocessing.prepare_unlabeled_data import UnlabeledData
from nnunetv2_dycon.training import start
from nnunetv2_dycon.training.checkpoints import (
    checkpoint_of,
    read_training_state,
    restore_training_state,
    write_checkpoint,
)
from nnunetv2_dycon.training.ignored_voxels import join_partly_labeled_cases, learnt_share
from nnunetv2_dycon.training.logger import SemiSupervisedLogger, panels_of
from nnunetv2_dycon.training.statistics import EpochStatistics, PseudoDice
from nnunetv2_dycon.training.step import TwoStreamStep
from nnunetv2_dycon.training.students import Students
from nnunetv2_dycon.training.unlabeled_stream import (
    UnlabeledStream,
    make_unlabeled_loader,
    nnUNetTwoViewDataLoader,
    nnUNetUnlabeledDataset,
)


class nnUNetTrainerSemiSupervised(nnUNetTrainer):
    """nnUNetTrainer with an unlabeled stream, further networks and the losses of a method.

    All else is nnU-Net's: the labeled stream, its augmentation, the supervised loss, optimizer and schedule are
    untouched, and a step whose unsupervised weights are all 0 is nnUNetTrainer's own. ``network_weights`` in
    checkpoints are the deployed network's (a setting), so that every command of nnU-Net works on them.

    Attributes:
        method_class: the method. The trainers of :mod:`nnunetv2_dycon.trainers` set it.
        training_length: number of epochs; None for nnU-Net's.
    """

    method_class: ClassVar[type[Method[Any, Any]]]
    training_length: ClassVar[int | None] = None

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
        if self.training_length is not None:
            self.num_epochs = self.training_length
        self.settings = start.read_settings(self, self.method_class)
        self.method = self.method_class(
            self.settings, start.label_space_of(self.label_manager), batch_dice=self.configuration_manager.batch_dice
        )
        self.students: Students  # -> initialize
        self.step: TwoStreamStep  # -> initialize
        self.unlabeled_data: UnlabeledData  # -> on_train_start
        self.unlabeled_stream: UnlabeledStream | None = None  # -> get_dataloaders
        self.steps_in_epoch = 0
        self.pseudo_dice = {"student": PseudoDice(), "teacher": PseudoDice()}
        panels = panels_of(self.method)
        self.statistics = EpochStatistics(name for names in panels.values() for name in names)
        panels = {"pseudo dice": tuple(f"{name}_pseudo_dice" for name in self.pseudo_dice), **panels}
        self.logger.local_logger = SemiSupervisedLogger(panels, self.logger.local_logger.verbose)

    # The state of the training

    @property
    def progress(self) -> float:
        """How much of the training is done, in [0, 1]."""
        return (self.current_epoch + self.steps_in_epoch / self.num_iterations_per_epoch) / self.num_epochs

    @property
    def ramp(self) -> float:
        """Factor on the unsupervised weights: 0 in the warm-up, then rising to 1, or to what is learnt."""
        since_warmup = self.progress - self.settings.warmup_fraction
        if since_warmup < 0:
            return 0.0
        return learnt_share(self, self.settings) * gaussian_rampup(since_warmup, self.settings.rampup_fraction)

    @property
    def needs_unlabeled_data(self) -> bool:
        """Whether any unsupervised term ever counts."""
        return any(weight > 0 for weight in self.method.term_weights().values())

    @property
    def student_network(self) -> nn.Module:
        """nnU-Net's network without the wrapper of torch.compile."""
        return self.network._orig_mod if isinstance(self.network, OptimizedModule) else self.network

    # Start

    def initialize(self) -> None:
        """Refuse what is not supported, then build networks, optimizer and step. See nnUNetTrainer.initialize."""
        start.refuse_what_is_not_supported(self)
        super().initialize()
        self.students = start.build_students(self, self.method)
        self.step = TwoStreamStep(self, self.students, self.method)
        self.print_to_log_file(f"Settings of {type(self).__name__}:\n{self.settings.describe()}", add_timestamp=False)
        self.logger.update_config({self.method.settings_section: dataclasses.asdict(self.settings)})

    def _build_loss(self) -> nn.Module:
        """The supervised loss: nnU-Net's, or the method's with nnU-Net's deep supervision. See nnUNetTrainer."""
        loss, own = super()._build_loss(), self.method.supervised_loss()
        if own is None:
            return loss
        if not isinstance(loss, DeepSupervisionWrapper):
            return own
        loss.loss = own
        return loss

    def on_train_start(self) -> None:
        """Check and prepare everything that could stop a training later. See nnUNetTrainer.on_train_start."""
        if not self.was_initialized:
            self.initialize()
        start.refuse_results_of_other_settings(self, self.method)
        if self.needs_unlabeled_data:
            self.unlabeled_data = start.prepare_unlabeled_cases(self, self.settings)
        if int(self.students.average.n_averaged) == 0:
            # -pretrained_weights are loaded after initialize.
            self.students.average.copy_student(self.students.averaged_modules)
        super().on_train_start()

    def get_dataloaders(self) -> tuple:
        """nnU-Net's loaders; the unlabeled stream is started beside. See nnUNetTrainer.get_dataloaders."""
        loaders = super().get_dataloaders()
        if self.needs_unlabeled_data:
            loader = self.make_unlabeled_loader(self.unlabeled_data)
            self.unlabeled_stream = UnlabeledStream(loader, pin_memory=self.device.type == "cuda")
            # As nnU-Net does: what goes wrong in a worker shows here.
            next(self.unlabeled_stream)
        return loaders

    def make_unlabeled_loader(self, data: UnlabeledData) -> nnUNetTwoViewDataLoader:
        """The loader of the unlabeled stream, on cases that are preprocessed."""
        needs_nonzero_mask = any(self.configuration_manager.use_mask_for_norm)
        dataset = nnUNetUnlabeledDataset(str(data.folder), data.identifiers, needs_nonzero_mask)
        if data.partly_labeled:
            dataset = join_partly_labeled_cases(dataset, self, data.partly_labeled)
        return make_unlabeled_loader(self, dataset, self.settings)

    # Training

    def on_train_epoch_start(self) -> None:
        """See nnUNetTrainer.on_train_epoch_start."""
        super().on_train_epoch_start()
        self.steps_in_epoch = 0

    def train_step(self, batch: dict) -> dict:
        """One step on a labeled and an unlabeled batch; nnUNetTrainer's own while all unsupervised weights are 0."""
        ramp = self.ramp
        weights = {term: ramp * weight for term, weight in self.method.term_weights().items()}
        result = None
        if any(weight > 0 for weight in weights.values()):
            step = self.step(*self._to_device(batch), self.next_views(), weights, self.progress)
            self.statistics.add_step(step, weights, self.method.least_supervised_loss)
        else:
            result = super().train_step(batch)
            if len(self.students) > 1:
                self.step.supervise_further_students(*self._to_device(batch))
        self.students.average.update_parameters(self.students.averaged_modules)
        self.steps_in_epoch += 1
        self.statistics.add("ramp", ramp)
        for term, weight in weights.items():
            self.statistics.add(f"{term}_weight", weight)
        # Read last, since it waits for the GPU.
        return result or {"loss": step.supervised_loss.cpu().numpy()}

    def next_views(self) -> Tensor:
        """The next unlabeled batch, (B, 2C, *patch): the weak view's channels, then the strong view's."""
        assert self.unlabeled_stream is not None
        return next(self.unlabeled_stream)["data"].to(self.device, non_blocking=True)

    def _to_device(self, batch: dict) -> tuple[Tensor, Tensor | list[Tensor]]:
        data = batch["data"].to(self.device, non_blocking=True)
        if isinstance(batch["target"], list):
            return data, [scale.to(self.device, non_blocking=True) for scale in batch["target"]]
        return data, batch["target"].to(self.device, non_blocking=True)

    def autocast_context(self) -> AbstractContextManager[Any]:
        """nnU-Net's choice: autocast on CUDA only. See nnUNetTrainer.train_step."""
        return torch.autocast(self.device.type, enabled=True) if self.device.type == "cuda" else nullcontext()

    def on_train_epoch_end(self, train_outputs: list[dict]) -> None:
        """See nnUNetTrainer.on_train_epoch_end."""
        super().on_train_epoch_end(train_outputs)
        for name, mean in self.statistics.pop_means().items():
            self.logger.log(name, mean, self.current_epoch)

    def on_epoch_end(self) -> None:
        """See nnUNetTrainer.on_epoch_end."""
        for title, names in self.logger.local_logger.panels.items():
            values = ", ".join(f"{name} {self.logger.get_value(name, step=-1):.4g}" for name in names)
            self.print_to_log_file(f"{title}: {values}")
        super().on_epoch_end()

    def on_train_end(self) -> None:
        """See nnUNetTrainer.on_train_end."""
        super().on_train_end()
        if self.unlabeled_stream is not None:
            self.unlabeled_stream.close()

    # Checkpoints

    def save_checkpoint(self, filename: str) -> None:
        """Write nnU-Net's checkpoint, with the deployed weights, and our state beside, at once or not at all.

        Replaces nnUNetTrainer.save_checkpoint of 2.8.1, whose file would have to be read and written again.
        """
        if self.disable_checkpointing:
            self.print_to_log_file("No checkpoint written, checkpointing is disabled")
            return
        write_checkpoint(checkpoint_of(self, self.students, self.settings), filename)

    def load_checkpoint(self, filename_or_checkpoint: dict | str) -> None:
        """Restore nnU-Net's state and ours. See nnUNetTrainer.load_checkpoint.

        Raises:
            UserError: for a checkpoint of another kind of trainer or of other settings.
        """
        state = read_training_state(str(filename_or_checkpoint), self.device, self.settings)
        super().load_checkpoint(filename_or_checkpoint)
        restore_training_state(state, self.students)

    # Validation

    def validation_step(self, batch: dict) -> dict:
        """Validate both student and teacher; returns the deployed one's result. See nnUNetTrainer.validation_step."""
        results = {}
        for name, pseudo_dice in self.pseudo_dice.items():
            with self._weights_of(name):
                # nnU-Net overwrites ignored voxels of the target.
                results[name] = super().validation_step({**batch, "target": _copy_target(batch["target"])})
            pseudo_dice.add(results[name])
        return results[self.settings.deployed_network]

    def on_validation_epoch_end(self, val_outputs: list[dict]) -> None:
        """See nnUNetTrainer.on_validation_epoch_end."""
        super().on_validation_epoch_end(val_outputs)
        for name, pseudo_dice in self.pseudo_dice.items():
            self.logger.log(f"{name}_pseudo_dice", pseudo_dice.pop_mean(), self.current_epoch)

    def perform_actual_validation(self, save_probabilities: bool = False) -> None:
        """Validate the deployed network. See nnUNetTrainer.perform_actual_validation."""
        with self._weights_of(self.settings.deployed_network):
            super().perform_actual_validation(save_probabilities)

    def _weights_of(self, network: str) -> AbstractContextManager[None]:
        """In this block, nnU-Net's network has the weights of ``student`` or ``teacher``."""
        if network == "student":
            return nullcontext()
        return borrowed_weights(self.student_network, self.students.deployed_average)


def _copy_target(target: Tensor | list[Tensor]) -> Tensor | list[Tensor]:
    return [scale.clone() for scale in target] if isinstance(target, list) else target.clone()
