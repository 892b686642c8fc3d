"""Stamps: what an unlabeled case was preprocessed from, so that it is redone when that changes and only then."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

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


def make_stamp(case: UnlabeledCase, plans_hash: str, file_hashes: Mapping[Path, str] | None = None) -> dict[str, Any]:
    """Describe what a case is preprocessed from: plans and raw files, which are read unless their SHA-256 are given."""
    files = []
    for file in case.files:
        status = file.stat()
        sha256 = hash_file(file) if file_hashes is None else file_hashes[file]
        files.append({"name": file.name, "size": status.st_size, "mtime_ns": status.st_mtime_ns, "sha256": sha256})
    return {"source": case.source, "plans": plans_hash, "files": files}


def write_stamp(folder: Path, identifier: str, stamp: dict[str, Any]) -> None:
    """Write a stamp, whole or not at all."""
    with written_aside(stamp_file(folder, identifier)) as partial:
        partial.write_text(json.dumps(stamp, indent=1))


def read_stamp(folder: Path, identifier: str) -> dict[str, Any] | None:
    """Read a case's stamp; None where the case is not done."""
    file = stamp_file(folder, identifier)
    return json.loads(file.read_text()) if file.is_file() else None


def stamped_cases(folder: Path) -> list[str]:
    """The cases of a folder that are done, sorted; none where there is no such folder."""
    return sorted(file.stem for file in folder.glob("*.json") if not file.name.startswith("."))


def is_current(folder: Path, case: UnlabeledCase, plans_hash: str, note_times: bool = True) -> bool:
    """Whether a case was preprocessed from the raw files and plans as they are now.

    Sizes and modification times decide; where only the time differs (a copied dataset), the contents do. Such times are
    noted in the stamp (unless ``note_times`` is False), so that the contents are read once only.
    """
    stamp = read_stamp(folder, case.identifier)
    if stamp is None or stamp["plans"] != plans_hash or stamp["source"] != case.source:
        return False
    now = [(file.name, file.stat().st_size) for file in case.files]
    if now != [(file["name"], file["size"]) for file in stamp["files"]]:
        return False
    if [file.stat().st_mtime_ns for file in case.files] == [file["mtime_ns"] for file in stamp["files"]]:
        return True
    renewed = make_stamp(case, plans_hash)
    if [file["sha256"] for file in renewed["files"]] != [file["sha256"] for file in stamp["files"]]:
        return False
    if note_times:
        write_stamp(folder, case.identifier, renewed)
    return True
