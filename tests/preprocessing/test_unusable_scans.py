"""Unlabeled scans that cannot be used are named, and the others are done."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO

from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.preprocessing.prepare_unlabeled_data import UnlabeledData
from nnunetv2_dycon.preprocessing.unlabeled_preprocessor import check_image
from tests.preprocessing.unlabeled_scans import change_scan, scan_of

if TYPE_CHECKING:
    from tests.conftest import Workspace

Prepare = Callable[..., UnlabeledData]
CASES = ["demo_006", "demo_007", "demo_008", "demo_009"]


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-200])


def differ_in_size(path: Path) -> None:
    add_channel(path)
    change_scan(path, lambda image: image[1:])


def add_channel(path: Path) -> None:
    shutil.copy(path, path.with_name(path.name.replace("_0000", "_0001")))


def set_spacing(path: Path, spacing: float) -> None:
    image = sitk.ReadImage(str(path))
    image.SetSpacing([spacing] * 3)
    sitk.WriteImage(image, str(path))


def link_to_nothing(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere.nii.gz")


def replace_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def shear(path: Path) -> None:
    """ITK refuses such a scan with a message of several lines."""
    sheared = np.eye(4)
    sheared[0, 1] = 0.5
    nibabel.save(nibabel.Nifti1Image(np.asanyarray(nibabel.load(path).dataobj), sheared), path)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (truncate, "cannot be read"),
        (lambda path: path.write_bytes(b""), "cannot be read"),
        (lambda path: path.write_text("no scan"), "cannot be read"),
        (lambda path: change_scan(path, np.zeros_like), "is empty"),
        (lambda path: change_scan(path, lambda image: np.where(image > 600, np.nan, image)), "NaN or infinite"),
        (lambda path: change_scan(path, lambda image: np.where(image > 600, np.inf, image)), "NaN or infinite"),
        (shear, "cannot be read"),
        (lambda path: set_spacing(path, 1000.0), "has the spacing 1000 x 1000 x 1000 mm: resampled to the plans'"),
        (lambda path: set_spacing(path, 0.001), "which has no voxel. Correct the spacing in its header."),
        (link_to_nothing, "is a link to nowhere.nii.gz, which is not there"),
        (replace_by_folder, "is a folder, not a scan"),
    ],
    ids=[
        "truncated",
        "no bytes",
        "text",
        "all voxels the same",
        "NaN",
        "infinite",
        "sheared",
        "micrometres",
        "metres",
        "link to nothing",
        "folder",
    ],
)
def test_a_scan_that_cannot_be_used_is_named_and_the_others_are_done(
    workspace: Workspace, prepare_unlabeled: Prepare, damage: Callable[[Path], None], reason: str
) -> None:
    scan = scan_of(workspace, "demo_007")
    damage(scan)
    with pytest.raises(UserError) as error:
        prepare_unlabeled()
    lines = str(error.value).splitlines()
    assert lines[0] == "1 unlabeled case cannot be used:"
    assert lines[1].startswith(f"  {scan} ")
    assert reason in lines[1]
    assert lines[2] == "Repair these files or remove them, then start again; the other cases are done."
    done = {file.stem for file in workspace.unlabeled_folder().glob("*.json")}
    assert done == set(CASES) - {"demo_007"}
    assert not list(workspace.unlabeled_folder().glob(".partial*"))


def test_a_further_channel_is_named_and_the_others_are_done(workspace: Workspace, prepare_unlabeled: Prepare) -> None:
    scan = scan_of(workspace, "demo_007")
    add_channel(scan)
    with pytest.raises(UserError) as error:
        prepare_unlabeled()
    further = scan.with_name("demo_007_0001.nii.gz")
    assert f"\n  {further} is a channel beyond the 1 that dataset.json declares: remove it." in str(error.value)
    assert {file.stem for file in workspace.unlabeled_folder().glob("*.json")} == set(CASES) - {"demo_007"}


def test_channels_of_different_sizes_are_named(workspace: Workspace, prepare_unlabeled: Prepare) -> None:
    workspace.write_dataset_json({**workspace.read_dataset_json(), "channel_names": {"0": "MRI", "1": "MRI"}})
    plans = workspace.read_plans()
    for key in ("normalization_schemes", "use_mask_for_norm"):
        plans["configurations"]["3d_fullres"][key] *= 2
    intensities = plans["foreground_intensity_properties_per_channel"]
    intensities["1"] = intensities["0"]
    workspace.write_plans(plans, "nnUNetPlansSmall")
    scan = scan_of(workspace, "demo_007")
    differ_in_size(scan)
    with pytest.raises(UserError) as error:
        prepare_unlabeled()
    lines = str(error.value).splitlines()
    assert f"  {scan} cannot be read: see the message of the reader above" in lines
    assert f"  {scan_of(workspace, 'demo_006')} has 1 channel where dataset.json declares 2" in lines


@pytest.mark.parametrize(
    ("error", "reason", "remedy"),
    [
        (KeyError("spacing"), "cannot be read: KeyError: 'spacing'", "Repair these files or remove them"),
        (SystemError("of ITK"), "cannot be read: SystemError: of ITK", "Repair these files or remove them"),
        (MemoryError(), "needs more memory than there is", "Where memory lacked, run"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_whatever_is_raised_for_one_scan_is_said_of_it_and_the_others_are_done(
    workspace: Workspace,
    prepare_unlabeled: Prepare,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    reason: str,
    remedy: str,
) -> None:
    scan, read_images = scan_of(workspace, "demo_007"), SimpleITKIO.read_images

    def read_or_raise(self: SimpleITKIO, files: list[str]) -> tuple[np.ndarray, dict]:
        if files == [str(scan)]:
            raise error
        return read_images(self, files)

    monkeypatch.setattr(SimpleITKIO, "read_images", read_or_raise)
    with pytest.raises(UserError) as raised:
        prepare_unlabeled()
    lines = str(raised.value).splitlines()
    assert lines[:2] == ["1 unlabeled case cannot be used:", f"  {scan} {reason}"]
    assert lines[2].startswith(remedy)
    assert {file.stem for file in workspace.unlabeled_folder().glob("*.json")} == set(CASES) - {"demo_007"}


def test_a_scan_that_is_deleted_meanwhile_is_named(
    workspace: Workspace, prepare_unlabeled: Prepare, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan, read_images = scan_of(workspace, "demo_008"), SimpleITKIO.read_images

    def read_and_delete(self: SimpleITKIO, files: list[str]) -> tuple[np.ndarray, dict]:
        scan.unlink(missing_ok=True)
        return read_images(self, files)

    monkeypatch.setattr(SimpleITKIO, "read_images", read_and_delete)
    with pytest.raises(UserError, match=rf"{scan} was there before but is not there"):
        prepare_unlabeled()


def test_many_bad_scans_are_counted_and_ten_are_named(workspace: Workspace, prepare_unlabeled: Prepare) -> None:
    for number in range(12):
        scan_of(workspace, f"bad_{number:02d}").write_text("no scan")
    with pytest.raises(UserError) as error:
        prepare_unlabeled()
    text = str(error.value)
    assert text.startswith("12 unlabeled cases cannot be used")
    assert text.count("cannot be read") == 10
    assert "and 2 more" in text


def test_a_scan_that_went_bad_is_no_longer_done(workspace: Workspace, prepare_unlabeled: Prepare) -> None:
    data = prepare_unlabeled()
    truncate(scan_of(workspace, "demo_006"))
    for _ in range(2):
        with pytest.raises(UserError, match="demo_006"):
            prepare_unlabeled()
    assert not (data.folder / "demo_006.json").exists()


def test_good_images_pass_the_check() -> None:
    image = np.zeros((2, 2, 2, 2))
    image[:, 0] = 1
    check_image(image, 2)
    # Data sets fill missing sequences with zeros, and nnU-Net takes them.
    image[1] = 0
    check_image(image, 2)


def test_the_bad_channel_is_named() -> None:
    image = np.random.default_rng(0).random((3, 2, 2, 2))
    for bad in (np.nan, np.inf):
        image[1, 0, 0, 0] = bad
        with pytest.raises(UserError, match="channel 0001 holds"):
            check_image(image, 3)
    with pytest.raises(UserError, match="is empty"):
        check_image(np.full((3, 2, 2, 2), 5.0), 3)
    with pytest.raises(UserError, match="has 3 channels"):
        check_image(image, 1)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NumPy says so, and goes on
def test_a_scan_whose_normalisation_overflows_is_named(workspace: Workspace, prepare_unlabeled: Prepare) -> None:
    """As where the voxels around the body have the least number that there is."""
    least = np.finfo(np.float32).min
    change_scan(scan_of(workspace, "demo_007"), lambda image: np.where(image > image.mean(), image, least))
    with pytest.raises(UserError, match=r"demo_007_0000\.nii\.gz .* infinite after normalization: write smaller"):
        prepare_unlabeled()
