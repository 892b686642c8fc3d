"""Hidden files, such as the ``._CASE_0000.nii.gz`` that macOS leaves, which nnU-Net takes for scans."""

from __future__ import annotations

import shlex
from pathlib import Path

from nnunetv2_dycon.exceptions import UserError, counted


def refuse_hidden_files(folder: Path, file_ending: str) -> None:
    """Refuse hidden files with the ending of scans in a folder that a command of nnU-Net is going to list.

    This package skips them. nnU-Net counts them as cases and fails when it reads one.

    Raises:
        UserError: naming the first, and the command that removes all.
    """
    hidden = sorted(file.name for file in folder.glob(f".*{file_ending}")) if folder.is_dir() else []
    if hidden:
        them = "it" if len(hidden) == 1 else "them"
        raise UserError(
            f"{folder} has {counted(len(hidden), 'hidden file')} such as {hidden[0]}, which nnU-Net takes for scans. "
            f"Remove {them}: find {shlex.quote(str(folder))} -name '.*{file_ending}' -delete"
        )
