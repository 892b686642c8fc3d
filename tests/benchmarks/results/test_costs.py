"""What a step costs, as tables."""

from __future__ import annotations

from benchmarks.results import costs

MEASURED = {
    "precision": "float16",
    "batch": "2",
    "steps": "40",
    "nnunet_seconds": "0.0432",
    "dycon_seconds": "0.10304",
    "seconds_ratio": "2.383",
    "nnunet_mib": "1024.0",
    "dycon_mib": "1536.0",
}
COMPILED = {**MEASURED, "device": "a GPU", "torch_compile": "yes", "patch": "128x128x128"}
NOT_COMPILED = {**COMPILED, "torch_compile": "no"}
ON_A_CPU = {**NOT_COMPILED, "device": "CPU cores", "nnunet_mib": "454.2"}


def test_the_short_table_has_each_device_as_nnunet_trains_on_it() -> None:
    _, _, *rows = costs.short_table([COMPILED, NOT_COMPILED, ON_A_CPU]).splitlines()
    assert [_cells(row) for row in rows] == [
        ["a GPU", "128×128×128", "0.043 s", "0.103 s", "2.38", "1.50"],
        ["CPU cores", "128×128×128", "0.043 s", "0.103 s", "2.38", "3.38"],
    ]


def test_the_whole_table_has_every_measurement() -> None:
    header, _, *rows = costs.whole_table([COMPILED, NOT_COMPILED, ON_A_CPU]).splitlines()
    assert len(rows) == 3
    assert len(_cells(header)) == 10
    assert _cells(rows[2])[7:] == ["454 MiB", "1.5 GiB", "3.38"]


def _cells(row: str) -> list[str]:
    return [cell.strip() for cell in row.strip("|").split("|")]
