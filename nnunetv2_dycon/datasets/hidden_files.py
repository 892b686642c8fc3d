"""Hidden files, such as the ``._CASE_0000.nii.gz`` that macOS leaves, which nnU-Net takes for scans."""

from __future__ import annotations

from pathlib import Path

from nnunetv2_dycon.exceptions import UserError


def refuse_hidden_files(folder: Path, file_ending: str) -> None:
    """Refuse hidden files with the ending of scans in a folder that a command of nnU-Net is going to list.

    This package skips them. nnU-Net counts them as cases and fails when it reads one.

    Raises:
        UserError: naming the first, and the command that removes all.
    """
    hidden = sorted(file.name for file in folder.glob(f".*{file_ending}")) if folder.is_dir() else []
    if hidden:
        raise UserError(
            f"{folder} has {len(hidden)} hidden files such as {hidden[0]}, which nnU-Net takes for scans. Remove them: "
            f"find {folder} -name '.*{file_ending}' -delete"
        )
