"""Features of real networks, against what an encoder gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from acvl_utils.cropping_and_padding.padding import pad_nd_image
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from nnunetv2_dycon.annotation.features import nnUNetFeaturePredictor
from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.uncertainty.inputs import read_model
from nnunetv2_dycon.uncertainty.measures import Uncertainty
from nnunetv2_dycon.uncertainty.predictor import nnUNetMemberPredictor
from tests.conftest import Workspace
from tests.uncertainty.models import CASES, CHECKPOINT, preprocess_in_this_process, write_model


@pytest.fixture
def model(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Path:
    preprocess_in_this_process(monkeypatch)
    folder = write_model(workspace)
    # Imports nnU-Net's trainers, with their warnings.
    read_model(folder, (), CHECKPOINT)
    return folder


def make_predictor(model: Path, folds: tuple[int, ...] = (0, 1), **arguments: Any) -> nnUNetFeaturePredictor:
    predictor = nnUNetFeaturePredictor(
        perform_everything_on_device=False, device=torch.device("cpu"), allow_tqdm=False, **arguments
    )
    predictor.initialize_from_trained_model_folder(str(model), folds, CHECKPOINT)
    return predictor


def scans_of(workspace: Workspace) -> dict[str, list[Path]]:
    return {case: [workspace.raw / "imagesTs" / f"{case}_0000.nii.gz"] for case in CASES}


def read_features(predictor: nnUNetFeaturePredictor, workspace: Workspace, output: Path) -> dict[str, np.ndarray]:
    features: dict[str, np.ndarray] = {}
    predictor.predict_features(scans_of(workspace), output, features.__setitem__)
    return features


def test_features_are_the_encoders_over_all_patches(workspace: Workspace, model: Path, tmp_path: Path) -> None:
    features = read_features(make_predictor(model), workspace, tmp_path / "output")
    predictor = make_predictor(model)
    preprocessor = predictor.configuration_manager.preprocessor_class(verbose=False)
    managers = (predictor.plans_manager, predictor.configuration_manager, predictor.dataset_json)
    for case, files in scans_of(workspace).items():
        data = torch.from_numpy(preprocessor.run_case([str(files[0])], None, *managers)[0])
        # As nnU-Net does with scans that are smaller than a patch.
        data = pad_nd_image(data, predictor.configuration_manager.patch_size)
        expected = []
        for fold in (0, 1):
            network = make_predictor(model, (fold,)).network.eval()
            with torch.inference_mode():
                means = [
                    network.encoder(data[patch][None])[-1].mean(dim=(0, 2, 3, 4))
                    for patch in predictor._internal_get_sliding_window_slicers(data.shape[1:])
                ]
            assert len(means) > 1
            expected.append(torch.stack(means).mean(0))
        assert np.allclose(features[case], torch.cat(expected).numpy(), atol=1e-6)
    assert not np.allclose(*features.values(), atol=1e-3)
    # nnU-Net's notes on the model, and no segmentation.
    assert all(file.suffix == ".json" for file in (tmp_path / "output").iterdir())


@pytest.mark.parametrize("use_mirroring", [True, False])
def test_predicting_keeps_the_same_features_whether_mirrored_or_not(
    workspace: Workspace, model: Path, tmp_path: Path, use_mirroring: bool
) -> None:
    expected = read_features(make_predictor(model), workspace, tmp_path / "features")
    predictor = make_predictor(model, use_mirroring=use_mirroring)
    uncertainties: dict[str, Uncertainty] = {}

    def receive(file: str, _: dict[str, Any], uncertainty: Uncertainty) -> None:
        features = predictor.take_features()
        assert features is not None
        assert np.allclose(features, expected[Path(file).name], atol=1e-6)
        uncertainties[Path(file).name] = uncertainty

    predictor.predict_cases(scans_of(workspace), tmp_path / "ours", receive, lambda _: None)
    assert list(uncertainties) == list(CASES)
    # Reading features changes no prediction.
    theirs = nnUNetMemberPredictor(
        use_mirroring=use_mirroring, perform_everything_on_device=False, device=torch.device("cpu"), allow_tqdm=False
    )
    theirs.initialize_from_trained_model_folder(str(model), (0, 1), CHECKPOINT)

    def compare(file: str, _: dict[str, Any], uncertainty: Uncertainty) -> None:
        assert torch.equal(uncertainty.entropy, uncertainties[Path(file).name].entropy)

    theirs.predict_cases(scans_of(workspace), tmp_path / "theirs", compare, lambda _: None)


def test_features_after_a_try_that_ran_out_of_memory_are_of_the_last_one(model: Path) -> None:
    predictor = make_predictor(model, (0,), use_mirroring=False)
    data = torch.rand(1, 16, 24, 16, generator=torch.Generator().manual_seed(0))
    slicers = predictor._internal_get_sliding_window_slicers(data.shape[1:])
    predictor.network.eval()
    predictor._internal_predict_sliding_window_return_logits(data, slicers, False)
    expected = predictor.take_features()
    # What a first try has left.
    predictor._patches = [torch.full((1, 16, 1), 100.0)]
    predictor._internal_predict_sliding_window_return_logits(data, slicers, False)
    assert np.array_equal(predictor.take_features(), expected)


class Flat(torch.nn.Conv3d):
    """A network of one layer."""


def test_a_network_without_bottleneck_can_be_ranked_by_uncertainty(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # By its signature nnU-Net tells the form of older trainers.
    def build(plans_manager: PlansManager, *_: object, enable_deep_supervision: bool = True) -> Flat:
        assert plans_manager.plans
        assert not enable_deep_supervision
        return Flat(1, 3, 1)

    monkeypatch.setattr(nnUNetTrainer, "build_network_architecture", staticmethod(build))
    for fold in (0, 1):
        file = model / f"fold_{fold}" / CHECKPOINT
        checkpoint = torch.load(file, weights_only=False)
        torch.save({**checkpoint, "network_weights": Flat(1, 3, 1).state_dict()}, file)
    with pytest.raises(UserError, match=r"Flat has no encoder with a bottleneck.*--by uncertainty"):
        make_predictor(model)
    assert make_predictor(model, reads_features=False).take_features() is None


def test_a_scan_with_values_that_are_not_finite_is_refused_by_name(model: Path) -> None:
    # nnU-Net's reader of NIfTI sets such values to 0, those of other formats keep them.
    case = {"ofile": "OUT/scan_7", "data": torch.full((1, 16, 24, 16), torch.nan), "data_properties": {}}
    with pytest.raises(UserError, match="scan_7 holds values that are NaN or infinite"):
        make_predictor(model).predict_from_data_iterator([case])
