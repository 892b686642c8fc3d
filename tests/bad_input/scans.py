"""Bad input among scans and predictions."""

from __future__ import annotations

import shutil

import nibabel
import numpy as np
import SimpleITK as sitk

from tests.bad_input.row import (
    DETERMINE_POSTPROCESSING,
    DOCTOR,
    PREPROCESS,
    PSEUDO_LABEL,
    SELF_TRAIN,
    SIMULATE,
    TRAIN,
    Place,
    Prepare,
    Row,
    write,
)

BOTH = (TRAIN, PREPROCESS)
READY = "3d_fullres: 4 unlabeled cases are ready in"


def raw_file(name: str, content: bytes = b"") -> Prepare:
    """A file in the raw dataset."""
    return lambda place: write(place.workspace.raw / name, content)


def no_unlabeled_scans(place: Place) -> None:
    shutil.rmtree(place.workspace.raw / "imagesUnlabeled")


def nothing_ignored(place: Place) -> None:
    place.workspace.write_labels(ignores=True)
    no_unlabeled_scans(place)


def renamed(name: str) -> Prepare:
    """The folder of unlabeled scans under another name."""
    return lambda place: (place.workspace.raw / "imagesUnlabeled").rename(place.workspace.raw / name)


def labeled_too(place: Place) -> None:
    folder = place.workspace.raw
    shutil.copy(folder / "imagesTr" / "demo_003_0000.nii.gz", folder / "imagesUnlabeled")


def scan(values: np.ndarray) -> Prepare:
    """An unlabeled scan of these values."""

    def prepare(place: Place) -> None:
        image = nibabel.Nifti1Image(values.astype(np.float32), np.eye(4))
        nibabel.save(image, place.workspace.raw / "imagesUnlabeled" / "demo_006_0000.nii.gz")

    return prepare


def by_itk(image: sitk.Image) -> Prepare:
    """An unlabeled scan as SimpleITK writes it."""
    name = "imagesUnlabeled/demo_006_0000.nii.gz"
    return lambda place: sitk.WriteImage(image, str(place.workspace.raw / name))


def cut_short(place: Place) -> None:
    file = place.workspace.raw / "imagesUnlabeled" / "demo_006_0000.nii.gz"
    file.write_bytes(file.read_bytes()[:1000])


def predictions(content: bytes | None) -> Prepare:
    """A folder of predictions, one of which has this content; None: the others are missing."""

    def prepare(place: Place) -> None:
        label = place.workspace.raw / "labelsTr" / "demo_000.nii.gz"
        for index in range(6, 10) if content is not None else (6,):
            write(place.workspace.root / "PREDICTIONS" / f"demo_{index:03d}.nii.gz", label.read_bytes())
        if content is not None:
            write(place.workspace.root / "PREDICTIONS" / "demo_007.nii.gz", content)

    return prepare


def prediction_of_another_dataset(place: Place) -> None:
    predictions(b"")(place)
    image = nibabel.Nifti1Image(np.full((4, 4, 4), 9, np.uint8), np.eye(4))
    nibabel.save(image, place.workspace.root / "PREDICTIONS" / "demo_007.nii.gz")


def plain_layout_with_a_hidden_file(place: Place) -> None:
    source = place.workspace.root / "plain"
    for name, there in (("images", "imagesTr"), ("labels", "labelsTr")):
        for file in (place.workspace.raw / there).iterdir():
            write(source / name / f"{file.name[:8]}.nii.gz", file.read_bytes())
        write(source / name / "._demo_000.nii.gz", b"")


