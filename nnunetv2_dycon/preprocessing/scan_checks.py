"""Checks of a scan before it is preprocessed: is it there, can it be used, and does the result fit into memory?"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO
from nnunetv2.preprocessing.cropping.cropping import crop_to_nonzero
from nnunetv2.preprocessing.resampling.default_resampling import compute_new_shape
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager

from nnunetv2_dycon.exceptions import UserError

_BYTES_PER_VALUE = np.dtype(np.float32).itemsize


def refuse_missing_file(file: Path) -> None:
    """Refuse a raw file that is not there any more, is a link to nothing, or is a folder; a UserError says which."""
    if file.is_dir():
        raise UserError("is a folder, not a scan")
    if not file.exists():
        link = f"is a link to {os.readlink(file)}, which" if file.is_symlink() else ""
        raise UserError(f"{link or 'was there before but'} is not there")


def check_header(file: Path, plans_manager: PlansManager, configuration_manager: ConfigurationManager) -> None:
    """Check that a file has one value a voxel and, for a 3D network, three axes, where nnU-Net's reader takes others.

    That is SimpleITK's, for which the components of a vector look like an axis. Nothing but the header is read.

    Raises:
        UserError: for vectors or colours, and for a 2D image.
    """
    if not issubclass(plans_manager.image_reader_writer_class, SimpleITKIO):
        return
    header = sitk.ImageFileReader()
    header.SetFileName(str(file))
    header.ReadImageInformation()
    if (components := header.GetNumberOfComponents()) > 1:
        raise UserError(
            f"holds vectors of {components} numbers, not one number a voxel: write each component that is a channel "
            "into a file of its own"
        )
    if header.GetDimension() < len(configuration_manager.patch_size):
        raise UserError(
            f"is an image of {header.GetDimension()} axes, where the configuration is of "
            f"{len(configuration_manager.patch_size)}: write the whole volume"
        )


def check_image(image: np.ndarray, num_channels: int) -> None:
    """Check that a scan, (C, X, Y, Z) as nnU-Net's reader returns it, can be used.

    Raises:
        UserError: for another number of channels, values that are not finite, and a scan without any contrast. One
            constant channel among others is accepted, as nnU-Net does: data sets fill missing sequences with zeros.
    """
    if image.shape[0] != num_channels:
        found = "1 channel" if image.shape[0] == 1 else f"{image.shape[0]} channels"
        raise UserError(f"has {found} where dataset.json declares {num_channels}")
    for channel, values in enumerate(image):
        if not np.isfinite(values).all():
            raise UserError(f"channel {channel:04d} holds values that are NaN or infinite")
    if image.size == 0 or all(values.min() == values.max() for values in image):
        raise UserError("is empty: all its voxels are the same")


def check_preprocessed(image: np.ndarray) -> None:
    """Refuse a scan, (C, X, Y, Z), whose values were so large that nothing finite came of them."""
    for channel, values in enumerate(image):
        if not np.isfinite(values).all():
            raise UserError(
                f"channel {channel:04d} holds values that are NaN or infinite after normalization: write smaller "
                "numbers, such as 0, where it has none"
            )


def check_target_shape(
    image: np.ndarray,
    spacing: Sequence[float],
    plans_manager: PlansManager,
    configuration_manager: ConfigurationManager,
) -> None:
    """Check that a scan can be resampled to the spacing of the plans, before that is tried.

    The limit is certain to be too much: the resampled image and one channel more, in float32, take more than all memory
    of this machine, or all that its container or job may have.

    Args:
        image: (C, X, Y, Z), as nnU-Net's reader returns it.
        spacing: in mm for each axis of the image.
        plans_manager: how axes are transposed.
        configuration_manager: the spacing that nnU-Net resamples to.

    Raises:
        UserError: for a spacing that is no positive number, and for one by which the resampled scan would have no voxel
            or too many.
    """
    if not all(math.isfinite(value) and value > 0 for value in spacing):
        raise UserError(f"has the spacing {_times(spacing)} mm, which must be above 0: correct its header")
    axes = list(plans_manager.transpose_forward)
    source = [spacing[axis] for axis in axes]
    # As in DefaultPreprocessor.run_case_npy: in 2d the spacing between slices stays.
    target = [*source[: len(source) - len(configuration_manager.spacing)], *configuration_manager.spacing]
    shape = _target_shape([image.shape[1 + axis] for axis in axes], source, target)
    if 0 in shape:
        raise _bad_spacing(spacing, target, shape, "has no voxel")
    limit = memory_limit()
    if limit is None or _memory_for(shape, len(image)) <= limit:
        return
    # nnU-Net removes zeros around the scan before.
    cropped = crop_to_nonzero(image)[0]
    shape = _target_shape([cropped.shape[1 + axis] for axis in axes], source, target)
    if (needed := _memory_for(shape, len(image))) > limit:
        memory = f"takes {needed / 2**30:,.0f} GiB of memory and more, where this machine has {limit / 2**30:,.0f} GiB"
        raise _bad_spacing(spacing, target, shape, memory)


def memory_limit() -> int | None:
    """Bytes of memory that this process can have at most, as machine and control groups limit it; None if unknown."""
    limits = []
    if hasattr(os, "sysconf"):
        limits.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    for file in _control_group_limits():
        try:
            text = file.read_text().strip()
        except OSError:
            continue
        if text.isdecimal():
            limits.append(int(text))
    return min(limits, default=None)


def _control_group_limits() -> list[Path]:
    """Where Linux may keep limits of this process: its control group and those above it, of versions 2 and 1."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    files = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            root, name = Path("/sys/fs/cgroup"), "memory.max"
        elif "memory" in controllers.split(","):
            root, name = Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes"
        else:
            continue
        group = root / path.lstrip("/")
        files += [folder / name for folder in (group, *group.parents) if folder.is_relative_to(root)]
    return files


def _target_shape(shape: Sequence[int], source: Sequence[float], target: Sequence[float]) -> list[int]:
    return [int(size) for size in compute_new_shape(shape, source, target)]


def _memory_for(shape: Sequence[int], num_channels: int) -> int:
    return math.prod(shape) * (num_channels + 1) * _BYTES_PER_VALUE


def _bad_spacing(spacing: Sequence[float], target: Sequence[float], shape: Sequence[int], what: str) -> UserError:
    return UserError(
        f"has the spacing {_times(spacing)} mm: resampled to the plans' {_times(target)} mm it has the shape "
        f"{_times(shape)}, which {what}. Correct the spacing in its header."
    )


def _times(numbers: Sequence[float]) -> str:
    return " x ".join(f"{number:.6g}" for number in numbers)
