"""Writing cases of a data set into nnU-Net's raw layout, in several processes.

nnU-Net is not imported here, so that the processes start fast.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

import SimpleITK as sitk

from nnunetv2_dycon.conversion.label_images import match_grid, renumber
from nnunetv2_dycon.conversion.source_formats import SourceCase, SourceFormat
from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.files import explained_write_errors
from nnunetv2_dycon.processes import end_with_parent, end_workers

FILE_ENDING = ".nii.gz"


@dataclass(frozen=True)
class CaseToWrite:
    """A case and where it goes.

    Attributes:
        name: of the case.
        source: its files.
        source_format: how they are read.
        images_folder: for its scan.
        labels_folder: for its label; None: its label is neither read nor written.
        spacing: in mm, in the order (x, y, z), where it is not that of the files.
        by_voxels: see :func:`match_grid`.
    """

    name: str
    source: SourceCase
    source_format: SourceFormat
    images_folder: Path
    labels_folder: Path | None
    spacing: tuple[float, float, float] | None
    by_voxels: bool


def write_case(case: CaseToWrite) -> None:
    """Write the scan of a case and, where it has a place, its label.

    A scan that is one file of the ending .nii.gz is copied as it is.

    Raises:
        UserError: for files that cannot be read, a label that does not fit its scan or has unknown values, and a folder
            that cannot be written to.
    """
    source_format, files = case.source_format, case.source.images
    image = source_format.read_image(files)
    if case.spacing is not None:
        image.SetSpacing(case.spacing)
    target = case.images_folder / f"{case.name}_0000{FILE_ENDING}"
    if len(files) == 1 and files[0].name.endswith(FILE_ENDING):
        shutil.copyfile(files[0], target)
    else:
        _write(image, target)
    if case.labels_folder is None:
        return
    where = str(case.source.labels[0])
    label = source_format.read_label(case.source.labels)
    if case.spacing is not None:
        label.SetSpacing(case.spacing)
    label = match_grid(renumber(label, source_format.label_values, where), image, where, by_voxels=case.by_voxels)
    _write(label, case.labels_folder / f"{case.name}{FILE_ENDING}")


def _write(image: sitk.Image, file: Path) -> None:
    with explained_write_errors(file.parent, keeps_what_is_done=False):
        sitk.WriteImage(image, str(file), useCompression=True)


def write_cases(cases: Sequence[CaseToWrite], num_processes: int) -> Iterator[None]:
    """Write cases, in processes of their own where there is more than one; yields after each.

    Raises:
        UserError: as :func:`write_case` does, and when a process is killed.
    """
    for folder in {folder for case in cases for folder in (case.images_folder, case.labels_folder) if folder}:
        folder.mkdir(parents=True, exist_ok=True)
    if num_processes == 1:
        for case in cases:
            write_case(case)
            yield
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(num_processes, context, end_with_parent, (os.getpid(),)) as pool:
        try:
            for future in as_completed([pool.submit(write_case, case) for case in cases]):
                future.result()
                yield
        except BrokenProcessPool as error:
            raise UserError(
                "A process was killed, most likely because the memory was full: start again with a smaller -np"
            ) from error
        except BaseException:
            end_workers(pool)
            raise
