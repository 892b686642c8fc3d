"""nnU-Net's predictor, which also gives the prediction of each member of the ensemble: fold and mirroring."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from nnunetv2.configuration import default_num_processes
from nnunetv2.inference.export_prediction import (
    convert_predicted_logits_to_segmentation_with_correct_shape,
    export_prediction_from_logits,
)
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.inference.sliding_window_prediction import compute_gaussian
from nnunetv2.utilities.helpers import empty_cache
from torch import Tensor

from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.processes import (
    forked_workers_end_with_this_process,
    spawned_workers_end_with_this_block,
    wait_for_spawned_workers,
)
from nnunetv2_dycon.training.start import label_space_of
from nnunetv2_dycon.uncertainty.measures import RunningSums, Uncertainty, entropy_of

# The case's output file without its ending, nnU-Net's properties of the scan, and what the members predict.
CaseReceiver = Callable[[str, dict[str, Any], Uncertainty], None]
_TIME_TO_SAY_WHY = 3.0  # seconds


def refuse_values_that_are_not_finite(case: dict[str, Any]) -> None:
    """Refuse a preprocessed case of nnU-Net's iterators with NaN or infinite values, of which nothing can be predicted.

    Raises:
        UserError: naming the case.
    """
    if not torch.isfinite(case["data"]).all():
        raise UserError(
            f"{Path(case['ofile']).name} holds values that are NaN or infinite, perhaps after normalization only: "
            "correct or remove that scan, and go on with --continue_prediction."
        )


class nnUNetMemberPredictor(nnUNetPredictor):
    """Predicts as nnUNetPredictor of 2.8.1 does, and passes what the members predict to a function.

    A member is one fold with the scan mirrored along some axes, or along none. nnU-Net adds up the mirrored predictions
    of a patch before it rounds to half precision, so its segmentation cannot be had from those of members to the last
    bit. Where there is mirroring, the network therefore runs twice as often: once for each member, once for nnU-Net.

    Each member goes through nnU-Net's sliding window, resampling and padding to the scan's geometry. Beside the running
    sums, one member's logits and probabilities are in memory at a time.
    """

    def __init__(self, *, of_members: bool = True, **arguments: Any) -> None:
        """See nnUNetPredictor.

        Args:
            of_members: whether members are predicted one by one. Otherwise what nnU-Net makes of all of them, their
                mean logits, is the only member, and the network runs no more often than in nnUNetv2_predict.
            arguments: of nnUNetPredictor.
        """
        super().__init__(**arguments)
        self.of_members = of_members
        self._receive_case: CaseReceiver = lambda *_: None
        self._receive_member: Callable[[Tensor], None] = lambda _: None
        self._count_steps: Callable[[int], object] = lambda _: None
        # Those of the member that is being predicted; None while nnU-Net predicts as ever.
        self._mirrored_axes: tuple[int, ...] | None = None

    def initialize_from_trained_model_folder(
        self,
        model_training_output_dir: str,
        use_folds: tuple[int | str, ...] | None,
        checkpoint_name: str = "checkpoint_final.pth",
    ) -> None:
        """Load a model as nnUNetPredictor does.

        Raises:
            UserError: for weights that are not those of the plans' network.
        """
        try:
            super().initialize_from_trained_model_folder(model_training_output_dir, use_folds, checkpoint_name)
        except torch.cuda.OutOfMemoryError:
            raise
        except RuntimeError as error:
            reason = " ".join(str(error).split())[:200]
            raise UserError(
                f"{model_training_output_dir}: {checkpoint_name} has other weights than the network of plans.json "
                f"({reason}): put the plans there that it was trained with, or train again."
            ) from error

    @property
    def mirrorings(self) -> list[tuple[int, ...]]:
        """The axes along which the scan is mirrored, for each member of a fold; 0 is the first axis of a patch."""
        axes = (self.allowed_mirroring_axes if self.use_mirroring else None) or ()
        return [chosen for number in range(len(axes) + 1) for chosen in itertools.combinations(axes, number)]

    @property
    def num_members(self) -> int:
        """How many members there are, at least 1."""
        return self._num_passes if self.of_members else 1

    @property
    def _num_passes(self) -> int:
        """How often the network runs over a scan for nnU-Net's own prediction."""
        return len(self.list_of_parameters) * len(self.mirrorings)

    @property
    def steps_per_case(self) -> int:
        """How many steps :meth:`predict_cases` counts for a case.

        One for each run of the network over the scan, and one for writing what is predicted.
        """
        is_repeated = self.of_members and len(self.mirrorings) > 1
        return self._num_passes * (2 if is_repeated else 1) + 1

    def predict_cases(
        self,
        scans: Mapping[str, Sequence[Path]],
        output: Path,
        receive_case: CaseReceiver,
        count_steps: Callable[[int], object],
        *,
        previous_stage: Path | None = None,
        num_processes: int = 1,
    ) -> None:
        """Predict cases by :meth:`predict_from_files`, which writes segmentations as ever.

        Args:
            scans: the image files of each case, by its name.
            output: folder of the segmentations.
            receive_case: is called after each case, when its segmentation has been written.
            count_steps: is called with the number of steps that were done since, of :attr:`steps_per_case`.
            previous_stage: in a cascade the folder with the segmentations of the previous stage.
            num_processes: how many preprocess, at least 1.

        Raises:
            UserError: for a scan that cannot be preprocessed; nnU-Net has printed why.
        """
        self._receive_case, self._count_steps = receive_case, count_steps
        with spawned_workers_end_with_this_block(), forked_workers_end_with_this_process():
            self._predict_cases(scans, output, previous_stage, num_processes)

    def _predict_cases(
        self, scans: Mapping[str, Sequence[Path]], output: Path, previous_stage: Path | None, num_processes: int
    ) -> None:
        try:
            self.predict_from_files(
                [[str(file) for file in files] for files in scans.values()],
                [str(output / case) for case in scans],
                num_processes_preprocessing=num_processes,
                folder_with_segs_from_prev_stage=None if previous_stage is None else str(previous_stage),
            )
        except RuntimeError as error:
            if not str(error).startswith("Background workers died"):
                raise
            # The one that failed reports it before it prints the reason.
            wait_for_spawned_workers(_TIME_TO_SAY_WHY)
            raise UserError(
                "A scan could not be preprocessed, the message above says why: correct or remove it, and go on with "
                "--continue_prediction. Without a message, memory was full: give -npp 1."
            ) from error

    def predict_from_data_iterator(
        self,
        data_iterator: Iterable[dict[str, Any]],
        save_probabilities: bool = False,
        num_processes_segmentation_export: int = default_num_processes,
    ) -> None:
        """Predict the preprocessed cases, each with a file to write, and export their segmentations as nnU-Net does.

        That is done in this process, after the members of the case.
        """
        for case in data_iterator:
            self._predict_case(case, save_probabilities)
        compute_gaussian.cache_clear()
        empty_cache(self.device)

    def _predict_case(self, case: dict[str, Any], save_probabilities: bool) -> None:
        """Predict a preprocessed case, export its segmentation, and pass on what its members predict."""
        output, properties = case["ofile"], case["data_properties"]
        refuse_values_that_are_not_finite(case)
        managers = (self.plans_manager, self.configuration_manager)
        labels = label_space_of(self.label_manager)

        def probabilities_of(logits: Tensor) -> Tensor:
            _, probabilities = convert_predicted_logits_to_segmentation_with_correct_shape(
                logits.cpu().numpy(), *managers, self.label_manager, properties, return_probabilities=True
            )
            return torch.from_numpy(probabilities)

        def add(logits: Tensor) -> None:
            # nnU-Net predicts in inference mode, whose tensors cannot be changed outside of it.
            with torch.inference_mode(False):
                sums.add(probabilities_of(logits))

        sums = RunningSums(labels)
        self._receive_member = add
        logits = self.predict_logits_from_preprocessed_data(case["data"]).cpu()
        dataset = (self.plans_manager, self.dataset_json)
        export_prediction_from_logits(
            logits.numpy(), properties, self.configuration_manager, *dataset, output, save_probabilities
        )
        if self.of_members:
            uncertainty = sums.result()
        else:
            # Not before nnU-Net has written its own: probabilities take the most memory.
            mean = probabilities_of(logits)
            uncertainty = Uncertainty(mean, entropy_of(mean, labels), None)
        del logits
        self._receive_case(output, properties, uncertainty)
        self._count_steps(1)

    @torch.inference_mode()
    def predict_sliding_window_return_logits(self, input_image: Tensor) -> Tensor:
        """nnU-Net's prediction of a preprocessed scan with the fold whose weights are loaded, after its members'."""
        mirrorings = self.mirrorings
        if self.of_members and len(mirrorings) > 1:
            try:
                for self._mirrored_axes in mirrorings:
                    self._receive_member(super().predict_sliding_window_return_logits(input_image))
                    self._count_steps(1)
            finally:
                self._mirrored_axes = None
        logits = super().predict_sliding_window_return_logits(input_image)
        if self.of_members and len(mirrorings) == 1:
            self._receive_member(logits)
        self._count_steps(len(mirrorings))
        return logits

    @torch.inference_mode()
    def _internal_maybe_mirror_and_predict(self, x: Tensor) -> Tensor:
        """Predict a batch of patches (B, C, *spatial), mirrored as the member wants it."""
        if self._mirrored_axes is None:
            return super()._internal_maybe_mirror_and_predict(x)
        axes = [axis + 2 for axis in self._mirrored_axes]
        return self.network(x.flip(axes)).flip(axes)
