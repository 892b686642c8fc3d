"""Small files of exactly the formats that people have: h5 files of the literature and original releases."""

from __future__ import annotations

import locale
from collections.abc import Callable, Collection
from pathlib import Path

import h5py
import numpy as np
import SimpleITK as sitk

from nnunetv2_dycon.commands.main import main
from nnunetv2_dycon.conversion.published_splits import PublishedSplit

# In the order (x, y, z), no two alike, so that exchanged axes show.
SIZE = (5, 6, 4)
SPACING = (0.5, 0.75, 2.0)
ORIGIN = (-10.0, 20.0, 30.0)
# An axis runs the other way, as in many originals.
DIRECTION = (1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 1.0)
GARBAGE = b"no label at all"


def image_of(number: int) -> np.ndarray:
    """A scan of the axes (x, y, z) whose voxels tell case and place, within what int16 holds."""
    x, y, z = np.indices(SIZE)
    return (90 * number + 100 * x + 10 * y + z).astype(np.float32)


def label_of(values: Collection[int]) -> np.ndarray:
    """A label of the axes (x, y, z) with a voxel of each value along a corner's x axis."""
    label = np.zeros(SIZE, np.uint8)
    for place, value in enumerate(values):
        label[1 + place, 2, 3] = value
    return label


def itk_image(array: np.ndarray, *, direction: tuple[float, ...] = DIRECTION) -> sitk.Image:
    """An array of the axes (x, y, z) with the geometry of the originals."""
    image = sitk.GetImageFromArray(np.ascontiguousarray(array.transpose(2, 1, 0)))
    image.SetSpacing(SPACING)
    image.SetOrigin(ORIGIN)
    image.SetDirection(direction)
    return image


def _write_itk(file: Path, array: np.ndarray) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(itk_image(array), str(file), useCompression=True)


def _write_label(file: Path, array: np.ndarray | None) -> None:
    if array is None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(GARBAGE)
    else:
        _write_itk(file, array)


def _write_h5(file: Path, image: np.ndarray, label: np.ndarray | None) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(file, "w") as content:
        content.create_dataset("image", data=image, compression="gzip")
        content["label"] = GARBAGE if label is None else label


def write_la_h5(folder: Path, case: str, image: np.ndarray, label: np.ndarray | None) -> None:
    _write_h5(folder / "2018LA_Seg_Training Set" / case / "mri_norm2.h5", image, label)


def write_la_nrrd(folder: Path, case: str, image: np.ndarray, label: np.ndarray | None) -> None:
    _write_itk(folder / "Training Set" / case / "lgemri.nrrd", image.astype(np.int16))
    file = folder / "Training Set" / case / "laendo.nrrd"
    _write_label(file, None if label is None else label * 255)


def write_pancreas_h5(folder: Path, case: str, image: np.ndarray, label: np.ndarray | None) -> None:
    _write_h5(folder / "Pancreas_h5" / f"{case}_norm.h5", image, None if label is None else label.astype(np.float32))


def write_pancreas_dycon_h5(folder: Path, case: str, image: np.ndarray, label: np.ndarray | None) -> None:
    _write_h5(folder / "Pancreas_data" / f"{case}.h5", image, label)


def write_pancreas_nifti(folder: Path, case: str, image: np.ndarray, label: np.ndarray | None) -> None:
    number = case[-4:]
    _write_itk(folder / "data" / f"PANCREAS_{number}.nii.gz", image.astype(np.int16))
    _write_label(folder / "TCIA_pancreas_labels-02-05-2017" / f"label{number}.nii.gz", label)


