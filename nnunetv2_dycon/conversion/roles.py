"""Which cases of a published split are labeled, unlabeled, for validation and for testing."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from fractions import Fraction

from nnunetv2_dycon.conversion.data_sets import DataSet
from nnunetv2_dycon.conversion.published_splits import PublishedSplit
from nnunetv2_dycon.exceptions import UserError


@dataclass(frozen=True)
class Roles:
    """Cases by what they are for, each in the order of the published lists; no case has two roles."""

    labeled: tuple[str, ...]
    unlabeled: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]

    @property
    def with_labels(self) -> tuple[str, ...]:
        """Cases whose labels are needed."""
        return (*self.labeled, *self.validation, *self.test)

    @property
    def cases(self) -> tuple[str, ...]:
        """All cases."""
        return (*self.with_labels, *self.unlabeled)


def choose_roles(data_set: DataSet, split: PublishedSplit, left_out: Collection[str], labeled: int | Fraction) -> Roles:
    """Take the labeled cases from the start of the published list.

    Args:
        data_set: says which cases are of one patient: all of them have the same role.
        split: the lists.
        left_out: cases that have no role.
        labeled: a number of cases; or a percentage, of the patients in the published list, rounded down as in the
            papers (5 % of ACDC's 70 patients are 3), whoever of them is left out.

    Raises:
        UserError: for a number that is out of range or would divide a patient.
    """
    train = tuple(case for case in split.train if case not in left_out)
    patients = list(dict.fromkeys(map(data_set.patient_of, train)))
    if isinstance(labeled, Fraction):
        published = len(set(map(data_set.patient_of, split.train)))
        number = int(labeled * published / 100)
        if not 0 < number <= published:
            raise UserError(
                f"--labels {float(labeled):g}% of the {published} training patients are {number}, and there must be "
                f"between 1 and {published}: give another share, or a number of cases with -n"
            )
        chosen = set(patients[:number])
        with_labels = tuple(case for case in train if data_set.patient_of(case) in chosen)
    else:
        if not 1 <= labeled <= len(train):
            raise UserError(
                f"-n must lie between 1 and {len(train)}, the number of training cases, and is {labeled}: correct it"
            )
        with_labels = train[:labeled]
    unlabeled = tuple(case for case in train if case not in with_labels)
    if divided := set(map(data_set.patient_of, with_labels)) & set(map(data_set.patient_of, unlabeled)):
        whole = sum(data_set.patient_of(case) not in divided for case in with_labels)
        complete = len(with_labels) + sum(data_set.patient_of(case) in divided for case in unlabeled)
        remedy = f"{whole} or {complete}" if whole else f"{complete}"
        raise UserError(f"-n {labeled} would label a part of the scans of {divided.pop()} alone: give {remedy}")
    held_out = [tuple(case for case in cases if case not in left_out) for cases in (split.validation, split.test)]
    return Roles(with_labels, unlabeled, *held_out)
