"""Data sets of the integration recipe: made from real scans, or generated in other formats than NIfTI."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import tifffile
from skimage import io

from nnunetv2_dycon.demo.dataset import generate_scan

LABELED, UNLABELED, TEST = 6, 6, 4
HIPPOCAMPUS = {"background": 0, "anterior": 1, "posterior": 2}
REGIONS = {"background": 0, "hippocampus": [1, 2], "posterior": 2}
IGNORE_LABEL = 3
# One plane in so many is annotated on each axis of a case with an ignore label.
ANNOTATED_EVERY = 8


@dataclass(frozen=True)
class RealDataset:
    """A data set made from a folder with ``images``, ``labels`` and ``protocol.json``.

    Attributes:
        name: full name, ``DatasetXXX_NAME``.
        source: the folder, below that of all real data.
        channel: name of its channel, which decides how nnU-Net normalises it.
        labels: as in dataset.json; lists are regions.
        ignore: whether most voxels of training labels say "ignore".
    """

    name: str
    source: str
    channel: str
    labels: dict[str, int | list[int]]
    ignore: bool = False

    def write(self, data: Path, raw: Path) -> None:
        """Write the data set into a folder ``nnUNet_raw``, from the folder of all real data."""
        source, target = data / self.source, raw / self.name
        protocol = json.loads((source / "protocol.json").read_text())
        train = protocol["train"]
        roles = {
            "Tr": train[:LABELED],
            "Unlabeled": train[LABELED : LABELED + UNLABELED],
            "Ts": protocol["test"][:TEST],
        }
        for role, cases in roles.items():
            (target / f"images{role}").mkdir(parents=True)
            for number, case in enumerate(cases):
                image = source / "images" / f"{case}.nii.gz"
                (target / f"images{role}" / f"{case}_0000.nii.gz").write_bytes(image.read_bytes())
                if role != "Unlabeled":
                    (target / f"labels{role}").mkdir(exist_ok=True)
                    label = sitk.ReadImage(str(source / "labels" / f"{case}.nii.gz"))
                    if self.ignore and role == "Tr":
                        label = _annotate_some_planes(label, number)
                    sitk.WriteImage(label, str(target / f"labels{role}" / f"{case}.nii.gz"))
        labels = self.labels | ({"ignore": IGNORE_LABEL} if self.ignore else {})
        dataset_json = {
            "channel_names": {"0": self.channel},
            "labels": labels,
            "numTraining": LABELED,
            "file_ending": ".nii.gz",
        }
        if any(isinstance(value, list) for value in labels.values()):
            dataset_json["regions_class_order"] = [1, 2]
        (target / "dataset.json").write_text(json.dumps(dataset_json, indent=1))


def _annotate_some_planes(label: sitk.Image, offset: int) -> sitk.Image:
    array = sitk.GetArrayFromImage(label)
    annotated = np.zeros(array.shape, bool)
    for axis in range(3):
        np.moveaxis(annotated, axis, 0)[offset % ANNOTATED_EVERY :: ANNOTATED_EVERY] = True
    sparse = sitk.GetImageFromArray(np.where(annotated, array, IGNORE_LABEL).astype(np.uint8))
    sparse.CopyInformation(label)
    return sparse


REAL_DATASETS = {
    "hippocampus": RealDataset("Dataset701_Hippocampus", "hippocampus", "MRI", HIPPOCAMPUS),
    "regions": RealDataset("Dataset702_HippocampusRegions", "hippocampus", "MRI", REGIONS),
    "ignore": RealDataset("Dataset703_HippocampusIgnore", "hippocampus", "MRI", HIPPOCAMPUS, ignore=True),
    "regions_ignore": RealDataset("Dataset704_HippocampusRegionsIgnore", "hippocampus", "MRI", REGIONS, ignore=True),
    "lung_nodules": RealDataset("Dataset705_LungNodules", "lung_nodules", "CT", {"background": 0, "nodule": 1}),
    "acdc": RealDataset(
        "Dataset706_ACDC",
        "acdc",
        "MRI",
        {"background": 0, "right_ventricle": 1, "myocardium": 2, "left_ventricle": 3},
    ),
}


@dataclass(frozen=True)
class GeneratedDataset:
    """A generated data set in a format.

    Attributes:
        name: full name.
        file_ending: of images and labels.
        write_image: writes an array with its spacing in mm, both in the order (z, y, x) or (y, x), into a file.
        dimensions: 3, or 2 for the middle slices of scans.
        channels: how many.
        rgb: whether one file holds all channels.
        file_list: whether dataset.json lists the labeled files, which lie in folders of their own.
    """

    name: str
    file_ending: str
    write_image: Callable[[np.ndarray, tuple[float, ...], Path], None]
    dimensions: int = 3
    channels: int = 1
    rgb: bool = False
    file_list: bool = False

    def write(self, raw: Path) -> None:
        """Write the data set into a folder ``nnUNet_raw``."""
        target, listed = raw / self.name, {}
        for number, role in enumerate(["Tr"] * LABELED + ["Unlabeled"] * 4 + ["Ts"] * 2):
            case = f"case_{number:02d}"
            images, labels, spacing = self._generate(number)
            if self.file_list and role == "Tr":
                files = [
                    target / "scans" / case / f"channel{channel}{self.file_ending}" for channel in range(len(images))
                ]
                label = target / "scans" / case / f"labels{self.file_ending}"
                listed[case] = {
                    "images": [str(file.relative_to(target)) for file in files],
                    "label": str(label.relative_to(target)),
                }
            else:
                folder = target / f"images{role}"
                files = [folder / f"{case}_{channel:04d}{self.file_ending}" for channel in range(len(images))]
                label = target / f"labels{role}" / f"{case}{self.file_ending}"
            contents = [*zip(files, images, strict=True)] + ([(label, labels)] if role != "Unlabeled" else [])
            for file, array in contents:
                file.parent.mkdir(parents=True, exist_ok=True)
                self.write_image(array, spacing, file)
        dataset_json = {
            "channel_names": {str(channel): "MRI" for channel in range(self.channels)},
            "labels": {"background": 0, "organ": 1, "lesion": 2},
            "numTraining": LABELED,
            "file_ending": self.file_ending,
        }
        if listed:
            dataset_json["dataset"] = listed
        (target / "dataset.json").write_text(json.dumps(dataset_json, indent=1))

    def _generate(self, number: int) -> tuple[list[np.ndarray], np.ndarray, tuple[float, ...]]:
        """The arrays of a case's image files, its labels and its spacing."""
        scan = generate_scan((20, 36, 32), channels=self.channels, seed=(7, number))
        if self.dimensions == 3:
            return list(scan.channels), scan.labels, scan.spacing
        middle = int(np.argmax((scan.labels > 0).sum((1, 2))))
        channels = [np.clip(channel[middle] / 6, 0, 255).astype(np.uint8) for channel in scan.channels]
        return [np.stack(channels, -1)] if self.rgb else channels, scan.labels[middle], scan.spacing[1:]


