from __future__ import annotations

import os
from pathlib import Path

import pytest

from nnunetv2_dycon.demo.run_demo import MARKER, run_demo
from nnunetv2_dycon.exceptions import UserError


def test_leaves_a_folder_alone_that_is_not_its_own(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    for overwrite in (False, True):
        with pytest.raises(UserError, match="not made by the demo"):
            run_demo(tmp_path, epochs=1, steps=1, overwrite=overwrite)
    assert [file.name for file in tmp_path.iterdir()] == ["mine.txt"]


def test_keeps_an_earlier_demo_unless_told_otherwise(tmp_path: Path) -> None:
    (tmp_path / MARKER).write_text("{}")
    (tmp_path / "results.md").write_text("earlier")
    with pytest.raises(UserError, match="--overwrite"):
        run_demo(tmp_path, epochs=1, steps=1)
    assert (tmp_path / "results.md").read_text() == "earlier"


@pytest.mark.parametrize(("epochs", "steps"), [(0, 1), (1, 0)])
def test_refuses_a_training_of_no_length(tmp_path: Path, epochs: int, steps: int) -> None:
    with pytest.raises(UserError, match="at least 1"):
        run_demo(tmp_path / "demo", epochs=epochs, steps=steps)
    assert not (tmp_path / "demo").exists()


@pytest.mark.skipif(os.environ.get("CUDA_VISIBLE_DEVICES") != "", reason="a GPU may be there")
def test_says_that_there_is_no_gpu(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--device cpu"):
        run_demo(tmp_path / "demo", epochs=1, steps=1, device="cuda")
    assert not (tmp_path / "demo").exists()
