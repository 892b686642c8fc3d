"""What the doctor says of one point."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from nnunetv2_dycon.exceptions import UserError


@dataclass(frozen=True)
class Finding:
    """What was found about one point; where training or prediction would suffer from it, also the remedy.

    Attributes:
        text: a sentence or two.
        is_problem: whether something has to be done.
        is_note: whether something could be done, and all is well without it.
        is_to_do: whether it is what a user does next, such as choosing a folder or planning.
    """

    text: str
    is_problem: bool = False
    is_note: bool = False
    is_to_do: bool = False

    def __str__(self) -> str:
        marks = {"problem": self.is_problem, "to do": self.is_to_do, "note": self.is_note}
        mark = next((mark for mark, applies in marks.items() if applies), "ok")
        return f"[{mark}] {self.text}"


def problems_of(checks: Iterable[Callable[[], object]]) -> Iterator[Finding]:
    """What checks refuse, each sentence once: a UserError of one does not keep the others from being made."""
    seen = set()
    for check in checks:
        try:
            check()
        except UserError as error:
            if str(error) not in seen:
                yield Finding(str(error), is_problem=True)
            seen.add(str(error))
