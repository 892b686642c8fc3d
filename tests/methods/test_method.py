"""What every method has, and predictions with and without deep supervision."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from nnunetv2_dycon import methods
from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.losses.label_space import Classes
from nnunetv2_dycon.methods import all_methods
from nnunetv2_dycon.methods.bcp import BCPSettings
from nnunetv2_dycon.methods.cml import CMLSettings
from nnunetv2_dycon.methods.ga_cps import GACPSSettings
from nnunetv2_dycon.methods.mean_teacher import MeanTeacherSettings
from nnunetv2_dycon.methods.method import Method, Prediction, full_resolution
from nnunetv2_dycon.methods.settings import MethodSettings
from nnunetv2_dycon.methods.uamt import UAMTSettings
from nnunetv2_dycon.trainers import trainers_of

LOGITS = torch.zeros(1, 2, 4, 4)
EXAMPLE = Path(__file__).parents[2] / "benchmarks" / "label_efficiency" / "example_method.py"

each_method = pytest.mark.parametrize("method", all_methods(), ids=lambda method: method.__name__)


@pytest.mark.parametrize("output", [LOGITS, [LOGITS, torch.zeros(1, 2, 2, 2)], (LOGITS,)])
def test_logits_are_those_at_full_resolution(output: torch.Tensor | list[torch.Tensor]) -> None:
    assert full_resolution(output) is LOGITS
    assert Prediction(output).logits is LOGITS


def test_the_methods_are_those_of_the_documentation_and_no_base_class() -> None:
    assert sorted(method.__name__ for method in all_methods()) == [
        "BCP",
        "CML",
        "CoTraining",
        "DyCON",
        "DyCONCoTraining",
        "GACPS",
        "MeanTeacher",
        "UAMT",
    ]


@each_method
def test_each_term_has_a_weight_and_each_section_one_method(method: type[Method[Any, Any]]) -> None:
    made = method(method.settings_class(), Classes())
    assert tuple(made.term_weights()) == method.terms
    assert [other.settings_section for other in all_methods()].count(method.settings_section) == 1


@each_method
def test_defaults_are_in_their_range_and_described(method: type[Method[Any, Any]]) -> None:
    settings_class = method.settings_class
    defaults = settings_class()
    assert settings_class.from_configuration(dataclasses.asdict(defaults), "section of plans.json") == defaults
    assert all(field.metadata["description"] for field in dataclasses.fields(settings_class))


@pytest.mark.parametrize(
    ("settings_class", "name", "value"),
    [
        (MeanTeacherSettings, "consistency_weight", -1),
        (UAMTSettings, "consistency_weight", -1),
        (UAMTSettings, "stochastic_passes", 0),
        (UAMTSettings, "stochastic_passes", 1.5),
        (BCPSettings, "bcp_weight", -1),
        (BCPSettings, "unlabeled_region_weight", -0.1),
        (BCPSettings, "box_fraction", 0),
        (BCPSettings, "box_fraction", 1.1),
        (BCPSettings, "largest_component", 1),
        (CMLSettings, "disagreement_weight", -0.1),
        (GACPSSettings, "gamma", 1.1),
        (GACPSSettings, "supervised_percent", 0),
    ],
)
def test_values_out_of_range_are_refused_by_name(
    settings_class: type[MethodSettings], name: str, value: object
) -> None:
    with pytest.raises(UserError, match=f'"{name}" must be'):
        settings_class.from_configuration({name: value}, "section of plans.json")


def test_a_method_is_a_file_in_the_folder_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A file in the folder needs no line that makes trainers.
    lines = [line for line in EXAMPLE.read_text().splitlines() if "trainers_of" not in line]
    assert len(lines) <= 60
    (tmp_path / "entropy_minimisation.py").write_text("\n".join(lines))
    monkeypatch.setattr(methods, "__path__", [*methods.__path__, str(tmp_path)])
    added = [method for method in all_methods() if method.__name__ == "EntropyMinimisation"]
    assert len(added) == 1
    names = ["nnUNetTrainerEntropyMinimisation", "nnUNetTrainerEntropyMinimisation_1epoch"]
    assert list(trainers_of(added[0]))[:2] == names


def test_methods_know_nothing_of_nnunet() -> None:
    code = "import sys; from nnunetv2_dycon.methods import all_methods; all_methods(); print('nnunetv2' in sys.modules)"
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert finished.stdout.strip() == "False"
