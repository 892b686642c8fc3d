"""Stamps: what an unlabeled case was preprocessed from and what came of it.

A case is redone when either is no longer so, and only then.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import blosc2
import numpy as np
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager

from nnunetv2_dycon.datasets.raw_dataset import UnlabeledCase
from nnunetv2_dycon.files import hash_file, written_aside

_PLANS_KEYS = ("image_reader_writer", "transpose_forward", "foreground_intensity_properties_per_channel")
_CONFIGURATION_KEYS = (
    "preprocessor_name",
    "spacing",
    "normalization_schemes",
    "use_mask_for_norm",
    "resampling_fn_data",
    "resampling_fn_data_kwargs",
    "resampling_fn_seg",
    "resampling_fn_seg_kwargs",
)

_OUTPUT_SUFFIXES = (".b2nd", "_nonzero.b2nd", ".pkl")
_BLOSC2_MAGIC = b"b2frame\0"
_VALUES_PER_LINE = 16


@dataclass(frozen=True)
class RawFile:
    """A raw file that a case was made from: its name, size in bytes, time of modification in ns, SHA-256."""

    name: str
    size: int
    mtime_ns: int
    sha256: str


@dataclass(frozen=True)
class Stamp:
    """What a case was made from and what came of it.

    Attributes:
        source: the folder of its raw files, ``imagesUnlabeled`` or ``imagesTr``.
        plans: see :func:`hash_plans`.
        files: its raw files.
        outputs: the size in bytes of each preprocessed file, by name.
        shape: of the preprocessed image, (C, X, Y, Z).
        sample: see :func:`sample_image`.
    """

    source: str
    plans: str
    files: tuple[RawFile, ...]
    outputs: dict[str, int]
    shape: tuple[int, ...]
    sample: tuple[float, ...]

    @classmethod
    def from_json(cls, content: Any) -> Stamp | None:
        """A stamp as ``json.loads`` gives it; None for everything that is no stamp."""
        try:
            stamp = cls(
                content["source"],
                content["plans"],
                tuple(RawFile(**file) for file in content["files"]),
                dict(content["outputs"]),
                tuple(content["shape"]),
                tuple(content["sample"]),
            )
        except (KeyError, TypeError, ValueError):
            return None
        texts = [stamp.source, stamp.plans, *stamp.outputs]
        numbers: list[object] = [*stamp.outputs.values(), *stamp.shape]
        for file in stamp.files:
            texts += [file.name, file.sha256]
            numbers += [file.size, file.mtime_ns]
        well_typed = (
            all(isinstance(text, str) for text in texts)
            and all(type(number) is int for number in numbers)
            and all(type(value) in (int, float) for value in stamp.sample)
        )
        if not (well_typed and stamp.files and stamp.outputs and len(stamp.shape) == 4):
            return None
        return stamp if len(stamp.sample) == 3 * _VALUES_PER_LINE * stamp.shape[0] else None


def hash_plans(plans_manager: PlansManager, configuration_manager: ConfigurationManager) -> str:
    """Hexadecimal SHA-256 of what in the plans decides how an image is preprocessed.

    Plans that differ elsewhere only (network, batch size, settings of a method) share preprocessed data, as they do
    in nnU-Net through ``data_identifier``.
    """
    relevant = {key: plans_manager.plans.get(key) for key in _PLANS_KEYS}
    relevant |= {key: configuration_manager.configuration.get(key) for key in _CONFIGURATION_KEYS}
    return hashlib.sha256(json.dumps(relevant, sort_keys=True).encode()).hexdigest()


def stamp_file(folder: Path, identifier: str) -> Path:
    """Where the stamp of a case lies; it is written last, so a case without one is not done."""
    return folder / f"{identifier}.json"


def output_files(folder: Path, identifier: str) -> list[Path]:
    """Where image, nonzero mask and properties of a preprocessed case lie."""
    return [folder / f"{identifier}{suffix}" for suffix in _OUTPUT_SUFFIXES]


def describe_raw_files(case: UnlabeledCase, file_hashes: Mapping[Path, str] | None = None) -> tuple[RawFile, ...]:
    """The raw files of a case as they are now; they are read unless their SHA-256 are given.

    Raises:
        OSError: when one of them is not there or cannot be read.
    """
    described = []
    for file in case.files:
        status = file.stat()
        sha256 = hash_file(file) if file_hashes is None else file_hashes[file]
        described.append(RawFile(file.name, status.st_size, status.st_mtime_ns, sha256))
    return tuple(described)


def make_stamp(case: UnlabeledCase, plans_hash: str, files: tuple[RawFile, ...], folder: Path) -> Stamp:
    """Describe a case whose preprocessed files lie in ``folder``: it was made from these plans and raw files."""
    outputs = output_files(folder, case.identifier)
    image = blosc2.open(str(outputs[0]), mode="r")
    sizes = {file.name: file.stat().st_size for file in outputs}
    return Stamp(case.source, plans_hash, files, sizes, tuple(image.shape), sample_image(image))


def sample_image(image: blosc2.NDArray | np.ndarray) -> tuple[float, ...]:
    """A few values of an image, (C, X, Y, Z), by which copies of a scan are found: (48 * C), 6 digits each.

    They lie evenly on the three lines through the middle, of which few blocks have to be decompressed.
    """
    middle = [size // 2 for size in image.shape[1:]]
    values: list[float] = []
    for axis, size in enumerate(image.shape[1:]):
        line: list[int | slice] = [*middle]
        line[axis] = slice(None)
        positions = np.linspace(0, size - 1, _VALUES_PER_LINE).round().astype(int)
        index = (slice(None), *line)
        values += np.asarray(image[index])[:, positions].ravel().tolist()
    return tuple(float(f"{value:.6g}") for value in values)


def write_stamp(folder: Path, identifier: str, stamp: Stamp) -> None:
    """Write a stamp, whole or not at all."""
    with written_aside(stamp_file(folder, identifier)) as partial:
        partial.write_text(json.dumps(dataclasses.asdict(stamp), indent=1), encoding="utf-8")


def read_stamp(folder: Path, identifier: str) -> Stamp | None:
    """Read a case's stamp; None where the case is not done, and for a file that is no stamp."""
    try:
        return Stamp.from_json(json.loads(stamp_file(folder, identifier).read_text(encoding="utf-8")))
    except (OSError, ValueError, RecursionError):
        return None


