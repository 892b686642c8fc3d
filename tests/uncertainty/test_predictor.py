"""Members, against nnU-Net's own prediction."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from dynamic_network_architectures.architectures.unet import PlainConvUNet
from torch import Tensor

from nnunetv2_dycon.losses.label_space import Classes
from nnunetv2_dycon.uncertainty import predictor as predictor_module
from nnunetv2_dycon.uncertainty.inputs import read_model
from nnunetv2_dycon.uncertainty.measures import RunningSums, Uncertainty, entropy_of
from nnunetv2_dycon.uncertainty.predictor import nnUNetMemberPredictor
from tests.conftest import Workspace
from tests.uncertainty.models import CASES, CHECKPOINT, predict_with_nnunet, preprocess_in_this_process, write_model

Predicted = dict[str, tuple[list[Tensor], Uncertainty]]


def predict(
    workspace: Workspace,
    model: Path,
    output: Path,
    monkeypatch: pytest.MonkeyPatch,
    folds: tuple[int, ...] = (0, 1),
    *,
    use_mirroring: bool = True,
    of_members: bool = True,
) -> Predicted:
    """The members of each test case, and what they predict together. Preprocesses in this process."""
    members: list[Tensor] = []
    predicted: Predicted = {}

    class RecordedSums(RunningSums):
        def add(self, probabilities: Tensor) -> None:
            members.append(probabilities.clone())
            super().add(probabilities)

    def receive_case(file: str, properties: dict[str, Any], uncertainty: Uncertainty) -> None:
        assert tuple(uncertainty.entropy.shape) == tuple(properties["shape_before_cropping"])
        predicted[Path(file).name] = (members.copy(), uncertainty)
        # Writing, which is now, is the last step.
        assert sum(counted) == predictor.steps_per_case * len(predicted) - 1
        members.clear()

    counted: list[int] = []
    monkeypatch.setattr(predictor_module, "RunningSums", RecordedSums)
    preprocess_in_this_process(monkeypatch)
    predictor = nnUNetMemberPredictor(
        of_members=of_members,
        use_mirroring=use_mirroring,
        perform_everything_on_device=False,
        device=torch.device("cpu"),
        allow_tqdm=False,
    )
    predictor.initialize_from_trained_model_folder(str(model), folds, CHECKPOINT)
    scans = {case: [workspace.raw / "imagesTs" / f"{case}_0000.nii.gz"] for case in CASES}
    predictor.predict_cases(scans, output, receive_case, counted.append)
    assert sum(counted) == predictor.steps_per_case * len(CASES)
    return predicted


def read(folder: Path, case: str) -> tuple[np.ndarray, Tensor]:
    """A segmentation, and nnU-Net's probabilities."""
    segmentation = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / f"{case}.nii.gz")))
    file = folder / f"{case}.npz"
    return segmentation, torch.from_numpy(np.load(file)["probabilities"]) if file.is_file() else torch.empty(0)


@pytest.fixture
def model(workspace: Workspace) -> Path:
    folder = write_model(workspace)
    # Imports nnU-Net's trainers, with their warnings.
    read_model(folder, (), CHECKPOINT)
    return folder


def test_members_together_are_nnunets_prediction(
    workspace: Workspace, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    predict_with_nnunet(workspace, model, tmp_path / "theirs")
    predicted = predict(workspace, model, tmp_path / "ours", monkeypatch)
    for case in CASES:
        segmentation, probabilities = read(tmp_path / "theirs", case)
        assert np.array_equal(read(tmp_path / "ours", case)[0], segmentation)
        members, uncertainty = predicted[case]
        # Two folds, each mirrored along none, either and both of two axes.
        assert len(members) == 8
        stacked = torch.stack(members)
        # nnU-Net averages logits, which is the geometric mean of probabilities. Half precision rounds them, most of all
        # where the Gaussian is all but 0, towards the edges of the scan.
        inside = (slice(None), *[slice(5, -5)] * 3)
        geometric_mean = stacked.log().mean(0).softmax(0)
        torch.testing.assert_close(geometric_mean[inside], probabilities[inside], atol=5e-3, rtol=0)
        torch.testing.assert_close(uncertainty.probabilities, stacked.mean(0))
        assert (stacked[1:] - stacked[:-1]).abs().amax(dim=(1, 2, 3, 4)).min() > 0.02
        assert uncertainty.mutual_information is not None
        assert uncertainty.mutual_information.min() >= 0
        assert (uncertainty.mutual_information <= uncertainty.entropy).all()


def test_a_single_member_has_nnunets_probabilities_to_the_last_bit(
    workspace: Workspace, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    predict_with_nnunet(workspace, model, tmp_path / "theirs", (1,), use_mirroring=False)
    predicted = predict(workspace, model, tmp_path / "ours", monkeypatch, (1,), use_mirroring=False)
    for case in CASES:
        segmentation, probabilities = read(tmp_path / "theirs", case)
        members, uncertainty = predicted[case]
        assert len(members) == 1
        assert torch.equal(uncertainty.probabilities, probabilities)
        assert uncertainty.mutual_information is None
        assert np.array_equal(read(tmp_path / "ours", case)[0], segmentation)


def test_folds_without_mirroring_are_members(
    workspace: Workspace, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for fold in (0, 1):
        predict_with_nnunet(workspace, model, tmp_path / f"fold_{fold}", (fold,), use_mirroring=False)
    predicted = predict(workspace, model, tmp_path / "ours", monkeypatch, use_mirroring=False)
    for case in CASES:
        members, _ = predicted[case]
        for fold, member in enumerate(members):
            assert torch.equal(member, read(tmp_path / f"fold_{fold}", case)[1])


def test_without_members_the_mean_prediction_is_nnunets_and_takes_no_further_runs_of_the_network(
    workspace: Workspace, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    predict_with_nnunet(workspace, model, tmp_path / "theirs")
    patches = []
    monkeypatch.setattr(PlainConvUNet, "forward", counting_forward(PlainConvUNet.forward, patches))
    predict(workspace, model, tmp_path / "members", monkeypatch)
    with_members, patches[:] = len(patches), []
    predicted = predict(workspace, model, tmp_path / "ours", monkeypatch, of_members=False)
    assert with_members == 2 * len(patches)
    for case in CASES:
        segmentation, probabilities = read(tmp_path / "theirs", case)
        members, uncertainty = predicted[case]
        assert members == []
        assert torch.equal(uncertainty.probabilities, probabilities)
        assert torch.equal(uncertainty.entropy, entropy_of(probabilities, Classes()))
        assert uncertainty.mutual_information is None
        assert np.array_equal(read(tmp_path / "ours", case)[0], segmentation)


def counting_forward(forward: Callable[..., Tensor], patches: list[torch.Size]) -> Callable[..., Tensor]:
    """A network's forward that notes the shape of each batch."""

    def forward_and_note(self: PlainConvUNet, x: Tensor) -> Tensor:
        patches.append(x.shape)
        return forward(self, x)

    return forward_and_note
