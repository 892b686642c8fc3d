"""``nnunetv2_dycon preprocess``."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import blosc2
import numpy as np
import pytest

from nnunetv2_dycon.commands.main import main
from nnunetv2_dycon.preprocessing.prepare_unlabeled_data import UnlabeledData

if TYPE_CHECKING:
    from tests.conftest import Workspace

COMMAND = ["preprocess", "-d", "501", "-p", "nnUNetPlansSmall", "-np", "1"]


def arrays(folder: Path) -> dict[str, np.ndarray]:
    return {file.name: blosc2.open(str(file), mode="r")[:] for file in folder.glob("*.b2nd")}


def test_all_configurations_are_preprocessed(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*COMMAND, "-c", "3d_fullres", "2d"]) == 0
    output = capsys.readouterr().out
    for name in ("3d_fullres", "2d"):
        folder = workspace.unlabeled_folder(name)
        assert f"{name}: 4 unlabeled cases are ready in {folder}." in output
        assert len(list(folder.glob("*.json"))) == 4


def test_off_limits_cases_of_all_folds_are_preprocessed(workspace: Workspace) -> None:
    split = {"train": ["demo_000", "demo_001"], "val": ["demo_002"]}
    workspace.write_splits(split | {"unlabeled": ["demo_004"]}, split | {"unlabeled": ["demo_005"]})
    assert main(COMMAND) == 0
    done = {file.stem for file in workspace.unlabeled_folder().glob("*.json")}
    assert done == {"demo_004", "demo_005", "demo_006", "demo_007", "demo_008", "demo_009"}


def test_with_an_ignore_label_there_need_be_no_unlabeled_scans(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace.write_labels(ignores=True)
    shutil.rmtree(workspace.raw / "imagesUnlabeled")
    assert main(COMMAND) == 0
    assert "3d_fullres: no unlabeled scans. A training looks for ignored voxels" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-np", "0"], "-np must be at least 1, not 0"),
        (["-c", "4d"], "has no configuration 4d. Choose one of 2d"),
    ],
)
@pytest.mark.usefixtures("workspace")
def test_bad_arguments_are_named(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*COMMAND, *arguments]) == 1
    assert message in capsys.readouterr().err


def test_processes_give_the_same_files_and_name_a_bad_scan(
    workspace: Workspace, prepare_unlabeled: Callable[..., UnlabeledData]
) -> None:
    bad_scan = workspace.raw / "imagesUnlabeled" / "bad_0000.nii.gz"
    bad_scan.write_text("no scan")
    output = workspace.run("nnunetv2_dycon", *COMMAND[:-1], "2", expect=1)
    assert "Traceback" not in output
    assert "Error: 1 unlabeled case cannot be used:" in output
    assert f"{bad_scan} cannot be read" in output
    folder = workspace.unlabeled_folder()
    by_two = arrays(folder)
    bad_scan.unlink()
    for stamp in folder.glob("*.json"):
        stamp.unlink()
    by_one = arrays(prepare_unlabeled().folder)
    assert by_two.keys() == by_one.keys()
    assert len(by_one) == 8
    for name, array in by_one.items():
        assert np.array_equal(by_two[name], array), name
