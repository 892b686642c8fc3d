from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from benchmarks.label_efficiency import protocols
from benchmarks.label_efficiency.protocols import derive_protocol
from nnunetv2_dycon.datasets.protocol import Protocol
from nnunetv2_dycon.exceptions import UserError

WHOLE = Protocol(tuple("abcde"), ("x", "y"))


def test_held_out_training_cases_take_the_place_of_the_test_cases() -> None:
    assert derive_protocol(WHOLE, held_out=2) == Protocol(tuple("abc"), ("d", "e"))


def test_other_cases_are_labeled_first_and_none_is_lost() -> None:
    assert derive_protocol(WHOLE, first=3) == Protocol(tuple("deabc"), ("x", "y"))
    assert derive_protocol(WHOLE, first=1, held_out=2) == Protocol(tuple("bca"), ("d", "e"))


@pytest.mark.parametrize(("held_out", "first"), [(5, 0), (-1, 0), (0, 5), (2, 3), (0, -1)])
def test_numbers_out_of_range(held_out: int, first: int) -> None:
    with pytest.raises(UserError, match="must be from 0 to"):
        derive_protocol(WHOLE, held_out=held_out, first=first)


def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
        for case in "abc":
            sitk.WriteImage(
                sitk.GetImageFromArray(np.zeros((2, 2, 2), np.uint8)), str(tmp_path / folder / f"{case}.nii.gz")
            )
    (tmp_path / "protocol.json").write_text(json.dumps({"train": ["a", "b"], "test": ["c"]}))
    arguments = ["--data", str(tmp_path), "--output", str(tmp_path / "new.json")]
    assert protocols.main([*arguments, "--held-out", "1"]) == 0
    assert json.loads((tmp_path / "new.json").read_text()) == {"train": ["a"], "test": ["b"]}
    assert protocols.main([*arguments, "--held-out", "2"]) == 1
    assert capsys.readouterr().err.startswith("Error: --held-out must be from 0 to 1")
