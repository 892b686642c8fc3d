"""Which unlabeled cases a training uses, with and without the raw data; no label is opened for it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import blosc2
import pytest

from nnunetv2_dycon.datasets.planned_dataset import read_planned_dataset
from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.preprocessing.prepare_unlabeled_data import UnlabeledData, prepare_unlabeled_data

if TYPE_CHECKING:
    from tests.conftest import Workspace

Prepare = Callable[..., UnlabeledData]
CASES = ["demo_006", "demo_007", "demo_008", "demo_009"]


@pytest.fixture(params=["not set", "not there", "another dataset"])
def take_raw_data_away(
    request: pytest.FixtureRequest, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], None]:
    def take() -> None:
        if request.param == "not set":
            monkeypatch.delenv("nnUNet_raw")
        elif request.param == "not there":
            monkeypatch.setenv("nnUNet_raw", str(workspace.root / "nowhere"))
        else:
            shutil.move(workspace.raw, workspace.raw.with_name("Dataset502_Other"))

    return take


def test_all_unlabeled_scans_are_used(workspace: Workspace, prepare_unlabeled: Prepare) -> None:
    data = prepare_unlabeled()
    assert data.folder == workspace.unlabeled_folder()
    assert data.identifiers == CASES


def test_off_limits_cases_are_used_too(prepare_unlabeled: Prepare) -> None:
    assert prepare_unlabeled(off_limits=["demo_003", "demo_001", "demo_003"]).identifiers == [
        "demo_001",
        "demo_003",
        *CASES,
    ]
    assert prepare_unlabeled().identifiers == CASES


def test_a_scan_that_was_removed_is_used_no_longer(workspace: Workspace, prepare_unlabeled: Prepare) -> None:
    prepare_unlabeled()
    (workspace.raw / "imagesUnlabeled" / "demo_007_0000.nii.gz").unlink()
    assert prepare_unlabeled().identifiers == ["demo_006", "demo_008", "demo_009"]


@pytest.mark.usefixtures("workspace")
def test_what_was_done_is_reported_and_nothing_where_nothing_was() -> None:
    dataset = read_planned_dataset("501", "nnUNetPlansSmall")
    lines: list[str] = []
    for _ in range(2):
        configuration = dataset.configuration("3d_fullres")
        prepare_unlabeled_data(dataset.plans_manager, configuration, dataset.dataset_json, [], 1, lines.append)
    assert len(lines) == 1
    assert lines[0].startswith("Preprocessed 4 unlabeled cases into ")


@pytest.mark.parametrize("remove_folder", [True, False])
def test_without_unlabeled_scans_it_says_where_to_put_them(
    workspace: Workspace, prepare_unlabeled: Prepare, remove_folder: bool
) -> None:
    folder = workspace.raw / "imagesUnlabeled"
    shutil.rmtree(folder)
    if not remove_folder:
        folder.mkdir()
    with pytest.raises(UserError) as error:
        prepare_unlabeled()
    assert f"Dataset501_Tiny has no unlabeled scans: {folder} is empty or not there" in str(error.value)
    assert "CASE_0000.nii.gz" in str(error.value)
    assert prepare_unlabeled(off_limits=["demo_000"]).identifiers == ["demo_000"]


def test_a_labeled_scan_among_the_unlabeled_is_refused(workspace: Workspace, prepare_unlabeled: Prepare) -> None:
    for case in ("demo_001", "demo_003"):
        shutil.copy(workspace.raw / "imagesTr" / f"{case}_0000.nii.gz", workspace.raw / "imagesUnlabeled")
    with pytest.raises(UserError) as error:
        prepare_unlabeled(off_limits=["demo_001"])
    assert "demo_001, demo_003: in imagesUnlabeled and, with a label, in" in str(error.value)
    assert str(workspace.raw / "imagesTr") in str(error.value)
    assert not workspace.unlabeled_folder().exists()


def test_a_scan_that_is_preprocessed_with_its_label_is_refused(
    workspace: Workspace, prepare_unlabeled: Prepare
) -> None:
    name = "demo_001_0000.nii.gz"
    shutil.move(workspace.raw / "imagesTr" / name, workspace.raw / "imagesUnlabeled" / name)
    with pytest.raises(UserError) as error:
        prepare_unlabeled()
    assert "demo_001: in imagesUnlabeled and, with a label, in" in str(error.value)
    assert str(workspace.preprocessed / "nnUNetPlans_3d_fullres") in str(error.value)


@pytest.mark.parametrize("empty_folder", [True, False])
def test_labeled_cases_need_not_be_preprocessed(
    workspace: Workspace, prepare_unlabeled: Prepare, empty_folder: bool
) -> None:
    folder = workspace.preprocessed / "nnUNetPlans_3d_fullres"
    shutil.rmtree(folder)
    if empty_folder:
        folder.mkdir()
    assert prepare_unlabeled().identifiers == CASES


def test_no_label_is_opened(workspace: Workspace, prepare_unlabeled: Prepare) -> None:
    off_limits = ["demo_000", "demo_001"]
    expected = _contents(prepare_unlabeled(off_limits=off_limits).folder)
    shutil.rmtree(workspace.unlabeled_folder())
    for case in [*off_limits, *CASES]:
        labels = [workspace.raw / "labelsTr" / f"{case}.nii.gz"]
        labels += [workspace.preprocessed / "gt_segmentations" / f"{case}.nii.gz"]
        if case in off_limits:
            preprocessed = workspace.preprocessed / "nnUNetPlans_3d_fullres"
            labels += [preprocessed / f"{case}_seg.b2nd", preprocessed / f"{case}.pkl"]
        for label in labels:
            label.write_bytes(b"not a label")
    assert _contents(prepare_unlabeled(off_limits=off_limits).folder) == expected
    shutil.rmtree(workspace.raw / "labelsTr")
    shutil.rmtree(workspace.unlabeled_folder())
    assert _contents(prepare_unlabeled(off_limits=off_limits).folder) == expected


def _contents(folder: Path) -> dict[str, bytes]:
    # The same array need not be the same file: threads compress its blocks in any order.
    arrays = {file.name: blosc2.open(str(file), mode="r")[:].tobytes() for file in folder.glob("*.b2nd")}
    return arrays | {file.name: file.read_bytes() for file in folder.iterdir() if file.suffix != ".b2nd"}


def test_what_is_preprocessed_can_be_used_without_the_raw_data(
    prepare_unlabeled: Prepare, take_raw_data_away: Callable[[], None]
) -> None:
    with_raw_data = prepare_unlabeled(off_limits=["demo_000", "demo_001"])
    take_raw_data_away()
    assert prepare_unlabeled(off_limits=["demo_000", "demo_001"]) == with_raw_data
    assert prepare_unlabeled(off_limits=["demo_001"]).identifiers == ["demo_001", *CASES]


def test_without_raw_data_nothing_can_be_preprocessed(
    workspace: Workspace, prepare_unlabeled: Prepare, take_raw_data_away: Callable[[], None]
) -> None:
    prepare_unlabeled()
    plans = workspace.read_plans()
    plans["configurations"]["3d_fullres"]["spacing"] = [2, 1, 1]
    workspace.write_plans(plans, "nnUNetPlansOther")
    take_raw_data_away()
    with pytest.raises(UserError, match=r"1 unlabeled cases are not preprocessed and 0 .*Set nnUNet_raw"):
        prepare_unlabeled(off_limits=["demo_000"])
    with pytest.raises(UserError, match=r"0 unlabeled cases are not preprocessed and 4 were .* other plans"):
        prepare_unlabeled("nnUNetPlansOther")


@pytest.mark.parametrize(
    ("file", "text", "damage"),
    [
        ("demo_007.b2nd", "short", "demo_007.b2nd has 5 bytes instead of"),
        ("demo_007.json", "{", "demo_007.json is not there or no stamp"),
    ],
)
def test_without_raw_data_a_case_that_is_not_whole_is_named(
    workspace: Workspace, prepare_unlabeled: Prepare, file: str, text: str, damage: str
) -> None:
    folder = prepare_unlabeled().folder
    (folder / file).write_text(text)
    shutil.rmtree(workspace.raw)
    with pytest.raises(UserError) as error:
        prepare_unlabeled()
    assert f"{folder}: case demo_007 is not whole ({damage}" in str(error.value)
    assert "Set nnUNet_raw to where they are" in str(error.value)


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "demo_007.b2nd").write_bytes(b"short"),
        lambda folder: (folder / "demo_007_nonzero.b2nd").unlink(),
        lambda folder: (folder / "demo_007.pkl").unlink(),
        lambda folder: (folder / "demo_007.json").write_text("{"),
    ],
)
def test_a_case_that_is_not_whole_is_done_again(
    prepare_unlabeled: Prepare, damage: Callable[[Path], None], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = prepare_unlabeled().folder
    before = _contents(folder)
    damage(folder)
    capsys.readouterr()
    prepare_unlabeled()
    assert capsys.readouterr().out.startswith("Preprocessed 1 unlabeled cases")
    assert _contents(folder) == before


def test_what_was_made_from_scans_that_are_gone_is_used_with_a_warning(
    workspace: Workspace, prepare_unlabeled: Prepare, capsys: pytest.CaptureFixture[str]
) -> None:
    scans = [workspace.raw / "imagesUnlabeled" / f"{case}_0000.nii.gz" for case in CASES[:2]]
    for scan in scans:
        scan.rename(workspace.root / scan.name)
        scan.symlink_to(workspace.root / scan.name)
    data = prepare_unlabeled()
    capsys.readouterr()
    for number, scan in enumerate(scans):
        (workspace.root / scan.name).unlink()
        assert prepare_unlabeled() == data
        more = " and 1 more raw files are" if number else " is"
        warning = f"WARNING: {scans[0]}{more} not there any more: what was preprocessed before is used.\n"
        assert capsys.readouterr().out == warning


def test_plans_of_one_data_identifier_leave_each_others_data_alone(
    workspace: Workspace, prepare_unlabeled: Prepare
) -> None:
    first = prepare_unlabeled()
    before = {file: file.stat().st_mtime_ns for file in first.folder.iterdir()}
    plans = workspace.read_plans()
    plans["configurations"]["3d_fullres"]["spacing"] = [2, 1, 1]
    workspace.write_plans(plans, "nnUNetPlansOther")
    second = prepare_unlabeled("nnUNetPlansOther")
    assert second.folder.parent == first.folder.parent
    assert prepare_unlabeled() == first
    assert {file: file.stat().st_mtime_ns for file in first.folder.iterdir()} == before
    image, other = (blosc2.open(str(data.folder / "demo_006.b2nd"), mode="r") for data in (first, second))
    assert image.shape != other.shape


def test_without_raw_and_preprocessed_data_there_are_no_unlabeled_scans(
    prepare_unlabeled: Prepare, take_raw_data_away: Callable[[], None]
) -> None:
    take_raw_data_away()
    with pytest.raises(UserError, match=r"has no unlabeled scans: .*\(there are no raw data of Dataset501_Tiny here\)"):
        prepare_unlabeled()


def test_without_raw_data_a_case_that_has_a_label_is_refused(
    workspace: Workspace, prepare_unlabeled: Prepare, take_raw_data_away: Callable[[], None]
) -> None:
    prepare_unlabeled()
    labeled = workspace.preprocessed / "nnUNetPlans_3d_fullres"
    for suffix in (".b2nd", "_seg.b2nd", ".pkl"):
        shutil.copy(labeled / f"demo_000{suffix}", labeled / f"demo_006{suffix}")
    take_raw_data_away()
    with pytest.raises(UserError, match="demo_006: in imagesUnlabeled and, with a label"):
        prepare_unlabeled()
