"""Finding damaged NIfTI files that nnU-Net's readers let pass."""

from __future__ import annotations

import gzip
import hashlib
import math
import sys
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.nifti1 import Nifti1Header
from nibabel.nifti2 import Nifti2Header
from nibabel.spatialimages import HeaderDataError

from nnunetv2_dycon.exceptions import UserError

# What check_nifti and the readers that nnU-Net registers raise on broken files, and what resampling raises on what the
# readers then return.
_PYTHON_ERRORS = (RuntimeError, OSError, ValueError, ArithmeticError, AssertionError, EOFError)
READING_ERRORS = (*_PYTHON_ERRORS, zlib.error, ImageFileError, HeaderDataError)
_BLOCK_SIZE = 1 << 20


class _HashingReader:
    """A file that is hashed while it is read."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.digest = hashlib.sha256()

    def read(self, size: int) -> bytes:
        block = self._file.read(size)
        self.digest.update(block)
        return block


def check_nifti(file: Path) -> str:
    """Read a file to its end, once, and return its hexadecimal SHA-256.

    ITK fills what is missing of a truncated NIfTI file with 0 and reads NaN as 0. Other formats than NIfTI are only
    hashed, and left to nnU-Net's readers.

    Raises:
        UserError: for values that are NaN or infinite.
        EOFError, OSError, zlib.error: for a file that is truncated or damaged.
        nibabel.filebasedimages.ImageFileError, nibabel.spatialimages.HeaderDataError: for one that is no NIfTI file.
    """
    with file.open("rb") as raw:
        stream = _HashingReader(raw)
        if file.name.endswith(".nii.gz"):
            with gzip.GzipFile(fileobj=stream) as decompressed:  # type: ignore[call-overload]  # it only reads
                _check_stream(decompressed)
                # The checksum stands at the end.
                _skip(decompressed)
        elif file.name.endswith(".nii"):
            _check_stream(stream)
        _skip(stream)
    return stream.digest.hexdigest()


def _check_stream(stream: gzip.GzipFile | _HashingReader) -> None:
    """Read header and values of a NIfTI file."""
    start = b""
    for header_class in (Nifti1Header, Nifti2Header):
        start += stream.read(header_class.template_dtype.itemsize - len(start))
        if header_class.may_contain_header(start):
            break
    else:
        raise ImageFileError("it is no NIfTI file")
    header = header_class(start)
    _skip(stream, header.get_data_offset() - len(start))
    dtype, remaining = header.get_data_dtype(), math.prod(header.get_data_shape())
    values_per_block = max(1, _BLOCK_SIZE // dtype.itemsize)
    while remaining > 0:
        wanted = min(values_per_block, remaining)
        block = stream.read(wanted * dtype.itemsize)
        if len(block) < wanted * dtype.itemsize:
            raise EOFError("it ends before its last voxel")
        if np.issubdtype(dtype, np.inexact) and not np.isfinite(np.frombuffer(block, dtype)).all():
            raise UserError("holds values that are NaN or infinite")
        remaining -= wanted


def _skip(stream: gzip.GzipFile | _HashingReader, size: int = sys.maxsize) -> None:
    """Read and forget ``size`` bytes, or all that are left."""
    while size > 0 and (block := stream.read(min(_BLOCK_SIZE, size))):
        size -= len(block)
