"""Checkpoints of an earlier training in the folder of one that does not go on from them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.training.checkpoints import IN_ORDER_OF_NNUNET

SUFFIX = "_earlier"


class EarlierCheckpoints:
    """They are moved out of the way of ``--c``, which would take an earlier ``checkpoint_final.pth`` first.

    A training that was stopped could not go on otherwise: nnU-Net would load the earlier one, call it done, and remove
    ``checkpoint_latest.pth``. The files get ``_earlier`` into their names, or ``_earlier_2`` and so on: all files of a
    training get the same, and none is replaced.
    """

    def __init__(self) -> None:
        self._moved: list[tuple[Path, Path]] = []

    def move_aside(self, folder: Path) -> list[str]:
        """Rename the checkpoints in the folder of a fold; returns the new names, sorted as ``--c`` takes them.

        Where there are none, and there are those that a training moved which was killed before it had written any, or
        that ended since, these are named: they go back to their names likewise if this training fails.
        """
        there = [folder / name for name in IN_ORDER_OF_NNUNET if (folder / name).is_file()]
        sets = list(_sets(folder))
        if there:
            for file, kept in _set(folder, len(sets)):
                if file in there:
                    # Noted first: a signal may come in between.
                    self._moved.append((file, kept))
                    file.replace(kept)
        elif sets:
            self._moved = sets[-1]
        return [kept.name for _, kept in self._moved]

    def leave_aside(self) -> None:
        """From now on they stay where they are: the training has a checkpoint of its own."""
        self._moved.clear()

    def move_back(self) -> None:
        """Undo :meth:`move_aside`, unless :meth:`leave_aside` came after it. No file is replaced."""
        for file, kept in self._moved:
            if kept.is_file() and not file.exists():
                kept.replace(file)
        self._moved.clear()


def refuse_folds_in_training(model_folder: Path, checkpoint_name: str) -> None:
    """Refuse a model of which a fold has had a checkpoint, and is being trained again.

    Args:
        model_folder: of a trainer, plans and configuration in nnUNet_results.
        checkpoint_name: file that is wanted of each fold.

    Raises:
        UserError: which names the fold.
    """
    for fold in sorted(model_folder.glob("fold_*")):
        if not (fold / checkpoint_name).is_file() and any(_sets(fold)):
            raise UserError(
                f"{fold} is being trained again and has no {checkpoint_name} yet: wait, go on with that training by "
                "--c, or name the other folds with -f."
            )


def _set(folder: Path, index: int) -> list[tuple[Path, Path]]:
    """All pairs of a checkpoint's name and that of the index-th training that was moved aside."""
    suffix = SUFFIX if index == 0 else f"{SUFFIX}_{index + 1}"
    files = [folder / name for name in IN_ORDER_OF_NNUNET]
    return [(file, file.with_name(f"{file.stem}{suffix}{file.suffix}")) for file in files]


def _sets(folder: Path) -> Iterator[list[tuple[Path, Path]]]:
    """The pairs whose second file is there, of one training after another."""
    index = 0
    while pairs := [(file, kept) for file, kept in _set(folder, index) if kept.is_file()]:
        yield pairs
        index += 1