ROWS = [
    Row("no unlabeled scans", (*BOTH, PSEUDO_LABEL, SELF_TRAIN), "imagesUnlabeled", no_unlabeled_scans),
    Row(
        "neither unlabeled scans nor, with an ignore label, ignored voxels",
        (TRAIN,),
        "has no unlabeled scans: ... and no training case has voxels with the ignore label. Put scans",
        nothing_ignored,
    ),
    *(
        Row(
            f"a folder {name} in place of imagesUnlabeled",
            (*BOTH, DOCTOR, PSEUDO_LABEL),
            f"Did you mean ... {name}? Its name must be imagesUnlabeled: rename it",
            renamed(name),
        )
        for name in ("imagesUnlabelled", "ImagesUnlabeled", "images_unlabeled", "unlabeled")
    ),
    Row(
        "a case in imagesTr and in imagesUnlabeled",
        (*BOTH, DOCTOR, PSEUDO_LABEL, SELF_TRAIN),
        "demo_003 ... remove",
        labeled_too,
    ),
    Row(
        "a file that is not named like a scan",
        (*BOTH, DOCTOR, PSEUDO_LABEL),
        "scan.nii.gz is not named like a scan of this dataset. Name it CASE_0000.nii.gz",
        raw_file("imagesUnlabeled/scan.nii.gz"),
    ),
    Row(
        "a file of another ending than the dataset's",
        (*BOTH, DOCTOR, PSEUDO_LABEL),
        "a_0000.nii does not have this dataset's file ending, .nii.gz. If it is a scan, convert it to CASE_0000.nii.gz "
        "... another name is not enough. Otherwise move it out of imagesUnlabeled",
        raw_file("imagesUnlabeled/a_0000.nii"),
    ),
    Row(
        "a case of which a channel is missing",
        (*BOTH, DOCTOR),
        "imagesUnlabeled/demo_020* has the channels 0001: some are missing. Add the missing files or remove the case",
        raw_file("imagesUnlabeled/demo_020_0001.nii.gz"),
    ),
    Row(
        "a scan without the number of its channel, whose own number is read as one",
        (*BOTH, DOCTOR, PSEUDO_LABEL),
        "if scan_0001.nii.gz is a whole scan, rename it to scan_0001_0000.nii.gz",
        raw_file("imagesUnlabeled/scan_0001.nii.gz"),
    ),
    Row(
        "a channel that dataset.json does not have",
        (*BOTH, DOCTOR, PSEUDO_LABEL),
        "demo_006_0001.nii.gz is a channel beyond the 1 that dataset.json declares: remove it",
        raw_file("imagesUnlabeled/demo_006_0001.nii.gz"),
    ),
    Row(
        "a case whose name begins with a dash",
        (*BOTH, DOCTOR, PSEUDO_LABEL),
        "has the case '-rf': rename it to a name without",
        raw_file("imagesUnlabeled/-rf_0000.nii.gz"),
    ),
    Row(
        "a case with a control character in its name",
        (*BOTH, DOCTOR, PSEUDO_LABEL),
        "has the case 'a\\tb': rename it",
        raw_file("imagesUnlabeled/a\tb_0000.nii.gz"),
    ),
    Row(
        "a labeled case whose name begins with a dash",
        (SIMULATE, PSEUDO_LABEL, DETERMINE_POSTPROCESSING),
        "has the case '-rf': rename it to a name without",
        raw_file("imagesTr/-rf_0000.nii.gz"),
    ),
    Row(
        "a scan cut short", BOTH, "1 unlabeled case cannot be used: ... demo_006_0000.nii.gz cannot be read", cut_short
    ),
    Row(
        "a scan that is text",
        BOTH,
        "demo_006_0000.nii.gz cannot be read",
        raw_file("imagesUnlabeled/demo_006_0000.nii.gz", b"no scan"),
    ),
    Row(
        "an empty file in place of a scan",
        BOTH,
        "demo_006_0000.nii.gz cannot be read",
        raw_file("imagesUnlabeled/demo_006_0000.nii.gz"),
    ),
    Row(
        "a scan without contrast",
        BOTH,
        "demo_006_0000.nii.gz is empty: all its voxels are the same",
        scan(np.ones((9, 9, 9))),
    ),
    Row(
        "a scan with NaN",
        BOTH,
        "demo_006_0000.nii.gz ... values that are NaN or infinite",
        scan(np.full((9, 9, 9), np.nan)),
    ),
    Row(
        "a 2D image among volumes",
        BOTH,
        "demo_006_0000.nii.gz is an image of 2 axes, where the configuration is of 3: write the whole volume",
        by_itk(sitk.GetImageFromArray(np.arange(480, dtype=np.float32).reshape(20, 24))),
    ),
    Row(
        "a scan whose voxels are vectors",
        BOTH,
        "demo_006_0000.nii.gz holds vectors of 2 numbers, not one number a voxel: write each component",
        by_itk(sitk.GetImageFromArray(np.arange(1200, dtype=np.float32).reshape(20, 6, 5, 2), isVector=True)),
    ),
    Row(
        "a scan of colours",
        BOTH,
        "demo_006_0000.nii.gz holds vectors of 3 numbers, not one number a voxel: write each component",
        by_itk(sitk.GetImageFromArray(np.arange(1800).reshape(20, 6, 5, 3).astype(np.uint8), isVector=True)),
    ),
    Row(
        "hidden files in imagesTr, which nnU-Net takes for scans",
        (DOCTOR,),
        "imagesTr has 1 hidden file such as ._demo_000_0000.nii.gz, which nnU-Net takes for scans. Remove it: find",
        raw_file("imagesTr/._demo_000_0000.nii.gz"),
    ),
    Row(
        "hidden files in imagesUnlabeled, which nnU-Net is to predict",
        (SELF_TRAIN,),
        "imagesUnlabeled has 1 hidden file such as ._demo_006_0000.nii.gz, which nnU-Net takes for scans. Remove it",
        raw_file("imagesUnlabeled/._demo_006_0000.nii.gz"),
    ),
    Row(
        "a label that is damaged",
        (DETERMINE_POSTPROCESSING,),
        "demo_000.nii.gz cannot be read (...): replace it",
        raw_file("labelsTr/demo_000.nii.gz"),
    ),
    Row(
        "predictions that are missing",
        (PSEUDO_LABEL,),
        "3 of 4 predictions are missing, ... for one: predict all",
        predictions(None),
    ),
    Row(
        "a prediction that is damaged",
        (PSEUDO_LABEL,),
        "demo_007.nii.gz cannot be read (...): remove it and predict",
        predictions(b"x"),
    ),
    Row(
        "a prediction with a value that is no label",
        (PSEUDO_LABEL,),
        "demo_007.nii.gz holds the value 9, which is no label of the dataset: predict with a model of this dataset",
        prediction_of_another_dataset,
    ),
]
ACCEPTED = [
    Row(
        "hidden files in imagesUnlabeled: skipped",
        (PREPROCESS,),
        READY,
        raw_file("imagesUnlabeled/._demo_006_0000.nii.gz"),
        0,
    ),
    Row(
        "hidden files in the source of a simulation: skipped",
        ("simulate -i plain -o 601 -n 2 --channel_name MRI",),
        "2 labeled, 2 unlabeled, 2 test cases",
        plain_layout_with_a_hidden_file,
        0,
    ),
    Row(
        "hidden files in imagesTr and labelsTr, for a simulation: skipped",
        (SIMULATE,),
        "2 labeled, 4 unlabeled, 2 test cases",
        raw_file("imagesTr/._demo_000_0000.nii.gz"),
        0,
    ),
]
