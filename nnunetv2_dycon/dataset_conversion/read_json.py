"""Reading a JSON file that the user wrote or named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from nnunetv2_dycon.exceptions import UserError


def read_json(file: Path, required_keys: tuple[str, ...] = ()) -> dict[str, Any]:
    """Read a JSON object.

    Args:
        file: the file to read.
        required_keys: keys that must be there.

    Returns:
        The object.

    Raises:
        UserError: if the file is missing, is no JSON object or lacks a key.
    """
    if not file.is_file():
        raise UserError(f"there is no file {file}: check the path")
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{file} is not readable as JSON ({error}): correct the file") from error
    if not isinstance(content, dict):
        raise UserError(f"{file} must hold a JSON object with the keys {', '.join(required_keys)}")
    missing = [key for key in required_keys if key not in content]
    if missing:
        raise UserError(f"{file} lacks the key {' and '.join(missing)}: add it")
    return content
