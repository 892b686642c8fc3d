"""Taking over what versions before 0.2 preprocessed, which knew one folder for all plans of a name."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from pathlib import Path

import blosc2

from nnunetv2_dycon.files import explained_write_errors, scratch_folder
from nnunetv2_dycon.preprocessing.case_stamp import (
    Stamp,
    output_files,
    read_stamp,
    sample_image,
    stamp_file,
    stamped_cases,
    write_stamp,
)


def take_over_flat_layout(folder: Path, plans_hash: str) -> list[str]:
    """Link the cases that an earlier version preprocessed by these plans into ``folder``; sorted.

    They lie in the folder above and stay there, so that trainings of the earlier version go on. Links take no space;
    where a file system has none, the files are copied. Arrays that cannot be opened are left to be done again.

    Raises:
        UserError: if the folder cannot be written to.
    """
    taken = []
    for identifier in stamped_cases(folder.parent):
        if read_stamp(folder, identifier) is not None:
            continue
        stamp = _read_flat_stamp(folder.parent, identifier)
        if stamp is None or stamp.plans != plans_hash:
            continue
        with explained_write_errors(folder), scratch_folder(folder / identifier) as scratch:
            for file in output_files(folder.parent, identifier):
                _link_or_copy(file, scratch / file.name)
            for file in scratch.iterdir():
                os.replace(file, folder / file.name)
            write_stamp(folder, identifier, stamp)
        taken.append(identifier)
    return taken


def _read_flat_stamp(folder: Path, identifier: str) -> Stamp | None:
    """A stamp of an earlier version with what it lacks; None where the preprocessed files are not whole."""
    files = output_files(folder, identifier)
    try:
        content = json.loads(stamp_file(folder, identifier).read_text(encoding="utf-8"))
        image, mask = (blosc2.open(str(file), mode="r") for file in files[:2])
        pickle.loads(files[2].read_bytes())
        if image.ndim != 4 or mask.shape != (1, *image.shape[1:]):
            return None
        outputs = {file.name: file.stat().st_size for file in files}
        return Stamp.from_json({**content, "outputs": outputs, "shape": image.shape, "sample": sample_image(image)})
    except Exception:  # noqa: BLE001 (a damaged pickle raises anything, and whatever is damaged is done again)
        return None


def _link_or_copy(file: Path, target: Path) -> None:
    try:
        os.link(file, target)
    except OSError:
        shutil.copyfile(file, target)
