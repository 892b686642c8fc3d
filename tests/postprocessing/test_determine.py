"""Postprocessing decided by labels, applied by nnU-Net's own command."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from batchgenerators.utilities.file_and_folder_operations import load_pickle
from nnunetv2.postprocessing.remove_connected_components import apply_postprocessing

from nnunetv2_dycon.commands.main import main
from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.postprocessing.determine import determine_postprocessing
from tests.conftest import Workspace


def write_labels(workspace: Workspace, *, several_lesions: bool) -> None:
    """Labels in which the organ has one component in each case, and the lesion in it has one or two in the last."""
    label_map = np.zeros((12, 12, 12), dtype=np.uint8)
    label_map[2:7, 2:7, 2:7] = 1
    label_map[3, 3, 3] = 2
    for file in sorted((workspace.raw / "labelsTr").iterdir()):
        if several_lesions and file.name.startswith("demo_005"):
            label_map[5, 5, 5] = 2
        sitk.WriteImage(sitk.GetImageFromArray(label_map), str(file))


def prediction_with_remains() -> np.ndarray:
    """An organ with a lesion, another lesion in it, and elsewhere an organ and a lesion, the largest, that are none."""
    label_map = np.zeros((12, 12, 12), dtype=np.uint8)
    label_map[2:7, 2:7, 2:7] = 1
    label_map[3, 3, 2:4] = 2
    label_map[5, 5, 5] = 2
    label_map[9:11, 9:11, 9:11] = 1
    label_map[9:11, 9:11, 11] = 2
    return label_map


@pytest.mark.parametrize("several_lesions", [False, True])
def test_nnunets_command_removes_what_the_labels_speak_against(
    workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str], several_lesions: bool
) -> None:
    write_labels(workspace, several_lesions=several_lesions)
    file, predictions, output = tmp_path / "new" / "post processing.pkl", tmp_path / "predictions", tmp_path / "output"
    assert main(["determine-postprocessing", "-d", "501", "-o", str(file)]) == 0
    printed = capsys.readouterr().out
    names = "the whole foreground, organ" + ("" if several_lesions else ", lesion")
    assert f"By 6 labeled cases, predictions\n  keep their largest connected component of: {names}\n" in printed
    assert ("  stay as they are in: lesion (demo_005 has 2 components)\n" in printed) is several_lesions
    structures = [[1, 2], [1]] if several_lesions else [[1, 2], [1], [2]]
    assert load_pickle(str(file))[1] == [{"labels_or_regions": structure} for structure in structures]
    assert f"  nnUNetv2_apply_postprocessing -i PREDICTIONS -o POSTPROCESSED -pp_pkl_file '{file}'\n" in printed

    predictions.mkdir()
    for name, source in (
        ("dataset.json", workspace.raw / "dataset.json"),
        ("plans.json", workspace.preprocessed / "nnUNetPlans.json"),
    ):
        (predictions / name).write_text(source.read_text())
    predicted = prediction_with_remains()
    sitk.WriteImage(sitk.GetImageFromArray(predicted), str(predictions / "a.nii.gz"))
    workspace.run("nnUNetv2_apply_postprocessing", "-i", predictions, "-o", output, "-pp_pkl_file", file, "-np", 1)
    expected = predicted.copy()
    expected[9:, 9:, 9:] = 0
    if not several_lesions:
        expected[5, 5, 5] = 0
    assert (sitk.GetArrayFromImage(sitk.ReadImage(str(output / "a.nii.gz"))) == expected).all()


def test_where_no_structure_always_has_one_component_nothing_is_changed(
    workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Both structures have several components in the labels of these scans.
    label_map = np.zeros((12, 12, 12), dtype=np.uint8)
    label_map[::3, 0, 0] = 1
    label_map[::3, 3, 3] = 2
    for file in (workspace.raw / "labelsTr").iterdir():
        sitk.WriteImage(sitk.GetImageFromArray(label_map), str(file))
    file = tmp_path / "postprocessing.pkl"
    assert main(["determine-postprocessing", "-d", "501", "-o", str(file)]) == 0
    several = ", ".join(f"{name} (demo_000 has 4 components)" for name in ("organ", "lesion"))
    assert capsys.readouterr().out == (
        "By 6 labeled cases, predictions\n"
        f"  stay as they are in: the whole foreground (demo_000 has 8 components), {several}\n"
        f"So {file} changes nothing.\n"
    )
    predicted = prediction_with_remains()
    assert (apply_postprocessing(predicted, *load_pickle(str(file))) == predicted).all()


def test_regions_are_looked_at_as_a_whole(workspace: Workspace, tmp_path: Path) -> None:
    write_labels(workspace, several_lesions=True)
    file = workspace.raw / "dataset.json"
    regions = {"labels": {"background": 0, "organ": [1, 2], "lesion": [2]}, "regions_class_order": [1, 2]}
    file.write_text(json.dumps(json.loads(file.read_text()) | regions))
    found = determine_postprocessing("501", tmp_path / "postprocessing.pkl")
    assert found == (["the whole foreground"], {}, 6, 0)
    predicted = prediction_with_remains()
    cleaned = apply_postprocessing(predicted, *load_pickle(str(tmp_path / "postprocessing.pkl")))
    predicted[9:, 9:, 9:] = 0
    assert (cleaned == predicted).all()


def test_labels_off_limits_and_predictions_have_no_say(
    workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_labels(workspace, several_lesions=True)
    train = [f"demo_{index:03d}" for index in range(4)]
    workspace.write_splits({"train": train, "val": [], "unlabeled": ["demo_005"]})
    label = workspace.raw / "labelsTr" / "demo_005.nii.gz"
    structures = ["the whole foreground", "organ", "lesion"]
    assert determine_postprocessing("501", tmp_path / "1.pkl") == (structures, {}, 5, 1)
    label.write_bytes(b"nobody may open it")
    assert determine_postprocessing("501", tmp_path / "2.pkl") == (structures, {}, 5, 1)
    workspace.write_splits({"train": train, "val": []})
    file = workspace.raw / "dataset.json"
    predicted = ["demo_003", "demo_004", "demo_005"]
    content, few = file.read_text(), dict.fromkeys(structures, "3 cases of at least 4")
    file.write_text(json.dumps(json.loads(content) | {"self_training": {"folds": ["0"], "cases": predicted}}))
    assert main(["determine-postprocessing", "-d", "501", "-o", str(tmp_path / "3.pkl")]) == 0
    assert "By 3 labeled cases (3 more are predicted or off limits), predictions\n" in capsys.readouterr().out
    # As an earlier version said it.
    file.write_text(content)
    record = {"source": "Dataset500_Tiny", "predictions": "elsewhere", "pseudo_labeled": predicted}
    (workspace.raw / "self_training.json").write_text(json.dumps(record))
    assert determine_postprocessing("501", tmp_path / "4.pkl") == ([], few, 3, 3)


@pytest.mark.usefixtures("workspace")
def test_a_file_that_is_there_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "there.pkl").write_text("mine")
    with pytest.raises(UserError, match=r"there\.pkl is there already: remove it or choose another name"):
        determine_postprocessing("501", tmp_path / "there.pkl")
    assert (tmp_path / "there.pkl").read_text() == "mine"
    with pytest.raises(UserError, match=r"is a folder: name a file in it, such as .*postprocessing\.pkl"):
        determine_postprocessing("501", tmp_path)


def test_a_damaged_label_is_named_and_nothing_is_written(workspace: Workspace, tmp_path: Path) -> None:
    label = workspace.raw / "labelsTr" / "demo_003.nii.gz"
    label.write_bytes(label.read_bytes()[:200])
    with pytest.raises(UserError, match=r"demo_003\.nii\.gz cannot be read \(.*\): replace it"):
        determine_postprocessing("501", tmp_path / "postprocessing.pkl")
    label.unlink()
    with pytest.raises(UserError, match=r"demo_003\.nii\.gz is missing: add it, or remove its case"):
        determine_postprocessing("501", tmp_path / "postprocessing.pkl")
    assert [file.name for file in tmp_path.iterdir()] == ["nnunet"]
