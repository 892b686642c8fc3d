"""Reading JSON files that people write, with errors that name the file, the place in it and the remedy."""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nnunetv2_dycon.exceptions import UserError

_LONGEST_VALUE = 60
_OBJECT = "a JSON object"


@dataclass(frozen=True)
class Schema:
    """What a value of a JSON file must be.

    Attributes:
        description: in words, as in "must be a list of case names".
        accepts: whether a value is of the kind, whatever lies in it.
        items: of each item of a list, or of each value of an object that has no schema of its own; None: anything.
        required: of the values that an object must have, by key.
        optional: of those that it may have.
        closed: whether an object may have no other keys.
    """

    description: str
    accepts: Callable[[Any], bool]
    items: Schema | None = None
    required: Mapping[str, Schema] = field(default_factory=dict)
    optional: Mapping[str, Schema] = field(default_factory=dict)
    closed: bool = False

    def problem(self, value: object, where: str, path: str = "") -> str | None:
        """What is wrong with a value, in words; None where nothing is.

        Args:
            value: as ``json.loads`` gives it.
            where: the file, for the words.
            path: the value's place in it, such as ``[0].train``; empty for the whole.
        """
        subject = f"{where}: {path}" if path else where
        if not self.accepts(value):
            return f"{subject} must {'be' if path else 'hold'} {self.description}, not {_shown(value)}"
        if isinstance(value, Mapping):
            return self._problem_of_keys(value, subject) or _first(
                schema.problem(value[key], where, f"{path}.{key}".lstrip("."))
                for key in value
                if (schema := self.required.get(key) or self.optional.get(key) or self.items) is not None
            )
        if isinstance(value, list) and self.items is not None:
            return _first(self.items.problem(item, where, f"{path}[{index}]") for index, item in enumerate(value))
        return None

    def _problem_of_keys(self, value: Mapping[str, Any], subject: str) -> str | None:
        if missing := [key for key in self.required if key not in value]:
            return f"{subject} lacks the key {' and '.join(missing)}"
        known = [*self.required, *self.optional]
        if self.closed and (unknown := [key for key in value if key not in known]):
            close = difflib.get_close_matches(unknown[0].lower(), known, n=1)
            hint = f' (did you mean "{close[0]}"?)' if close else ""
            return f'{subject} has the key "{unknown[0]}", which is none of {", ".join(known)}{hint}'
        return None

    def check(self, value: object, where: str) -> None:
        """Raise a UserError that says what is wrong with the contents of a file, where something is."""
        problem = self.problem(value, where)
        if problem is not None:
            is_told = not self.accepts(value) or self.description == _OBJECT
            of_the_whole = "" if is_told else f", which must hold {self.description}"
            raise UserError(f"{problem}. Correct the file{of_the_whole}.")


ANYTHING = Schema("anything", lambda _: True)
TEXT = Schema("a text that is not empty", lambda value: isinstance(value, str) and value != "")
BOOLEAN = Schema("true or false", lambda value: isinstance(value, bool))


def number(description: str = "a number", *, minimum: float = -math.inf, integer: bool = False) -> Schema:
    """A finite number, of at least the minimum; true and false are none."""
    kinds = (int,) if integer else (int, float)

    def accepts(value: object) -> bool:
        is_number = isinstance(value, kinds) and not isinstance(value, bool)
        return is_number and minimum <= value < math.inf  # type: ignore[operator]

    return Schema(description, accepts)


def list_of(items: Schema, description: str, *, lengths: Iterable[int] = ()) -> Schema:
    """A list, of one of the lengths where some are given."""
    allowed = tuple(lengths)
    return Schema(description, lambda value: isinstance(value, list) and (not allowed or len(value) in allowed), items)


def mapping_of(items: Schema = ANYTHING, description: str = _OBJECT) -> Schema:
    """A JSON object with values of one kind and any keys."""
    return Schema(description, lambda value: isinstance(value, dict), items)


def record(
    required: Mapping[str, Schema],
    optional: Mapping[str, Schema] | None = None,
    *,
    description: str = _OBJECT,
    closed: bool = False,
) -> Schema:
    """A JSON object with known keys."""
    is_object = mapping_of().accepts
    return Schema(description, is_object, required=required, optional=optional or {}, closed=closed)


def either(*schemas: Schema) -> Schema:
    """A value of one of several kinds."""
    description = " or ".join(schema.description for schema in schemas)
    return Schema(description, lambda value: any(schema.problem(value, "") is None for schema in schemas))


def read_json_file(file: Path, schema: Schema = ANYTHING) -> Any:
    """Read a JSON file and check what it holds.

    The text must be UTF-8 without a byte order mark, since nnU-Net cannot read others, and no key of an object may come
    twice.

    Raises:
        UserError: for a file that is missing or cannot be read, is no JSON, or does not hold what the schema says.
    """
    content = _parse(file)
    schema.check(content, str(file))
    return content


def read_json(file: Path, required_keys: tuple[str, ...] = ()) -> dict[str, Any]:
    """Read a JSON object that has some keys, see :func:`read_json_file`."""
    keys = f" with the keys {', '.join(required_keys)}" if required_keys else ""
    schema = record(dict.fromkeys(required_keys, ANYTHING), description=f"a JSON object{keys}")
    content: dict[str, Any] = read_json_file(file, schema)
    return content


def _parse(file: Path) -> Any:
    try:
        text = file.read_text(encoding="utf-8")
        if text.startswith("\ufeff"):
            raise ValueError(
                "it begins with a byte order mark, which nnU-Net cannot read: save it as UTF-8 without BOM"
            )
        if not text.strip():
            raise ValueError("it is empty")
        return json.loads(text, object_pairs_hook=_refuse_repeated_keys)
    except FileNotFoundError as error:
        raise UserError(f"there is no file {file}: check the path") from error
    except OSError as error:
        reason = "it is a folder" if file.is_dir() else error.strerror
        raise UserError(f"{file} cannot be read as a file ({reason}): check the path and its permissions") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{file} is not readable as JSON (it is no UTF-8 text): save it as UTF-8") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{file} is not readable as JSON ({error}): correct the file") from error


def _refuse_repeated_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f'the key "{next(key for key in keys if keys.count(key) > 1)}" comes twice')
    return content


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}..."


def _first(problems: Iterable[str | None]) -> str | None:
    return next((problem for problem in problems if problem is not None), None)