def stamped_cases(folder: Path) -> list[str]:
    """The cases of a folder that are done, sorted; none where there is no such folder."""
    return sorted(file.stem for file in folder.glob("*.json") if not file.name.startswith("."))


def find_damage(folder: Path, identifier: str, stamp: Stamp | None) -> str | None:
    """What is wrong with the preprocessed files of a case, such as ``a.b2nd is not there``; None if nothing is.

    Their sizes must be those in the case's stamp, and arrays must start as Blosc2's files do. None is decompressed.
    """
    if stamp is None:
        return f"{stamp_file(folder, identifier).name} is not there or no stamp"
    for name, size in stamp.outputs.items():
        file = folder / name
        try:
            found = file.stat().st_size
            if found != size:
                return f"{name} has {found} bytes instead of {size}"
            if file.suffix == ".b2nd":
                with file.open("rb") as stream:
                    if _BLOSC2_MAGIC not in stream.read(16):
                        return f"{name} is no Blosc2 file"
        except FileNotFoundError:
            return f"{name} is not there"
        except OSError as error:
            return f"{name} cannot be read ({error.strerror})"
    return None


def is_current(folder: Path, case: UnlabeledCase, plans_hash: str, note_times: bool = True) -> bool:
    """Whether a case was preprocessed from the raw files and plans as they are now, and its files are whole.

    Sizes and modification times decide; where only the time differs (a copied dataset), the contents do. Such times are
    noted in the stamp (unless ``note_times`` is False or the folder cannot be written to), so that the contents are
    read once only. Where a raw file is not there, as a link may lose its target, it counts as unchanged.
    """
    stamp = read_stamp(folder, case.identifier)
    if stamp is None or stamp.plans != plans_hash or stamp.source != case.source:
        return False
    if find_damage(folder, case.identifier, stamp) is not None:
        return False
    if [file.name for file in case.files] != [file.name for file in stamp.files]:
        return False
    return _has_these_files(folder, case, stamp, note_times)


def _has_these_files(folder: Path, case: UnlabeledCase, stamp: Stamp, note_times: bool) -> bool:
    try:
        now = [(file.stat().st_size, file.stat().st_mtime_ns) for file in case.files]
    except FileNotFoundError:
        return True
    except OSError:
        return False
    if now == [(file.size, file.mtime_ns) for file in stamp.files]:
        return True
    if [size for size, _ in now] != [file.size for file in stamp.files]:
        return False
    try:
        files = describe_raw_files(case)
    except OSError:
        return False
    if [file.sha256 for file in files] != [file.sha256 for file in stamp.files]:
        return False
    if note_times:
        with contextlib.suppress(OSError):
            write_stamp(folder, case.identifier, dataclasses.replace(stamp, files=files))
    return True