def _write_by_itk(array: np.ndarray, spacing: tuple[float, ...], file: Path) -> None:
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(spacing[::-1])
    sitk.WriteImage(image, str(file), useCompression=True)


def _write_png(array: np.ndarray, spacing: tuple[float, ...], file: Path) -> None:  # noqa: ARG001 (PNG has none)
    io.imsave(file, array, check_contrast=False)


def _write_tif(array: np.ndarray, spacing: tuple[float, ...], file: Path) -> None:
    """Write a TIFF, and ``CASE.json`` with its spacing, which nnU-Net reads."""
    tifffile.imwrite(file, array, compression="zlib")
    case = file.stem.removesuffix("_0000")
    (file.parent / f"{case}.json").write_text(json.dumps({"spacing": spacing}))


GENERATED_DATASETS = {
    "png_rgb": GeneratedDataset("Dataset721_RGB", ".png", _write_png, dimensions=2, channels=3, rgb=True),
    "png_channels": GeneratedDataset("Dataset722_Channels", ".png", _write_png, dimensions=2, channels=2),
    "nrrd": GeneratedDataset("Dataset723_NRRD", ".nrrd", _write_by_itk),
    "mha": GeneratedDataset("Dataset724_MHA", ".mha", _write_by_itk),
    "tif": GeneratedDataset("Dataset725_TIFF", ".tif", _write_tif),
    "file_list": GeneratedDataset("Dataset726_FileList", ".nii.gz", _write_by_itk, channels=2, file_list=True),
    "four_digits": GeneratedDataset("Dataset1234_FourDigits", ".nii.gz", _write_by_itk),
}


def case_names(folder: Path, file_ending: str) -> Iterator[str]:
    """The cases whose labels lie in a folder, sorted."""
    return (file.name.removesuffix(file_ending) for file in sorted(folder.glob(f"[!.]*{file_ending}")))
