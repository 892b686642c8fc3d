"""Files that are whole or not there."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import Any


def write_whole_json(file: Path, content: dict[str, Any]) -> None:
    """Write a JSON file that other processes see whole or not at all.

    Args:
        file: where to; its folder is made if it is not there.
        content: finite numbers only, since NaN is not JSON.

    Raises:
        ValueError: for NaN and infinity.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f".{file.name}.{socket.gethostname()}.{os.getpid()}")
    partial.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    partial.replace(file)


def read_json_file(file: Path) -> dict[str, Any]:
    """Read a JSON file.

    Args:
        file: the file.

    Returns:
        Its content.
    """
    return json.loads(file.read_text(encoding="utf-8"))
