"""Mistakes in a method of one's own, said in a sentence before they cost a training."""

from __future__ import annotations

import dataclasses
import inspect
import math
from collections import Counter
from collections.abc import Mapping
from typing import Any, get_args

from torch import Tensor

from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.methods.method import Losses, Method
from nnunetv2_dycon.methods.settings import MethodSettings, Value, _is_valid, describe_range

MAX_STUDENTS = 4


def check_method_class(method: type[Method[Any, Any]]) -> None:
    """Check what a method declares.

    Raises:
        UserError: naming the method, what is wrong with it and what to write.
    """
    if not (isinstance(method, type) and issubclass(method, Method)):
        raise UserError(f"{method!r} is not a method: derive a class from nnunetv2_dycon.methods.method.Method.")
    name = method.__name__
    if inspect.isabstract(method):
        missing = ", ".join(sorted(method.__abstractmethods__))
        raise UserError(f"The method {name} does not define {missing}: define it.")
    for attribute in ("settings_section", "settings_class", "terms"):
        if not hasattr(method, attribute):
            raise UserError(f"The method {name} has no {attribute}: set it as an attribute of the class.")
    if not (isinstance(method.settings_section, str) and method.settings_section.isidentifier()):
        raise UserError(f"settings_section of the method {name} must be a name such as {name.lower()!r}.")
    if not _is_tuple_of_names(method.terms) or not method.terms:
        raise UserError(f"terms of the method {name} must be a tuple of names, such as ('consistency',).")
    panels = method.panels
    if not (isinstance(panels, Mapping) and all(map(_is_tuple_of_names, panels.values()))):
        raise UserError(f"panels of the method {name} must give each panel a tuple of names, {{'title': ('value',)}}.")
    if twice := [value for value, count in Counter(logged_names(method)).items() if count > 1]:
        raise UserError(f"The method {name} logs {twice[0]} twice, in terms or panels: choose another name.")
    if method.num_students not in range(1, MAX_STUDENTS + 1):
        raise UserError(f"num_students of the method {name} must be from 1 to {MAX_STUDENTS}.")
    _check_settings_class(method.settings_class, name)


def check_weights(method: Method[Any, Any]) -> None:
    """Check the weights that a method gives its terms; a UserError unless each term has one of at least 0."""
    name, weights = type(method).__name__, method.term_weights()
    if not isinstance(weights, dict) or {*weights} != {*method.terms}:
        keys = ", ".join(weights) if isinstance(weights, dict) else repr(weights)
        raise UserError(f"term_weights of the method {name} gives {keys}, and terms has {', '.join(method.terms)}.")
    for term, weight in weights.items():
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight < math.inf:
            raise UserError(f"term_weights of the method {name} gives {term} {weight!r}, which is no number from 0 on.")


def check_losses(losses: object, method: Method[Any, Any], function: str) -> None:
    """Check what a function of a method returned; a UserError unless it is losses of terms that the method declares."""
    where = f"{function} of the method {type(method).__name__}"
    if not isinstance(losses, Losses):
        raise UserError(f"{where} must return Losses, not {type(losses).__name__}.")
    if unknown := [term for term in losses.terms if term not in method.terms]:
        raise UserError(f'{where} returns the term "{unknown[0]}": add it to terms and term_weights.')
    for term, value in losses.terms.items():
        if not isinstance(value, Tensor) or value.ndim > 0:
            kind = f"of shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
            raise UserError(f'{where} returns the term "{term}" {kind}: it must be a tensor with one value.')
    known = {name for names in method.panels.values() for name in names}
    if unknown := [name for name in losses.statistics if name not in known]:
        raise UserError(f'{where} returns the statistic "{unknown[0]}": name it in panels.')


def logged_names(method: type[Method[Any, Any]]) -> list[str]:
    """The names under which values of a method are logged."""
    of_terms = [f"{term}_{suffix}" for term in method.terms for suffix in ("loss", "weight", "share")]
    return ["ramp", *of_terms, *(name for names in method.panels.values() for name in names)]


def _check_settings_class(settings_class: object, method: str) -> None:
    if not (isinstance(settings_class, type) and issubclass(settings_class, MethodSettings)):
        raise UserError(f"settings_class of the method {method} must be a class derived from MethodSettings.")
    name = settings_class.__name__
    own = inspect.get_annotations(settings_class)
    if own and "__dataclass_params__" not in vars(settings_class):
        raise UserError(f"{name} must be a frozen dataclass: write @dataclass(frozen=True) above it.")
    for field in dataclasses.fields(settings_class):
        if "description" not in field.metadata:
            raise UserError(f'{name}: make the field "{field.name}" with setting(default, description).')
        kind = field.metadata["kind"]
        if kind not in (*get_args(Value), int) or (kind is str and field.metadata["choices"] is None):
            raise UserError(
                f'{name}: the setting "{field.name}" needs a default that is a number, true or false, or a '
                "text with choices."
            )
        if not _is_valid(field, field.default):
            allowed = describe_range(field)
            raise UserError(f'{name}: the default of "{field.name}" must be {allowed}, not {field.default!r}.')


def _is_tuple_of_names(value: object) -> bool:
    return isinstance(value, tuple | list) and all(isinstance(name, str) and name for name in value)
