"""The ``"unlabeled"`` key of ``splits_final.json``: labeled cases whose labels are off limits."""

from __future__ import annotations

import json
from pathlib import Path

from nnunetv2_dycon.exceptions import UserError

UNLABELED_KEY = "unlabeled"


def _read_splits(splits_file: Path) -> list[dict[str, list[str]]]:
    return json.loads(splits_file.read_text()) if splits_file.is_file() else []


def off_limits_cases_of_all_folds(splits_file: Path) -> list[str]:
    """All cases that any fold lists under ``"unlabeled"``.

    Args:
        splits_file: ``splits_final.json``; may be absent.

    Returns:
        Their identifiers, sorted.
    """
    return sorted({case for split in _read_splits(splits_file) for case in split.get(UNLABELED_KEY, [])})


def off_limits_cases(splits_file: Path, fold: int | str) -> list[str]:
    """The cases of the labeled folder that a fold may use without their labels only.

    nnU-Net ignores the key, so a fold that nnU-Net would make up itself (``all``, or a fold beyond the file) would
    train on the labels of such cases: that is refused.

    Args:
        splits_file: ``splits_final.json``; may be absent.
        fold: the fold that is trained.

    Returns:
        Their identifiers, sorted.

    Raises:
        UserError: for a case that is also in the fold's ``train`` or ``val``, and for a fold that the file lacks while
            it puts cases off limits.
    """
    splits = _read_splits(splits_file)
    if fold == "all" or fold >= len(splits):
        cases = off_limits_cases_of_all_folds(splits_file)
        if cases:
            raise UserError(
                f'{splits_file} puts the labels of {len(cases)} cases off limits ("{UNLABELED_KEY}"), but fold {fold} '
                "is not in the file, and nnU-Net would train on them. Train one of its folds, or add this fold to it."
            )
        return []
    split = splits[fold]
    cases = sorted(set(split.get(UNLABELED_KEY, [])))
    for key in ("train", "val"):
        both = [case for case in cases if case in split[key]]
        if both:
            raise UserError(
                f'Fold {fold} of {splits_file} lists {", ".join(both)} under "{UNLABELED_KEY}" and under "{key}". '
                "Remove them from one of the two."
            )
    return cases
