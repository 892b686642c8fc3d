"""What tells scans apart: the bottleneck features of a network, averaged over the scan."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from nnunetv2_dycon.annotation.ranking import mean_features
from nnunetv2_dycon.exceptions import UnsupportedFeatureError, UserError
from nnunetv2_dycon.networks.bottleneck import BottleneckReader, bottleneck_channels
from nnunetv2_dycon.uncertainty.predictor import nnUNetMemberPredictor, refuse_values_that_are_not_finite


class nnUNetFeaturePredictor(nnUNetMemberPredictor):
    """A member predictor that keeps the features of the scan that it has predicted.

    They are read where the scan is not mirrored, in all patches of the sliding window. Folds follow each other, since
    each has features of its own.

    Args:
        reads_features: without, it is nnUNetMemberPredictor, and takes networks without bottleneck.
        arguments: of nnUNetPredictor.
    """

    use_mirroring: bool

    def __init__(self, *, reads_features: bool = True, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._reads_features = reads_features
        self._reader: BottleneckReader | None = None
        self._patches: list[Tensor] = []
        self._features: list[Tensor] = []
        self._receive_features: Callable[[str, np.ndarray], None] | None = None

    def initialize_from_trained_model_folder(
        self,
        model_training_output_dir: str,
        use_folds: tuple[int | str, ...] | None,
        checkpoint_name: str = "checkpoint_final.pth",
    ) -> None:
        """Load a model as nnUNetPredictor does.

        Raises:
            UserError: where features are to be read and the network has no bottleneck.
        """
        super().initialize_from_trained_model_folder(model_training_output_dir, use_folds, checkpoint_name)
        if not self._reads_features:
            return
        # Compiled, it is wrapped.
        network = getattr(self.network, "_orig_mod", self.network)
        assert isinstance(network, nn.Module)
        try:
            bottleneck_channels(network)
        except UnsupportedFeatureError as error:
            raise UserError(
                f"{type(network).__name__} has no encoder with a bottleneck, whose features tell scans apart: rank "
                "with --by uncertainty, or with a model of a U-Net."
            ) from error
        self._reader = BottleneckReader(network)

    def take_features(self) -> np.ndarray | None:
        """Features of the last scan, (folds x channels,) float32; None where none are read."""
        features, self._features = self._features, []
        return torch.cat(features).cpu().numpy() if features else None

    def predict_features(
        self,
        scans: Mapping[str, Sequence[Path]],
        output: Path,
        receive_features: Callable[[str, np.ndarray], None],
        num_processes: int = 1,
    ) -> None:
        """Read the features of scans, without mirroring and without writing what is predicted.

        Args:
            scans: the image files of each case, by its name.
            output: a folder, which nnU-Net notes the model in.
            receive_features: is called after each case with its name and :meth:`take_features`.
            num_processes: how many preprocess, at least 1.

        Raises:
            UserError: for a scan that cannot be preprocessed; nnU-Net has printed why.
        """
        use_mirroring, self.use_mirroring = self.use_mirroring, False
        self._receive_features = receive_features
        try:
            self.predict_cases(scans, output, lambda *_: None, lambda _: None, num_processes=num_processes)
        finally:
            self.use_mirroring, self._receive_features = use_mirroring, None

    def _predict_case(self, case: dict[str, Any], save_probabilities: bool) -> None:
        if self._receive_features is None:
            super()._predict_case(case, save_probabilities)
            return
        refuse_values_that_are_not_finite(case)
        self._receive_member = lambda _: None
        self.predict_logits_from_preprocessed_data(case["data"])
        features = self.take_features()
        assert features is not None
        self._receive_features(Path(case["ofile"]).name, features)

    @torch.inference_mode()
    def _internal_predict_sliding_window_return_logits(
        self, data: Tensor, slicers: list[tuple[Any, ...]], do_on_device: bool = True
    ) -> Tensor:
        # Where memory is full, nnU-Net does it again.
        self._patches = []
        logits = super()._internal_predict_sliding_window_return_logits(data, slicers, do_on_device)
        if self._patches:
            self._features.append(mean_features(self._patches))
            self._patches = []
        return logits

    @torch.inference_mode()
    def _internal_maybe_mirror_and_predict(self, x: Tensor) -> Tensor:
        prediction = super()._internal_maybe_mirror_and_predict(x)
        if self._reader is not None:
            features = self._reader.take()
            # While nnU-Net predicts as ever, the last features are those of a mirrored patch.
            if self._mirrored_axes == () or len(self.mirrorings) == 1:
                self._patches.append(features.float().flatten(2).mean(dim=2, keepdim=True))
        return prediction
