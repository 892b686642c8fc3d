"""The adapter to nnU-Net: everything in which a semi-supervised training differs from nnU-Net's own.

What a method is lies in :mod:`nnunetv2_dycon.methods`, the step and its networks in
:mod:`nnunetv2_dycon.training.step` and :mod:`nnunetv2_dycon.training.students`.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar

import torch
from torch import nn

from nnunetv2_dycon.exceptions import print_user_errors_without_traceback
from nnunetv2_dycon.methods.check_method import check_weights
from nnunetv2_dycon.methods.method import Method
from nnunetv2_dycon.methods.schedules import gaussian_rampup
from nnunetv2_dycon.networks.mean_teacher import borrowed_weights
from nnunetv2_dycon.preprocessing.prepare_unlabeled_data import UnlabeledData
from nnunetv2_dycon.training import checkpoints, checks, distributed, start
from nnunetv2_dycon.training.batches import copy_target, to_device
from nnunetv2_dycon.training.class_locations import ClassLocations
from nnunetv2_dycon.training.divergence import Divergence
from nnunetv2_dycon.training.fold import nnUNetTrainerOfOneFold
from nnunetv2_dycon.training.inputs import check_inputs
from nnunetv2_dycon.training.interruption import Interruption
from nnunetv2_dycon.training.labeled_predictions import noted_predictions
from nnunetv2_dycon.training.learnt_labels import noted_training_cases
from nnunetv2_dycon.training.learnt_share import learnt_share, why_not_yet
from nnunetv2_dycon.training.logger import logger_of, names_of_steps
from nnunetv2_dycon.training.statistics import EpochStatistics, PseudoDice
from nnunetv2_dycon.training.step import TwoStreamStep
from nnunetv2_dycon.training.students import Students
from nnunetv2_dycon.training.unlabeled_stream import UnlabeledStream, make_unlabeled_loader, nnUNetTwoViewDataLoader
from nnunetv2_dycon.training.watch import WATCHED, WATCHED_IN_STEPS, Watch


class nnUNetTrainerSemiSupervised(nnUNetTrainerOfOneFold):
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
        check_inputs(type(self).__name__, plans, configuration, fold, dataset_json)
        super().__init__(plans, configuration, fold, dataset_json, device)
        if self.training_length is not None:
            self.num_epochs = self.training_length
        self.settings = start.read_settings(self, self.method_class)
        self.method = self.method_class(
            self.settings, start.label_space_of(self.label_manager), batch_dice=self.configuration_manager.batch_dice
        )
        check_weights(self.method)
        distributed.use_own_device(self, device)
        self.method.reduction = distributed.reduction()
        self.students: Students  # -> initialize
        self.step: TwoStreamStep  # -> initialize
        self.unlabeled_data: UnlabeledData  # -> on_train_start
        self.unlabeled_stream: UnlabeledStream | None = None  # -> get_dataloaders
        self.class_locations = ClassLocations(start.count_foreground_classes(self.label_manager))
        self.steps_in_epoch = 0
        self.training_cases: frozenset[str] | None = frozenset()  # learnt from; None where a checkpoint does not say
        self.interruption = Interruption(self)
        self.watch = Watch(self)
        self.divergence = Divergence(self.output_folder, self.method.settings_section)
        self.pseudo_dice = {"student": PseudoDice(), "teacher": PseudoDice()}
        self.statistics = EpochStatistics([*names_of_steps(self.method), *WATCHED_IN_STEPS])
        verbose = self.logger.local_logger.verbose
        self.logger.local_logger = logger_of(self.method, verbose, WATCHED)

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
        """nnU-Net's network without the wrappers of DistributedDataParallel and torch.compile."""
        return distributed.unwrapped(self.network)

    # Start

    def initialize(self) -> None:
        """Refuse what is not supported, then build networks, optimizer and step. See nnUNetTrainer.initialize."""
        checks.refuse_what_is_not_supported(self)
        with distributed.wrapping_for_own_device(self):
            super().initialize()
        self.students = start.build_students(self, self.method)
        self.step = TwoStreamStep(self, self.students, self.method)
        start.log_settings(self)

    def _build_loss(self) -> nn.Module:
        """The supervised loss: nnU-Net's, or the method's with nnU-Net's deep supervision. See nnUNetTrainer."""
        return start.with_own_loss(super()._build_loss(), self.method.supervised_loss())

    def on_train_start(self) -> None:
        """Check and prepare everything that could stop a training later. See nnUNetTrainer.on_train_start."""
        if not self.was_initialized:
            self.initialize()
        checks.check_before_training(self, self.method, needs_unlabeled_data=self.needs_unlabeled_data)
        start.write_splits_at_once(self)
        checks.refuse_changed_folds(self)
        if self.needs_unlabeled_data:
            self.unlabeled_data = start.prepare_unlabeled_cases(self)
        if int(self.students.average.n_averaged) == 0:
            # -pretrained_weights are loaded after initialize.
            self.students.average.copy_student(self.students.averaged_modules)
        distributed.separate_random_numbers()
        super().on_train_start()
        self.interruption.begin()

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
        locations = self.class_locations if self.settings.unlabeled_foreground_fraction > 0 else None
        dataset = start.make_unlabeled_dataset(self, data)
        return make_unlabeled_loader(self, dataset, self.settings, class_locations=locations)

    # Training

    def run_training(self) -> None:
        """Train, stop at a signal, and leave no process behind. See nnUNetTrainer.run_training."""
        with self.interruption.in_training():
            super().run_training()

    def on_train_epoch_start(self) -> None:
        """See nnUNetTrainer.on_train_epoch_start."""
        super().on_train_epoch_start()
        if self.training_cases is not None:
            # Folds that nnU-Net draws hold NumPy's strings, which a checkpoint that is read safely cannot.
            self.training_cases |= {str(case) for case in self.do_split()[0]}
        self.interruption.start_epoch()
        self.watch.start_epoch()
        if isinstance(self.unlabeled_stream, UnlabeledStream):
            self.unlabeled_stream.check_workers()

    def train_step(self, batch: dict) -> dict:
        """One step on a labeled and an unlabeled batch; nnUNetTrainer's own while all unsupervised weights are 0."""
        self.interruption.start_step()
        ramp = self.ramp
        weights = {term: ramp * weight for term, weight in self.method.term_weights().items()}
        result = None
        if any(weight > 0 for weight in weights.values()):
            unlabeled = self.next_unlabeled_batch()
            step = self.step(*to_device(batch, self.device), unlabeled["data"], weights, self.progress)
            self.statistics.add_step(step, weights, self.method.least_supervised_loss)
            self.watch.see(batch, unlabeled, step)
            if "locations" in unlabeled:
                self.class_locations.see(unlabeled, step.foreground)
        else:
            result = super().train_step(batch)
            if len(self.students) > 1:
                self.step.supervise_further_students(*to_device(batch, self.device))
        self.students.average.update_parameters(self.students.averaged_modules)
        self.steps_in_epoch += 1
        self.statistics.add("ramp", ramp)
        for term, weight in weights.items():
            self.statistics.add(f"{term}_weight", weight)
        # Read last, since it waits for the GPU.
        losses = step.read_losses() if result is None else {"supervised": result["loss"]}
        self.divergence.check_losses(losses, weights)
        return self.interruption.end_step(result or {"loss": losses["supervised"]})

    def next_unlabeled_batch(self) -> dict:
        """The next batch of the unlabeled stream, its views on the device. See nnUNetTwoViewDataLoader."""
        assert self.unlabeled_stream is not None
        with self.watch.waiting():
            batch = next(self.unlabeled_stream)
        return {**batch, "data": batch["data"].to(self.device, non_blocking=True)}

    def autocast_context(self) -> AbstractContextManager[Any]:
        """nnU-Net's choice: autocast on CUDA only. See nnUNetTrainer.train_step."""
        return torch.autocast(self.device.type, enabled=True) if self.device.type == "cuda" else nullcontext()

    def on_train_epoch_end(self, train_outputs: list[dict]) -> None:
        """See nnUNetTrainer.on_train_epoch_end."""
        super().on_train_epoch_end(self.interruption.end_epoch(train_outputs))
        values = {"cases_with_foreground": self.class_locations.known_case_fraction, **self.statistics.pop_means()}
        for name, mean in self.watch.end_epoch(values).items():
            self.logger.log(name, mean, self.current_epoch)

    def on_epoch_end(self) -> None:
        """See nnUNetTrainer.on_epoch_end."""
        for line in self.logger.local_logger.describe_epoch():
            self.print_to_log_file(line)
        if reason := why_not_yet(self, self.settings):
            self.print_to_log_file(reason)
        super().on_epoch_end()
        self.watch.write_verdicts()

    def on_train_end(self) -> None:
        """See nnUNetTrainer.on_train_end."""
        super().on_train_end()
        if self.unlabeled_stream is not None:
            self.unlabeled_stream.close()
        distributed.wait_for_all()  # --val_best reads a checkpoint that the first process may still be writing

    # Checkpoints

    def save_checkpoint(self, filename: str) -> None:
        """Write nnU-Net's checkpoint, with the deployed weights, and our state beside, at once or not at all.

        Replaces nnUNetTrainer.save_checkpoint of 2.8.1, whose file would have to be read and written again.
        """
        if self.local_rank != 0:
            return
        if self.disable_checkpointing:
            self.print_to_log_file("No checkpoint written, checkpointing is disabled")
            return
        self.divergence.check_weights(self.students)
        checkpoint = checkpoints.checkpoint_of(self, self.students, self.settings, self.class_locations)
        checkpoints.write_checkpoint(self.interruption.complete(checkpoint), filename)
        self.interruption.saved(filename)

    def load_checkpoint(self, filename_or_checkpoint: dict | str) -> None:
        """Restore nnU-Net's state and ours. See nnUNetTrainer.load_checkpoint.

        Raises:
            UserError: for a file that is no whole checkpoint, and for a checkpoint of another kind of trainer, of other
                settings or of another network.
        """
        if not self.was_initialized:
            self.initialize()
        with checkpoints.as_file(filename_or_checkpoint) as file:
            state = checkpoints.read_training_state(file, self.device, self.settings, self.students)
            super().load_checkpoint(file)
        checkpoints.restore_training_state(state, self.students, self.class_locations)
        self.training_cases = noted_training_cases(state)
        if self.training_cases is None:
            self.print_to_log_file("The checkpoint does not say which labels it has learnt from, as those of 0.2.0 do.")
        self.interruption.resume(state)

    # Validation

    def validation_step(self, batch: dict) -> dict:
        """Validate both student and teacher; returns the deployed one's result. See nnUNetTrainer.validation_step."""
        self.interruption.leave_if_requested()
        results = {}
        for name, pseudo_dice in self.pseudo_dice.items():
            with self._weights_of(name):
                results[name] = super().validation_step(copy_target(batch))
            pseudo_dice.add(results[name])
        return results[self.settings.deployed_network]

    def on_validation_epoch_end(self, val_outputs: list[dict]) -> None:
        """See nnUNetTrainer.on_validation_epoch_end."""
        super().on_validation_epoch_end(val_outputs)
        for name, pseudo_dice in self.pseudo_dice.items():
            self.logger.log(f"{name}_pseudo_dice", pseudo_dice.pop_mean(), self.current_epoch)

    def perform_actual_validation(self, save_probabilities: bool = False) -> None:
        """Validate the deployed network. See nnUNetTrainer.perform_actual_validation."""
        checks.check_before_validation(self)
        weights = self._weights_of(self.settings.deployed_network)
        with self.interruption.in_validation(), weights, noted_predictions(self):
            super().perform_actual_validation(save_probabilities)

    def _weights_of(self, network: str) -> AbstractContextManager[None]:
        """In this block, nnU-Net's network has the weights of ``student`` or ``teacher``."""
        if network == "student":
            return nullcontext()
        return borrowed_weights(self.student_network, self.students.deployed_average)
