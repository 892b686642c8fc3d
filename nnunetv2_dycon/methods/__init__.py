"""The methods: one file each, found by its name."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from types import ModuleType
from typing import Any

from nnunetv2_dycon.methods.method import Method


def methods_of(module: ModuleType) -> list[type[Method[Any, Any]]]:
    """The methods that a module defines, in the order of the file; not those that it imports."""
    return [
        value
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, Method)
        and value.__module__ == module.__name__
        and not inspect.isabstract(value)
    ]


def all_methods() -> list[type[Method[Any, Any]]]:
    """The methods of this package, by the names of their files."""
    names = sorted(found.name for found in pkgutil.iter_modules(__path__))
    return [method for name in names for method in methods_of(importlib.import_module(f"{__name__}.{name}"))]
