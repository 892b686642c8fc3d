"""Trainers are found by nnU-Net's own function."""

from __future__ import annotations

import pickle
import re
from pathlib import Path

import pytest

from nnunetv2_dycon import trainers
from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.trainers import nnUNetTrainerDyCON
from nnunetv2_dycon.training.find_trainer import find_semi_supervised_trainer, find_trainer, supervised_counterpart
from tests.method_of_a_user import METHOD_OF_A_USER


def test_the_trainer_of_the_installed_package_is_found(capsys: pytest.CaptureFixture[str]) -> None:
    trainer = find_semi_supervised_trainer("nnUNetTrainerDyCON")
    assert trainer is nnUNetTrainerDyCON
    assert pickle.loads(pickle.dumps(trainer)) is trainer
    assert capsys.readouterr().out == ""


def test_a_name_that_nobody_has_is_refused() -> None:
    with pytest.raises(UserError, match="nnUNetTrainerNobody"):
        find_semi_supervised_trainer("nnUNetTrainerNobody")


def test_another_trainer_is_not_taken_for_a_slip() -> None:
    with pytest.raises(UserError) as error:
        find_semi_supervised_trainer("nnUNetTrainerMine")
    assert "Could not find" in str(error.value)
    assert "Did you mean" not in str(error.value)


def test_what_a_file_of_the_user_s_raises_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.py").write_text("raise RuntimeError('Found no NVIDIA driver')\n")
    monkeypatch.setenv("nnUNet_extTrainer", str(tmp_path))
    with pytest.raises(UserError, match="Found no NVIDIA driver"):
        find_semi_supervised_trainer("nnUNetTrainerDyCN")


def test_a_name_in_another_case_is_recognised() -> None:
    with pytest.raises(UserError, match=r"Did you mean nnUNetTrainerDyCON\?"):
        find_semi_supervised_trainer("nnUNetTrainerDycon")


@pytest.mark.parametrize(
    "name", ["nnUNetTrainerDyCON_3epochs", "nnUNetTrainerDyCON_1epochs", "nnUNetTrainerUAMT_7epochs"]
)
def test_a_length_that_is_not_there_is_answered_by_those_that_are(name: str) -> None:
    method = name.split("_")[0]
    with pytest.raises(UserError) as error:
        find_semi_supervised_trainer(name)
    message = str(error.value)
    assert message.startswith(f"There is no trainer {name}: {method} trains for 1000 epochs")
    offered = re.findall(r"_\d+epochs?(?![\w:])", message)
    known = [known for known in trainers.__all__ if known.startswith(f"{method}_")]
    assert [method + length for length in offered] == known


def test_a_length_of_a_trainer_that_is_not_there() -> None:
    with pytest.raises(UserError, match="Did you mean nnUNetTrainerDyCON_5epochs"):
        find_semi_supervised_trainer("nnUNetTrainerDyCONN_5epochs")


def test_a_supervised_trainer_is_refused() -> None:
    with pytest.raises(UserError, match="nnUNetTrainer_5epochs is not a semi-supervised trainer"):
        find_semi_supervised_trainer("nnUNetTrainer_5epochs")


@pytest.mark.parametrize("name", ["torch", "nnUNetDataLoader"])
def test_a_name_in_a_trainer_file_that_is_no_trainer_is_refused(name: str) -> None:
    with pytest.raises(UserError, match=f"{name} is not a trainer"):
        find_semi_supervised_trainer(name)


def test_a_file_of_the_user_s_that_cannot_be_imported_is_not_taken_for_a_wrong_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken.py").write_text("class Broken(1, 2):\n    pass\n")
    monkeypatch.setenv("nnUNet_extTrainer", str(tmp_path))
    with pytest.raises(UserError, match=f"folders of nnUNet_extTrainer .*{tmp_path.name}.* cannot be imported: "):
        find_semi_supervised_trainer("nnUNetTrainerOfBroken")


@pytest.mark.parametrize(
    ("name", "counterpart"),
    [
        ("nnUNetTrainerDyCON", "nnUNetTrainer"),
        ("nnUNetTrainerCML_1epoch", "nnUNetTrainer_1epoch"),
        ("nnUNetTrainerDyCON_250epochs", "nnUNetTrainer_250epochs"),
        ("nnUNetTrainer_5epochs", "nnUNetTrainer_5epochs"),
        ("nnUNetTrainerNoDA", "nnUNetTrainerNoDA"),
    ],
)
def test_the_supervised_counterpart_has_the_same_length(name: str, counterpart: str) -> None:
    assert supervised_counterpart(name) == counterpart
    assert find_trainer(counterpart).__name__ == counterpart


def test_a_method_of_the_users_has_a_counterpart_and_a_subclass_of_a_trainer_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    another_length = "\nnnUNetTrainerOwn_30epochs = trainer_of(Own, 30)\n"
    (tmp_path / "counterpart_own.py").write_text(
        METHOD_OF_A_USER.replace("import trainers_of", "import trainer_of, trainers_of") + another_length
    )
    (tmp_path / "counterpart_slow.py").write_text(
        "from nnunetv2_dycon.trainers import nnUNetTrainerDyCON_5epochs\n\n\n"
        "class nnUNetTrainerDyCONSlow(nnUNetTrainerDyCON_5epochs):\n    pass\n"
    )
    monkeypatch.setenv("nnUNet_extTrainer", str(tmp_path))
    assert supervised_counterpart("nnUNetTrainerOwn_20epochs") == "nnUNetTrainer_20epochs"
    assert supervised_counterpart("nnUNetTrainerOwn_30epochs") == "nnUNetTrainerOwn_30epochs"
    assert supervised_counterpart("nnUNetTrainerDyCONSlow") == "nnUNetTrainerDyCONSlow"
