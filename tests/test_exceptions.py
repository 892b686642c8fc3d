"""Errors of the user end a process with their message alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nnunetv2_dycon.exceptions import UnsupportedFeatureError, UserError, listed, print_user_errors_without_traceback

if TYPE_CHECKING:
    from tests.conftest import Workspace


@pytest.fixture
def handed_on(monkeypatch: pytest.MonkeyPatch) -> list[BaseException]:
    """The errors that reach the hook that was there before."""
    errors: list[BaseException] = []
    monkeypatch.setattr(sys, "excepthook", lambda *arguments: errors.append(arguments[1]))
    print_user_errors_without_traceback()
    return errors


@pytest.mark.parametrize("kind", [UserError, UnsupportedFeatureError])
def test_user_errors_are_printed_alone(
    handed_on: list[BaseException], capsys: pytest.CaptureFixture[str], kind: type[UserError]
) -> None:
    sys.excepthook(kind, kind("scan.nii.gz is empty"), None)
    assert capsys.readouterr().err.strip() == "Error: scan.nii.gz is empty"
    assert handed_on == []


def test_other_errors_go_to_the_hook_that_was_there(handed_on: list[BaseException]) -> None:
    error = RuntimeError("a bug")
    sys.excepthook(RuntimeError, error, None)
    assert handed_on == [error]


def test_missing_plans_are_named_with_the_remedy(
    handed_on: list[BaseException], capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("nnUNet_preprocessed", str(tmp_path))
    plans = tmp_path / "Dataset501_Tiny" / "nnUNetPlans.json"
    elsewhere = tmp_path / "Dataset501_Tiny" / "nnUNetPlans_3d_fullres" / "case.json"
    for file in (plans, elsewhere):
        with pytest.raises(FileNotFoundError) as error:
            file.read_text()
        sys.excepthook(FileNotFoundError, error.value, None)
    assert capsys.readouterr().err.strip().startswith(f"Error: {plans} is not there. Plan the dataset first")
    assert [error.filename for error in handed_on] == [str(elsewhere)]


def test_a_file_that_is_not_nnunets_is_none_of_ours(
    handed_on: list[BaseException], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for preprocessed, file in (("", "data/config.json"), (str(tmp_path), str(tmp_path / "results" / "x.json"))):
        monkeypatch.setenv("nnUNet_preprocessed", preprocessed)
        with pytest.raises(FileNotFoundError) as error:
            Path(file).read_text()
        sys.excepthook(FileNotFoundError, error.value, None)
    assert len(handed_on) == 2


@pytest.mark.usefixtures("handed_on")
def test_hooking_twice_changes_nothing() -> None:
    hook = sys.excepthook
    print_user_errors_without_traceback()
    assert sys.excepthook is hook


MODULES = ("commands.main", "trainers", "training.find_trainer", "diagnosis.dataset")


@pytest.mark.parametrize(
    ("code", "is_changed"),
    [
        *((f"import nnunetv2_dycon.{module}", False) for module in MODULES),
        (
            "from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name as find\n"
            "find('nnUNetTrainerDyCON')",
            True,
        ),
    ],
    ids=[*MODULES, "nnU-Net's lookup"],
)
def test_only_nnunet_s_lookup_changes_the_hook_and_no_import_does(code: str, is_changed: bool) -> None:
    code = f"import sys\n{code}\nprint(sys.excepthook is not sys.__excepthook__)"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert process.stdout.splitlines()[-1] == str(is_changed)


def test_unsupported_features_can_be_caught_as_python_expects() -> None:
    assert issubclass(UnsupportedFeatureError, NotImplementedError)


def test_training_with_a_bad_setting_ends_with_one_sentence(workspace: Workspace) -> None:
    workspace.write_settings("nnUNetPlansBad", uncl_wieght=1)
    arguments = (501, "3d_fullres", 0, "-tr", "nnUNetTrainerDyCON", "-p", "nnUNetPlansBad", "-device", "cpu")
    output = workspace.run("nnUNetv2_train", *arguments, expect=1)
    assert "Traceback" not in output
    assert 'configurations/3d_fullres/dycon of nnUNetPlansBad.json: "uncl_wieght" is not a setting.' in output
    assert 'Did you mean "uncl_weight"?' in output


@pytest.mark.parametrize(
    ("names", "text"), [(["a"], "a"), (["a", "b", "c"], "a, b, c"), (["a", "b", "c", "d", "e"], "a, b, c and 2 more")]
)
def test_of_many_names_the_first_are_listed(names: list[str], text: str) -> None:
    assert listed(iter(names), most=3) == text
