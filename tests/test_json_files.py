"""JSON that people wrote: what is wrong is named with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.json_files import (
    BOOLEAN,
    TEXT,
    Schema,
    either,
    list_of,
    mapping_of,
    number,
    read_json_file,
    record,
)

SCHEMA = record(
    {"name": TEXT, "sizes": list_of(number("a number of at least 1", minimum=1), "a list of sizes", lengths=[1, 2])},
    {"is_new": BOOLEAN, "other": mapping_of(record({"count": number("an integer", integer=True)}))},
    description="a thing",
    closed=True,
)
GOOD = '{"name": "a", "sizes": [1, 2.5], "is_new": true, "other": {"x": {"count": 3}}}'


def problem(tmp_path: Path, text: str | bytes, schema: Schema = SCHEMA) -> str:
    file = tmp_path / "thing.json"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError) as error:
        read_json_file(file, schema)
    return str(error.value).removeprefix(f"{file}")


def test_what_fits_is_returned(tmp_path: Path) -> None:
    file = tmp_path / "thing.json"
    file.write_text(GOOD)
    assert read_json_file(file, SCHEMA)["other"] == {"x": {"count": 3}}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"a"', '""', ': name must be a text that is not empty, not ""'),
        ('"name": "a", ', "", " lacks the key name"),
        ("[1, 2.5]", "[]", ": sizes must be a list of sizes, not []"),
        ("[1, 2.5]", "[1, 0]", ": sizes[1] must be a number of at least 1, not 0"),
        ("[1, 2.5]", "[true]", ": sizes[0] must be a number of at least 1, not true"),
        ("[1, 2.5]", "[NaN]", ": sizes[0] must be a number of at least 1, not NaN"),
        ("[1, 2.5]", "[Infinity]", ": sizes[0] must be a number of at least 1, not Infinity"),
        ("true", "1", ": is_new must be true or false, not 1"),
        ("3}", "3.0}", ": other.x.count must be an integer, not 3.0"),
        ('{"count": 3}', "null", ": other.x must be a JSON object, not null"),
        (
            "is_new",
            "isnew",
            ' has the key "isnew", which is none of name, sizes, is_new, other (did you mean "is_new"?)',
        ),
        ("is_new", "qqq", ' has the key "qqq", which is none of name, sizes, is_new, other'),
    ],
)
def test_what_does_not_fit_is_named_with_its_place(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in GOOD
    expected = f"{message}. Correct the file, which must hold a thing."
    assert problem(tmp_path, GOOD.replace(old, new, 1)) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", " must hold a thing, not []. Correct the file."),
        ("", " is not readable as JSON (it is empty): correct the file"),
        (b"\xef\xbb\xbf" + GOOD.encode(), "begins with a byte order mark, which nnU-Net cannot read: save it as UTF-8"),
        (b'{"name": "\xff"}', " is not readable as JSON (it is no UTF-8 text): save it as UTF-8"),
        ('{"name": "a", "name": "b"}', 'the key "name" comes twice'),
        ("[" * 100_000, " is not readable as JSON ("),
    ],
)
def test_what_is_no_such_json_is_named(tmp_path: Path, text: str | bytes, message: str) -> None:
    assert message in problem(tmp_path, text)


def test_a_long_value_is_cut(tmp_path: Path) -> None:
    assert len(problem(tmp_path, f'"{"x" * 1000}"')) < 200


def test_one_of_several_kinds(tmp_path: Path) -> None:
    schema = list_of(either(TEXT, number()), "a list")
    assert problem(tmp_path, '["a", 1, null]', schema).startswith(
        ": [2] must be a text that is not empty or a number, not null."
    )


def test_a_folder_and_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot be read as a file \(it is a folder\)"):
        read_json_file(tmp_path)
    with pytest.raises(UserError, match=r"there is no file .*none\.json: check the path"):
        read_json_file(tmp_path / "none.json")
