"""Second layer of the semi-supervised trainers: the teacher, checkpoints and validation."""

from __future__ import annotations

import dataclasses
import io
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import nn
from torch._dynamo import OptimizedModule

from nnunetv2_dycon import __version__
from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.training.checkpoints import STATE_KEY, write_checkpoint
from nnunetv2_dycon.training.logging.pseudo_dice import PseudoDice
from nnunetv2_dycon.training.network.mean_teacher import MeanTeacher, borrowed_weights
from nnunetv2_dycon.training.nnUNetTrainer.nnUNetTrainerTwoStreams import nnUNetTrainerTwoStreams


class nnUNetTrainerTeacher(nnUNetTrainerTwoStreams):
    """Keeps a mean teacher of the student, which is nnU-Net's ``self.network``.

    ``network_weights`` in checkpoints are the deployed network's (a setting), so that every command of nnU-Net works on
    them; the state of student and teacher lies under a key of our own.
    """

    def __init__(
        self,
        plans: dict,
        configuration: str,
        fold: int,
        dataset_json: dict,
        device: torch.device = torch.device("cuda"),  # noqa: B008 (nnU-Net reads this signature)
    ) -> None:
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.teacher: MeanTeacher | None = None  # -> initialize
        self.teacher_network: nn.Module | None = None  # -> initialize
        self.auxiliary = nn.ModuleDict()  # -> initialize
        self.pseudo_dice = {"student": PseudoDice(), "teacher": PseudoDice()}

    def build_auxiliary(self) -> nn.ModuleDict:
        """Modules that are trained with the network and averaged in the teacher but not needed for prediction."""
        return nn.ModuleDict()

    @property
    def student_network(self) -> nn.Module:
        """nnU-Net's network without the wrapper of torch.compile."""
        return self.network._orig_mod if isinstance(self.network, OptimizedModule) else self.network

    @property
    def student_modules(self) -> nn.ModuleDict:
        """All that is trained and averaged in the teacher."""
        return nn.ModuleDict({"network": self.student_network, "auxiliary": self.auxiliary})

    def initialize(self) -> None:
        """Build network, auxiliary modules, teacher and optimizer. See nnUNetTrainer.initialize."""
        super().initialize()
        # The seed of a run must give nnUNetTrainer's own batches and weights, whatever is built beside.
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            self.auxiliary = self.build_auxiliary().to(self.device)
        if len(self.auxiliary) > 0:
            self.optimizer.add_param_group({"params": list(self.auxiliary.parameters())})
        self.teacher = MeanTeacher(self.student_modules, self.settings.ema_decay)
        network = self.teacher.module["network"]
        self.teacher_network = torch.compile(network) if self._do_i_compile() else network

    def on_train_start(self) -> None:
        """See nnUNetTrainer.on_train_start."""
        if not self.was_initialized:
            self.initialize()
        if int(self.teacher.n_averaged) == 0:
            # -pretrained_weights are loaded after initialize.
            self.teacher.copy_student(self.student_modules)
        super().on_train_start()

    # Checkpoints

    def save_checkpoint(self, filename: str) -> None:
        """Write nnU-Net's checkpoint, with the deployed weights, and our state beside. See nnUNetTrainer.

        Args:
            filename: the file; it is replaced at once when the new one is whole.
        """
        buffer = io.BytesIO()
        super().save_checkpoint(buffer)
        if buffer.tell() == 0:
            return  # checkpointing is disabled
        buffer.seek(0)
        checkpoint = torch.load(buffer, map_location="cpu", weights_only=False)
        teacher = self.teacher.state_dict()
        checkpoint[STATE_KEY] = {
            "version": __version__,
            "settings": dataclasses.asdict(self.settings),
            "student": checkpoint["network_weights"],
            "auxiliary": self.auxiliary.state_dict(),
            "teacher": teacher,
        }
        if self.settings.deployed_network == "teacher":
            # The tensors of the teacher's state, so that the file holds them once.
            prefix = "module.network."
            checkpoint["network_weights"] = {
                key.removeprefix(prefix): value for key, value in teacher.items() if key.startswith(prefix)
            }
        write_checkpoint(checkpoint, filename)

    def load_checkpoint(self, filename_or_checkpoint: dict | str) -> None:
        """Restore nnU-Net's state and ours. See nnUNetTrainer.load_checkpoint.

        Args:
            filename_or_checkpoint: the file.

        Raises:
            UserError: for a checkpoint of another kind of trainer or of other settings.
        """
        checkpoint = torch.load(filename_or_checkpoint, map_location=self.device, weights_only=False)
        if STATE_KEY not in checkpoint:
            raise UserError(
                f"{filename_or_checkpoint} was written by {checkpoint['trainer_name']} and has no teacher to continue "
                "from. To start from its weights, pass it as -pretrained_weights to a new training."
            )
        state = checkpoint[STATE_KEY]
        self.refuse_other_settings(state["settings"], str(filename_or_checkpoint))
        super().load_checkpoint(filename_or_checkpoint)
        self.student_network.load_state_dict(state["student"])
        self.auxiliary.load_state_dict(state["auxiliary"])
        self.teacher.load_state_dict(state["teacher"])

    # Validation

    def validation_step(self, batch: dict) -> dict:
        """Validate student and teacher on the same batch. See nnUNetTrainer.validation_step.

        Args:
            batch: from nnU-Net's loader.

        Returns:
            The deployed network's result.
        """
        results = {}
        for name, weights in (("student", nullcontext()), ("teacher", self._teacher_weights())):
            with weights:
                # nnU-Net overwrites ignored voxels of the target.
                results[name] = super().validation_step({**batch, "target": _copy_target(batch["target"])})
            self.pseudo_dice[name].add(results[name])
        return results[self.settings.deployed_network]

    def on_validation_epoch_end(self, val_outputs: list[dict]) -> None:
        """See nnUNetTrainer.on_validation_epoch_end."""
        super().on_validation_epoch_end(val_outputs)
        for name, pseudo_dice in self.pseudo_dice.items():
            self.logger.log(f"{name}_pseudo_dice", pseudo_dice.pop_mean(), self.current_epoch)

    def perform_actual_validation(self, save_probabilities: bool = False) -> None:
        """Validate the deployed network. See nnUNetTrainer.perform_actual_validation.

        Args:
            save_probabilities: see nnU-Net.
        """
        deploys_teacher = self.settings.deployed_network == "teacher"
        with self._teacher_weights() if deploys_teacher else nullcontext():
            super().perform_actual_validation(save_probabilities)

    def _teacher_weights(self) -> AbstractContextManager[None]:
        return borrowed_weights(self.student_network, self.teacher.module["network"])


def _copy_target(target: torch.Tensor | list[torch.Tensor]) -> torch.Tensor | list[torch.Tensor]:
    return [scale.clone() for scale in target] if isinstance(target, list) else target.clone()
