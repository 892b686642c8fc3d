"""Checkpoints of an earlier training in the folder of one that does not go on from them."""

from __future__ import annotations

from pathlib import Path

from nnunetv2_dycon.training.checkpoints import IN_ORDER_OF_NNUNET


class EarlierCheckpoints:
    """They are moved out of the way of ``--c``, which would take an earlier ``checkpoint_final.pth`` first.

    A training that was stopped could not go on otherwise: nnU-Net would load the earlier one, call it done, and remove
    ``checkpoint_latest.pth``. The files get ``_earlier`` into their names, in place of older ones with such names.
    """

    def __init__(self) -> None:
        self._moved: list[tuple[Path, Path]] = []

    def move_aside(self, folder: Path) -> list[str]:
        """Rename what is there, in the folder of a fold; returns the new names."""
        for file in (folder / name for name in IN_ORDER_OF_NNUNET):
            if file.is_file():
                kept = file.with_name(f"{file.stem}_earlier{file.suffix}")
                file.replace(kept)
                self._moved.append((file, kept))
        return [kept.name for _, kept in self._moved]

    def leave_aside(self) -> None:
        """From now on they stay where they are: the training has a checkpoint of its own."""
        self._moved.clear()

    def move_back(self) -> None:
        """Undo :meth:`move_aside`, unless :meth:`leave_aside` came after it."""
        for file, kept in self._moved:
            kept.replace(file)
        self._moved.clear()
