"""Which cases are labeled, unlabeled and for testing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nnunetv2_dycon.exceptions import UserError, listed
from nnunetv2_dycon.json_files import read_json


@dataclass(frozen=True)
class Protocol:
    """Names of the training cases in order, the first n of which are the labeled ones, and of the test cases."""

    train: tuple[str, ...]
    test: tuple[str, ...]


def read_protocol(file: Path, names: Iterable[str]) -> Protocol:
    """Read a protocol from a JSON file with the lists ``train`` (ordered) and ``test``.

    A ``simulate.json`` of an earlier run is one too. Existing cases (``names``) that it does not name take no part.

    Raises:
        UserError: if the file is malformed, names a case twice (be it in one list or in both), or one that
            does not exist.
    """
    content = read_json(file, ("train", "test"))
    for key in ("train", "test"):
        if not isinstance(content[key], list) or not all(isinstance(name, str) for name in content[key]):
            raise UserError(f"'{key}' in {file} must be a list of case names: correct it")
    train, test = tuple(content["train"]), tuple(content["test"])
    if both := sorted(set(train) & set(test)):
        raise UserError(
            f"{file} names {listed(both)} both in 'train' and in 'test': a test case must not be trained on"
        )
    for key, cases in (("train", train), ("test", test)):
        if twice := sorted(name for name in set(cases) if cases.count(name) > 1):
            raise UserError(f"'{key}' in {file} names {listed(twice)} more than once: remove the repetition")
    if missing := sorted({*train, *test} - set(names)):
        raise UserError(f"{file} names {listed(missing)}, but the dataset has no image of that name: correct it")
    return Protocol(train, test)


def random_protocol(names: Iterable[str], *, test_fraction: float, seed: int) -> Protocol:
    """Shuffle the cases and set a share of them in [0, 1), rounded to whole cases, aside for testing.

    The same seed and names, in any order, give the same protocol.

    Raises:
        UserError: if the fraction is out of range or leaves no training case.
    """
    if not 0 <= test_fraction < 1:
        raise UserError(f"--test_fraction must lie in [0, 1) and is {test_fraction}")
    ordered = sorted(names)
    shuffled = [ordered[index] for index in np.random.default_rng(seed).permutation(len(ordered))]
    number = round(test_fraction * len(shuffled))
    if number == len(shuffled):
        raise UserError(f"--test_fraction {test_fraction} leaves none of {len(shuffled)} cases to train on: lower it")
    return Protocol(tuple(shuffled[number:]), tuple(sorted(shuffled[:number])))
