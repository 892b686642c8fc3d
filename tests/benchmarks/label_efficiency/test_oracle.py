from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from benchmarks.label_efficiency.oracle import DyCONOracle, nnUNetTrainerDyCONOracle, write_hidden_labels
from nnunetv2_dycon.exceptions import UnsupportedFeatureError
from nnunetv2_dycon.losses.label_space import Regions
from nnunetv2_dycon.methods.dycon import DyCON
from nnunetv2_dycon.methods.dycon_settings import DyCONSettings
from tests.conftest import Workspace
from tests.settings import FULL_WEIGHTS_AT_ONCE, WITH_FECL


@pytest.fixture
def copy_paste_fraction() -> float:
    """DyCON's; parametrized where it matters."""
    return 0.0


@pytest.fixture
def oracle(
    workspace: Workspace,
    make_trainer: Callable[..., nnUNetTrainer],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    copy_paste_fraction: float,
) -> nnUNetTrainer:
    """An oracle whose unlabeled scans show their own labels, which come from elsewhere."""
    source = tmp_path / "source"
    names = [f"demo_{index:03d}" for index in range(6, 10)]
    for folder in ("imagesTr", "labelsTr"):
        (source / folder).mkdir(parents=True)
    for name in names:
        image = workspace.raw / "imagesUnlabeled" / f"{name}_0000.nii.gz"
        scan = sitk.ReadImage(str(image))
        labels = np.zeros(sitk.GetArrayFromImage(scan).shape, np.uint8)
        labels[:, : labels.shape[1] // 2, labels.shape[2] // 3 :] = 1
        labels[: labels.shape[0] // 2] *= 2
        for array, file in ((labels + 1.0, image), (labels, source / "labelsTr" / f"{name}.nii.gz")):
            written = sitk.GetImageFromArray(array.astype(np.float32 if file == image else np.uint8))
            written.CopyInformation(scan)
            sitk.WriteImage(written, str(file))
        (source / "imagesTr" / image.name).symlink_to(image)
    dataset_json = workspace.read_dataset_json()
    (source / "dataset.json").write_text(json.dumps(dataset_json))
    (workspace.raw / "simulate.json").write_text(json.dumps({"source": str(source), "unlabeled": names}))
    settings = {
        **FULL_WEIGHTS_AT_ONCE,
        **WITH_FECL,
        "copy_paste_fraction": copy_paste_fraction,
    }
    workspace.write_settings("nnUNetPlansOracle", **settings)
    write_hidden_labels(workspace.raw, workspace.read_plans(), "3d_fullres", dataset_json, tmp_path / "hidden")
    monkeypatch.setattr(nnUNetTrainerDyCONOracle, "hidden_labels_folder", tmp_path / "hidden")
    trainer = make_trainer(nnUNetTrainerDyCONOracle, "nnUNetPlansOracle")
    trainer.on_train_start()
    trainer.on_train_epoch_start()
    return trainer


def test_labels_follow_the_views_through_the_spatial_transform(oracle: nnUNetTrainer) -> None:
    for _ in range(6):
        batch = next(oracle.unlabeled_stream)
        for view, target in zip(batch["data"][:, 0], batch["target"][:, 0], strict=True):
            assert set(target.unique().tolist()) <= {0, 1, 2}
            inside = view != 0  # the crop is padded with zeros
            if len(target[inside].unique()) > 1:
                pair = torch.stack([view[inside], target[inside].float()])
                assert torch.corrcoef(pair)[0, 1] > 0.9


@pytest.mark.parametrize("copy_paste_fraction", [0.0, 0.5])
def test_fecl_sees_them_on_unlabeled_cells_only(
    oracle: nnUNetTrainer, monkeypatch: pytest.MonkeyPatch, copy_paste_fraction: float
) -> None:
    seen = {}
    fecl = DyCON._fecl

    def note(self, logits, embeddings, cell_labels, progress, task=None) -> torch.Tensor:  # noqa: ANN001
        seen["labeled" if task is None else "unlabeled"] = cell_labels
        return fecl(self, logits, embeddings, cell_labels, progress, task)

    monkeypatch.setattr(DyCON, "_fecl", note)
    unlabeled = next(oracle.unlabeled_stream)
    unlabeled["target"] = torch.full_like(unlabeled["target"], 2)
    monkeypatch.setattr(oracle.unlabeled_stream, "_augmenter", iter([unlabeled]))
    labeled = next(oracle.dataloader_train)
    # A labeled batch without lesions, so that those that FeCL sees are the hidden ones.
    labeled["target"] = [scale.clamp_max(1) for scale in labeled["target"]]
    loss = oracle.train_step(labeled)["loss"]
    assert np.isfinite(loss)
    labels = seen["unlabeled"].labels
    # Where crops are mixed, one eighth of a patch is of the other kind, or all but one eighth.
    assert (labels == 2).any()
    assert bool((labels == 2).all()) == (copy_paste_fraction == 0)
    if copy_paste_fraction == 0:
        assert (seen["unlabeled"].weights == 1).all()
    assert not (seen["labeled"].labels == 2).any()


def test_it_is_dycon_but_for_the_labels() -> None:
    changed = {name for name in vars(DyCONOracle) if not name.startswith("__")}
    assert changed - {"_abc_impl"} == {"task", "unlabeled_cell_labels"}
    assert DyCONOracle.settings_section == DyCON.settings_section


def test_regions_are_refused() -> None:
    with pytest.raises(UnsupportedFeatureError, match="region-based"):
        DyCONOracle(DyCONSettings(), Regions())
