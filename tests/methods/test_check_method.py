"""What a method of one's own returns is checked at its first step. Mistakes in its class are in tests/bad_input."""

from __future__ import annotations

import pytest
import torch

from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.losses.label_space import Classes
from nnunetv2_dycon.methods import all_methods
from nnunetv2_dycon.methods.check_method import check_losses, check_method_class, check_weights
from nnunetv2_dycon.methods.co_training import CoTraining, CoTrainingSettings
from nnunetv2_dycon.methods.method import Losses

METHOD = CoTraining(CoTrainingSettings(), Classes())
ONE = torch.ones(())


@pytest.mark.parametrize(
    ("losses", "message"),
    [
        ({"co_training": ONE}, "unlabeled_losses of the method CoTraining must return Losses, not dict"),
        (None, "must return Losses, not NoneType"),
        (Losses({"other": ONE}), 'returns the term "other": add it to terms and term_weights'),
        (
            Losses({"co_training": torch.ones(2)}),
            r'returns the term "co_training" of shape \(2,\): it must be a tensor',
        ),
        (Losses({"co_training": 1.0}), 'returns the term "co_training" float: it must be a tensor with one value'),
        (Losses({"co_training": ONE}, {"share": 1.0}), 'returns the statistic "share": name it in panels'),
    ],
)
def test_losses_that_cannot_be_logged_are_refused(losses: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        check_losses(losses, METHOD, "unlabeled_losses")


def test_losses_of_the_method_are_accepted() -> None:
    check_losses(Losses({"co_training": ONE}, {"pseudo_foreground_fraction": 0.5}), METHOD, "unlabeled_losses")
    check_losses(Losses({}), METHOD, "labeled_losses")


@pytest.mark.parametrize("method", all_methods(), ids=lambda method: method.__name__)
def test_methods_of_the_package_are_accepted(method: type) -> None:
    check_method_class(method)
    check_weights(method(method.settings_class(), Classes()))
