"""Bad input among preprocessed cases, and in what lies beside them."""

from __future__ import annotations

import os
import shutil

from tests.bad_input.row import DOCTOR, SELF_TRAIN, TRAIN, Place, Prepare, Row, write


def preprocessed_file(name: str) -> Prepare:
    """A further file in the folder of preprocessed cases."""
    return lambda place: write(place.workspace.preprocessed / "nnUNetPlans_3d_fullres" / name, b"")


def removed(pattern: str) -> Prepare:
    """Files or folders of nnUNet_preprocessed that are gone."""

    def prepare(place: Place) -> None:
        found = list(place.workspace.preprocessed.glob(pattern))
        assert found
        for path in found:
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    return prepare


def preprocessed_files_cut_short(*names: str) -> Prepare:
    """Files in the folder of preprocessed cases that lack their end."""

    def prepare(place: Place) -> None:
        for name in names:
            file = place.workspace.preprocessed / "nnUNetPlans_3d_fullres" / name
            file.write_bytes(file.read_bytes()[:-20])

    return prepare


def label_replaced(age: float, *, is_copied: bool = False) -> Prepare:
    """A label with another content than when it was preprocessed, of a time so many seconds from then."""

    def prepare(place: Place) -> None:
        labels, name = place.workspace.raw / "labelsTr", "demo_001.nii.gz"
        copy = place.workspace.preprocessed / "gt_segmentations" / name
        preprocessed = place.workspace.preprocessed / "nnUNetPlans_3d_fullres" / "demo_001.pkl"
        time = (preprocessed if is_copied else copy).stat().st_mtime + age
        (labels / name).write_bytes((labels / "demo_002.nii.gz").read_bytes())
        os.utime(labels / name, (time, time))
        if is_copied:
            shutil.copy2(labels / name, copy)

    return prepare


ROWS = [
    Row(
        "a label that has changed since it was preprocessed",
        (SELF_TRAIN,),
        "demo_001: the label has changed since it was preprocessed; run nnUNetv2_preprocess -d 501 -c 3d_fullres",
        label_replaced(60),
    ),
    Row(
        "such a label, after another configuration was preprocessed",
        (SELF_TRAIN,),
        "demo_001: the label has changed since it was preprocessed; run nnUNetv2_preprocess -d 501 -c 3d_fullres",
        label_replaced(60, is_copied=True),
    ),
    Row(
        "such a label that is older than the copy of it",
        (SELF_TRAIN,),
        "demo_001: the label has changed since it was preprocessed; remove demo_001.nii.gz in ... newer than the label "
        "in its place, then run nnUNetv2_preprocess -d 501 -c 3d_fullres",
        label_replaced(-60),
    ),
    *(
        Row(
            f"a preprocessed file of a labeled case that is cut short ({ending})",
            (TRAIN, DOCTOR),
            f"{case}{ending} is damaged or cut short, in .... To write it anew, run nnUNetv2_preprocess -d 501 -c "
            "3d_fullres -plans_name nnUNetPlansSmall",
            preprocessed_files_cut_short(f"{case}{ending}"),
        )
        for case, ending in (("demo_002", ".b2nd"), ("demo_004", "_seg.b2nd"), ("demo_002", ".pkl"))
    ),
    Row(
        "two preprocessed files of labeled cases that are cut short",
        (TRAIN, DOCTOR),
        "demo_002.b2nd, demo_004_seg.b2nd are damaged or cut short, in .... To write them anew, run nnUNetv2_prep",
        preprocessed_files_cut_short("demo_002.b2nd", "demo_004_seg.b2nd"),
    ),
    Row(
        "labeled cases that are not preprocessed",
        (TRAIN, DOCTOR),
        "not preprocessed",
        removed("nnUNetPlans_3d_fullres"),
    ),
    Row(
        "an empty folder of preprocessed cases",
        (TRAIN, DOCTOR),
        "nnUNetPlans_3d_fullres has no preprocessed cases: run nnUNetv2_preprocess -d 501 -c 3d_fullres",
        removed("nnUNetPlans_3d_fullres/*"),
    ),
    Row(
        "a case of which a preprocessed file is missing",
        (TRAIN, DOCTOR),
        "demo_002 lacks preprocessed data in ...: correct the names in ..., or run nnUNetv2_preprocess -d 501",
        removed("nnUNetPlans_3d_fullres/demo_002.pkl"),
    ),
    Row(
        "a hidden file among the preprocessed cases",
        (TRAIN, DOCTOR),
        "._demo_000.b2nd is none of nnU-Net's files, and nnU-Net would fail on it: remove it",
        preprocessed_file("._demo_000.b2nd"),
    ),
    Row(
        "another file among the preprocessed cases (.DS_Store)",
        (TRAIN, DOCTOR),
        ".DS_Store is none of nnU-Net's files, and nnU-Net would fail on it: remove it",
        preprocessed_file(".DS_Store"),
    ),
    Row(
        "a label file that the final validation reads, gone",
        (TRAIN, DOCTOR),
        "gt_segmentations/demo_004.nii.gz is not there, and the validation at the end compares with it. Copy",
        removed("gt_segmentations/demo_004.nii.gz"),
    ),
    Row(
        "the fingerprint, gone",
        (TRAIN, DOCTOR),
        "dataset_fingerprint.json is not there, and nnU-Net copies it. Run nnUNetv2_extract_fingerprint",
        removed("dataset_fingerprint.json"),
    ),
]
