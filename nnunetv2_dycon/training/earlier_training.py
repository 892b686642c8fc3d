"""What an earlier training has left in the folder of one that does not go on from it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.training.checkpoints import checkpoints_in

_NAME, _PARTIAL = "earlier_training", "_partial"


class EarlierTraining:
    """Its checkpoints are moved out of the way of ``--c``, which would take its ``checkpoint_final.pth`` first.

    A training that was stopped could not go on otherwise: nnU-Net would load the earlier one, call it done, and remove
    ``checkpoint_latest.pth``. The validation goes with them: beside the new weights it would pass for theirs. The
    folder is ``earlier_training_1``, or 2 and so on: none is replaced.
    """

    def __init__(self) -> None:
        self._kept: Path | None = None

    def move_aside(self, folder: Path) -> Path | None:
        """Move an earlier training's checkpoints and validation in the folder of a fold to a folder there.

        Returns:
            That folder; None where there is nothing to move.

        Raises:
            UserError: for what cannot be moved.
        """
        validation = folder / "validation"
        # The final checkpoint last of them: if this process is killed in between, the earlier model is still what --c
        # and nnUNetv2_predict take, and the next training finishes the move.
        found = [*reversed(checkpoints_in(folder)), *([validation] if validation.is_dir() else [])]
        unfinished = [number for number in _numbers(folder) if _partial(_kept(folder, number)).is_dir()]
        if not found and not unfinished:
            return None
        kept = _kept(folder, unfinished[0] if unfinished else max(_numbers(folder), default=0) + 1)
        partial = _partial(kept)
        try:
            if any((partial / path.name).exists() for path in found):
                # The training went on after that move was interrupted, and has written these again.
                partial.replace(kept)
                kept = _kept(folder, max(_numbers(folder)) + 1)
                partial = _partial(kept)
            # Noted first: a signal may come in between.
            self._kept = kept
            partial.mkdir(exist_ok=True)
            for path in found:
                path.replace(partial / path.name)
            partial.replace(kept)
        except OSError as error:
            raise UserError(
                f"What an earlier training has left in {folder} cannot be moved to {kept} ({error}): move or remove "
                "its checkpoints and validation yourself, or add --c to go on with it."
            ) from error
        return kept

    def leave_aside(self) -> None:
        """From now on it stays there: the training has a checkpoint of its own."""
        self._kept = None

    def move_back(self) -> list[str]:
        """Undo :meth:`move_aside`, unless :meth:`leave_aside` came after it. No file is replaced.

        Returns:
            The names of what was moved back.
        """
        kept, self._kept = self._kept, None
        moved: list[str] = []
        # A whole training does not go back beside a checkpoint that another process has written since.
        if kept is None or (kept.is_dir() and checkpoints_in(kept.parent)):
            return moved
        for source in filter(Path.is_dir, (kept, _partial(kept))):
            for path in sorted(source.iterdir()):
                if not (target := kept.parent / path.name).exists():
                    path.replace(target)
                    moved.append(path.name)
            if not any(source.iterdir()):
                source.rmdir()
        return moved


def refuse_folds_in_training(folds: Iterable[Path], checkpoint_name: str) -> None:
    """Refuse folds of which an earlier training was moved aside and the new one has no such checkpoint yet.

    Args:
        folds: folders of the folds.
        checkpoint_name: file that is wanted of each fold.

    Raises:
        UserError: which names the fold.
    """
    for fold in folds:
        if not (fold / checkpoint_name).is_file() and (numbers := _numbers(fold)):
            raise UserError(
                f"{fold} is being trained again and has no {checkpoint_name} yet: wait, go on with that training by "
                f"--c, move the files of {_NAME}_{max(numbers)} in it back, or name the other folds with -f."
            )


def _kept(folder: Path, number: int) -> Path:
    return folder / f"{_NAME}_{number}"


def _partial(kept: Path) -> Path:
    """The folder in its place until all is moved."""
    return kept.with_name(kept.name + _PARTIAL)


def _numbers(folder: Path) -> list[int]:
    """Of the folders that hold what trainings before have left, whole or in part, in ascending order."""
    pattern = re.compile(rf"{_NAME}_(\d+)(?:{_PARTIAL})?")
    return sorted({int(match[1]) for path in folder.glob(f"{_NAME}_*") if (match := pattern.fullmatch(path.name))})
