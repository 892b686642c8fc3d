"""Mistakes in a method of one's own."""

from __future__ import annotations

from tests.bad_input.row import TRAIN, Prepare, Row, write
from tests.method_of_a_user import METHOD_OF_A_USER

COMMANDS = (TRAIN.replace("nnUNetTrainerDyCON", "nnUNetTrainerOwn"),)
LOOKED_UP = (*COMMANDS, "plan -tr nnUNetTrainerOwn")


def method(old: str, new: str) -> Prepare:
    """A method of one's own with a mistake."""
    assert old in METHOD_OF_A_USER
    return lambda place: write(place.workspace.root / "trainers" / "own.py", METHOD_OF_A_USER.replace(old, new))


ROWS = [
    Row(
        "a file that Python cannot read",
        LOOKED_UP[1:],
        "cannot be imported: ... (SyntaxError, ... own.py, line 8). Correct it, or take the folder out of the variable",
        method("\n\n\n@dataclass", "\ndef\n\n@dataclass"),
    ),
    Row(
        "a file that fails when it is imported",
        LOOKED_UP,
        "cannot be imported: name 'undefined' is not defined (NameError, ... own.py, line 27)",
        method("globals()", "undefined\nglobals()"),
    ),
    Row(
        "a method without settings_section",
        LOOKED_UP,
        "The method Own has no settings_section: set it",
        method('settings_section = "own"', "pass"),
    ),
    Row(
        "a method without settings_class",
        LOOKED_UP,
        "The method Own has no settings_class: set it",
        method("settings_class = OwnSettings", "pass"),
    ),
    Row(
        "a method without losses",
        LOOKED_UP,
        "The method Own does not define unlabeled_losses: define it",
        method("def unlabeled_losses", "def losses"),
    ),
    Row(
        "terms that are a text",
        LOOKED_UP,
        "terms of the method Own must be a tuple of names",
        method('("squared_error",)', '("squared_error")'),
    ),
    Row(
        "a settings class that is no dataclass",
        LOOKED_UP,
        "OwnSettings must be a frozen dataclass: write @dataclass(frozen=True) above it",
        method("@dataclass(frozen=True)\n", ""),
    ),
    Row(
        "a settings class of another kind",
        LOOKED_UP,
        "settings_class of the method Own must be a class derived from MethodSettings",
        method("(MethodSettings)", ""),
    ),
    Row(
        "a field without setting(...)",
        LOOKED_UP,
        'OwnSettings: make the field "own_weight" with setting(default, description)',
        method('setting(3.0, "weight of the squared error after the ramp-up", minimum=0)', "3.0"),
    ),
    Row(
        "a default out of its range",
        LOOKED_UP,
        'OwnSettings: the default of "own_weight" must be a number of at least 0, not -1.0',
        method("3.0", "-1.0"),
    ),
    Row(
        "five students",
        LOOKED_UP,
        "num_students of the method Own must be from 1 to 4",
        method("terms =", "num_students = 5\n    terms ="),
    ),
    Row(
        "a value that is logged twice",
        LOOKED_UP,
        "The method Own logs ramp twice",
        method("terms =", "panels = {'a': ('ramp',)}\n    terms ="),
    ),
    Row(
        "a class in place of a method",
        LOOKED_UP,
        "is not a method: derive a class from nnunetv2_dycon.methods.method.Method",
        method("trainers_of(Own)", "trainers_of(OwnSettings)"),
    ),
    Row(
        "weights of other terms",
        COMMANDS,
        "term_weights of the method Own gives error, and terms has squared_error",
        method('{"squared_error": self.s', '{"error": self.s'),
    ),
    Row(
        "a weight that is no number",
        COMMANDS,
        "term_weights of the method Own gives squared_error None, which is no number",
        method("self.settings.own_weight", "None"),
    ),
]