def write_pancreas_dicom(folder: Path, case: str, image: np.ndarray, label: np.ndarray | None) -> None:
    """A CT of axial slices as GDCM orders them; the label has the y axis the other way, in the same places."""
    number = case[-4:]
    series = folder / "Pancreas-CT" / f"PANCREAS_{number}" / "11-24-2015-abdomen" / "Pancreas-1"
    series.mkdir(parents=True)
    # ITK stores what lies 1024 above, as the tags say.
    volume = itk_image(image.astype(np.int16), direction=(1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0))
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    # GDCM leaves the process with the locale "C", whose text is ASCII.
    locale_before = locale.setlocale(locale.LC_ALL)
    for index in range(SIZE[2]):
        one = volume[:, :, index]
        one.SetSpacing(SPACING[:2])
        tags = {
            "0008|0060": "CT",
            "0008|0016": "1.2.840.10008.5.1.4.1.1.2",
            "0008|0018": f"1.2.3.{int(number)}.{index + 1}",
            "0020|000d": f"1.2.3.{int(number)}",
            "0020|000e": f"1.2.3.{int(number)}.99",
            "0020|0013": str(SIZE[2] - index),
            "0020|0032": "\\".join(str(place) for place in volume.TransformIndexToPhysicalPoint((0, 0, index))),
            "0020|0037": "1\\0\\0\\0\\1\\0",
            "0018|0050": str(SPACING[2]),
            "0028|0030": f"{SPACING[1]}\\{SPACING[0]}",
            "0028|1052": "-1024",
            "0028|1053": "1",
        }
        for tag, value in tags.items():
            one.SetMetaData(tag, value)
        writer.SetFileName(str(series / f"1-{index + 1:03d}.dcm"))
        writer.Execute(one)
    locale.setlocale(locale.LC_ALL, locale_before)
    file = folder / "TCIA_pancreas_labels-02-05-2017" / f"label{number}.nii.gz"
    if label is None:
        _write_label(file, None)
        return
    flipped = itk_image(label[:, ::-1])
    last_y = ORIGIN[1] + (SIZE[1] - 1) * SPACING[1]
    flipped.SetOrigin((ORIGIN[0], last_y, ORIGIN[2]))
    file.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(flipped, str(file))


def write_brats19_h5(folder: Path, case: str, image: np.ndarray, label: np.ndarray | None) -> None:
    volume = None if label is None else label.transpose(2, 1, 0)
    _write_h5(folder / "data" / f"{case}.h5", image.transpose(2, 1, 0), volume)


def write_brats19_nifti(folder: Path, case: str, image: np.ndarray, label: np.ndarray | None) -> None:
    grade = "HGG" if len(case) % 2 else "LGG"
    for modality in ("flair", "t1"):
        _write_itk(folder / grade / case / f"{case}_{modality}.nii.gz", image.astype(np.int16))
    _write_label(folder / grade / case / f"{case}_seg.nii.gz", label)


def write_isles22_nifti(folder: Path, case: str, image: np.ndarray, label: np.ndarray | None) -> None:
    for modality in ("dwi", "adc"):
        _write_itk(folder / case / "ses-0001" / "dwi" / f"{case}_ses-0001_{modality}.nii.gz", image)
    _write_label(folder / "derivatives" / case / "ses-0001" / f"{case}_ses-0001_msk.nii.gz", label)


def write_acdc_h5(folder: Path, case: str, image: np.ndarray, label: np.ndarray | None) -> None:
    """Volumes of the even patients, slices of the others."""
    volume, labels = image.transpose(2, 1, 0), None if label is None else label.transpose(2, 1, 0)
    if int(case[7:10]) % 2 == 0:
        _write_h5(folder / "data" / f"{case}.h5", volume, labels)
        return
    for index, one in enumerate(volume):
        file = folder / "data" / "slices" / f"{case}_slice_{index + 1}.h5"
        _write_h5(file, one, None if labels is None else labels[index])


def write_acdc_nifti(folder: Path, case: str, image: np.ndarray, label: np.ndarray | None) -> None:
    """The end of systole has another frame number in each patient."""
    patient, frame = case.split("_frame")
    number = 1 if frame == "01" else 7 + int(patient[-2:]) % 5
    name = f"{patient}_frame{number:02d}"
    _write_itk(folder / "training" / patient / f"{name}.nii.gz", image.astype(np.int16))
    _write_label(folder / "training" / patient / f"{name}_gt.nii.gz", label)
    (folder / "training" / patient / f"{patient}_4d.nii.gz").touch()


Writer = Callable[[Path, str, np.ndarray, np.ndarray | None], None]


def write_source(
    folder: Path, split: PublishedSplit, writer: Writer, values: Collection[int], garbage: Collection[str]
) -> None:
    """Write all cases of a split that are not withdrawn, those of ``garbage`` with something that is no label."""
    for number, case in enumerate(split.cases):
        if case not in split.left_out:
            writer(folder, case, image_of(number), None if case in garbage else label_of(values))


def run_convert(source: Path, *options: str, name: str = "la") -> int:
    """The exit code of the command, which labels four cases unless told otherwise."""
    amount = [] if "-n" in options or "--labels" in options else ["-n", "4"]
    return main(["convert", name, "-i", str(source), "-o", "501", "-np", "1", *amount, *options])
