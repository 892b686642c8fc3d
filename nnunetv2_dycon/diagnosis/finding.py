"""What the doctor says about one point."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One point that was looked at.

    Attributes:
        text: what was found; for a problem, also what to do.
        is_problem: whether training or prediction would fail or not do what the user expects.
    """

    text: str
    is_problem: bool = False

    def __str__(self) -> str:
        return f"[{'problem' if self.is_problem else 'ok'}] {self.text}"
