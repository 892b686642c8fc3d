"""The data sets of the semi-supervised literature: their labels, splits, and the files in which people have them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from nnunetv2_dycon.conversion.read_scans import Axes, read_dicom, read_h5, read_itk
from nnunetv2_dycon.conversion.source_formats import Cases, SourceFormat

_IDENTITY = {0: 0, 1: 1}
_CROPPED = (
    "These h5 files were cropped around the structure by its label, those of unlabeled and test cases too. Whoever "
    "trains on them knows roughly where it is, as published figures do. Whole scans are the honest task: convert the "
    "original release."
)


@dataclass(frozen=True)
class DataSet:
    """A data set of the literature.

    Attributes:
        name: what ``nnunetv2_dycon convert`` takes.
        title: what a new dataset is called.
        labels: names and values, as in dataset.json.
        splits: names of its published splits; the first one is the default.
        formats: in which people have its files.
        patient_pattern: what the name of a case begins with that is the same in all cases of a patient.
    """

    name: str
    title: str
    labels: Mapping[str, int]
    splits: tuple[str, ...]
    formats: tuple[SourceFormat, ...]
    patient_pattern: str = ".+"

    def patient_of(self, case: str) -> str:
        """The patient that a case is of."""
        match = re.match(self.patient_pattern, case)
        assert match is not None
        return match[0]


def _h5(
    layout: str,
    pattern: str,
    axes: Axes,
    spacing: tuple[float, float, float],
    channel_name: str,
    label_values: Mapping[int, int],
    split: str | None = None,
    notes: tuple[str, ...] = (),
) -> SourceFormat:
    read = partial(read_h5, axes=axes, spacing=spacing)
    return SourceFormat(
        name="h5",
        layout=f"{layout} with the datasets image and label",
        image_pattern=pattern,
        label_pattern=None,
        read_image=partial(read, dataset="image"),
        read_label=partial(read, dataset="label"),
        channel_name=channel_name,
        label_values=label_values,
        assumed_spacing=spacing,
        split=split,
        notes=notes,
    )


def _number_frames(cases: Cases) -> Cases:
    """Call the frames of a patient, whose numbers are those of the cine sequence, 01 and 02 as the lists do."""
    numbered: Cases = {}
    for name in sorted(cases):
        patient = name.partition("_")[0]
        frame = 1 + sum(other.startswith(f"{patient}_") for other in numbered)
        numbered[f"{patient}_frame{frame:02d}"] = cases[name]
    return numbered


# 0.625 mm: the challenge's page. The arrays are those of pynrrd, x first, cropped in x and y: UA-MT's preprocessing.
_LA = DataSet(
    name="la",
    title="LA",
    labels={"background": 0, "left_atrium": 1},
    splits=("ua-mt",),
    formats=(
        _h5(
            "CASE/mri_norm2.h5",
            r"(?P<case>[^/]+)/mri_norm2\.h5",
            "xyz",
            (0.625, 0.625, 0.625),
            "LGE_MRI",
            _IDENTITY,
            notes=(_CROPPED,),
        ),
        SourceFormat(
            name="nrrd",
            layout="CASE/lgemri.nrrd and CASE/laendo.nrrd",
            image_pattern=r"(?P<case>[^/]+)/lgemri\.nrrd",
            label_pattern=r"(?P<case>[^/]+)/laendo\.nrrd",
            read_image=read_itk,
            read_label=read_itk,
            channel_name="LGE_MRI",
            label_values={0: 0, 255: 1},
        ),
    ),
)

# MC-Net's preprocessing: resampled to 1 mm, x first, cropped in x and y, -125 to 275 Hounsfield units, z-score.
_PANCREAS_H5 = partial(_h5, axes="xyz", spacing=(1.0, 1.0, 1.0), channel_name="CT_window", label_values=_IDENTITY)
_PANCREAS_LABEL = r"label(?P<number>\d{4})\.nii(?:\.gz)?"
_PANCREAS = DataSet(
    name="pancreas",
    title="PancreasCT",
    labels={"background": 0, "pancreas": 1},
    splits=("mc-net", "dycon"),
    formats=(
        _PANCREAS_H5("imageXXXX_norm.h5", r"(?P<case>image\d{4})_norm\.h5", split="mc-net", notes=(_CROPPED,)),
        _PANCREAS_H5(
            "PANCREAS_XXXX.h5",
            r"(?P<case>PANCREAS_\d{4})\.h5",
            split="dycon",
            notes=(
                _CROPPED,
                "How these files were made is not published: axes and spacing are taken to be those of MC-Net's files.",
            ),
        ),
        SourceFormat(
            name="nifti",
            layout="PANCREAS_XXXX.nii.gz or imageXXXX.nii.gz, and labelXXXX.nii.gz",
            image_pattern=r"(?:PANCREAS_|image)(?P<number>\d{4})\.nii(?:\.gz)?",
            label_pattern=_PANCREAS_LABEL,
            read_image=read_itk,
            read_label=read_itk,
            channel_name="CT",
            label_values=_IDENTITY,
        ),
        SourceFormat(
            name="dicom",
            layout="PANCREAS_XXXX/.../*.dcm, and labelXXXX.nii.gz",
            image_pattern=r"PANCREAS_(?P<number>\d{4})/.+\.dcm",
            label_pattern=_PANCREAS_LABEL,
            read_image=read_dicom,
            read_label=read_itk,
            channel_name="CT",
            label_values=_IDENTITY,
            is_series=True,
        ),
    ),
)

# SSL4MIS: FLAIR alone, the whole tumour, cropped to the brain by the image. The challenge's labels are 1, 2 and 4.
_WHOLE_TUMOUR = {0: 0, 1: 1, 2: 1, 4: 1}
_BRATS19 = DataSet(
    name="brats19",
    title="BraTS19",
    labels={"background": 0, "whole_tumour": 1},
    splits=("ssl4mis",),
    formats=(
        _h5(
            "CASE.h5",
            r"(?P<case>BraTS19_\w+)\.h5",
            "zyx",
            (1.0, 1.0, 1.0),
            "FLAIR",
            _WHOLE_TUMOUR,
            notes=(
                "The order of the axes of these files is not published. Scans may lie on their side, all alike: do not "
                "predict originals with a model of theirs.",
            ),
        ),
        SourceFormat(
            name="nifti",
            layout="CASE_flair.nii.gz and CASE_seg.nii.gz",
            image_pattern=r"(?P<case>BraTS19_\w+)_flair\.nii(?:\.gz)?",
            label_pattern=r"(?P<case>BraTS19_\w+)_seg\.nii(?:\.gz)?",
            read_image=read_itk,
            read_label=read_itk,
            channel_name="FLAIR",
            label_values=_WHOLE_TUMOUR,
        ),
    ),
)

# DyCON's loader says that it has the diffusion-weighted images alone.
_ISLES22 = DataSet(
    name="isles22",
    title="ISLES22",
    labels={"background": 0, "lesion": 1},
    splits=("fold0", "fold1", "fold2"),
    formats=(
        SourceFormat(
            name="nifti",
            layout="CASE/ses-0001/dwi/CASE_ses-0001_dwi.nii.gz and derivatives/CASE/ses-0001/CASE_ses-0001_msk.nii.gz",
            image_pattern=r"(?P<case>sub-strokecase\d{4})_ses-0001_dwi\.nii(?:\.gz)?",
            label_pattern=r"(?P<case>sub-strokecase\d{4})_ses-0001_msk\.nii(?:\.gz)?",
            read_image=read_itk,
            read_label=read_itk,
            channel_name="DWI",
            label_values=_IDENTITY,
        ),
    ),
)

_ACDC_LABELS = {"background": 0, "right_ventricle": 1, "myocardium": 2, "left_ventricle": 3}
_ACDC = DataSet(
    name="acdc",
    title="ACDC",
    labels=_ACDC_LABELS,
    splits=("ssl4mis",),
    patient_pattern=r"patient\d{3}",
    formats=(
        # SSL4MIS: volumes and, of the training cases, slices, each with the slice as its first axis.
        _h5(
            "patientXXX_frameYY.h5 or, for want of it, patientXXX_frameYY_slice_N.h5,",
            r"(?P<case>patient\d{3}_frame\d{2})(?:_slice_(?P<slice>\d+))?\.h5",
            "zyx",
            (1.5, 1.5, 10.0),
            "cine_MRI",
            {value: value for value in _ACDC_LABELS.values()},
            notes=(
                "Voxels of ACDC differ from scan to scan, and the h5 files do not tell: distances in mm are nominal.",
            ),
        ),
        SourceFormat(
            name="nifti",
            layout="patientXXX_frameYY.nii.gz and patientXXX_frameYY_gt.nii.gz",
            image_pattern=r"(?P<case>patient\d{3}_frame\d{2})\.nii(?:\.gz)?",
            label_pattern=r"(?P<case>patient\d{3}_frame\d{2})_gt\.nii(?:\.gz)?",
            read_image=read_itk,
            read_label=read_itk,
            channel_name="cine_MRI",
            label_values={value: value for value in _ACDC_LABELS.values()},
            rename=_number_frames,
        ),
    ),
)

DATA_SETS = {data_set.name: data_set for data_set in (_LA, _PANCREAS, _BRATS19, _ISLES22, _ACDC)}
