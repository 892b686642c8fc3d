"""What a training step of DyCON costs beside nnU-Net's, from the records of ``training_step.csv``."""

from __future__ import annotations

from benchmarks.common.report import markdown_table
from benchmarks.results.records import read_table

_MEBIBYTES_IN_A_GIBIBYTE = 1024
Row = dict[str, str]


def read_costs() -> list[Row]:
    """What was measured, a row for each machine, patch size and choice of torch.compile."""
    return read_table("training_step.csv")


def short_table(rows: list[Row]) -> str:
    """Times and memory, on a GPU with torch.compile only, which is nnU-Net's default there."""
    header = ["measured on", "patch", "nnU-Net's step", "DyCON's step", "times", "memory, times"]
    kept = [row for row in rows if "GPU" not in row["device"] or row["torch_compile"] == "yes"]
    return markdown_table(
        header, [[row["device"], _patch(row), *_seconds(row), _ratio(row), _memory_ratio(row)] for row in kept]
    )


def whole_table(rows: list[Row]) -> str:
    """Everything that was measured."""
    header = [
        *("measured on", "precision", "torch.compile", "patch", "nnU-Net's step", "DyCON's step", "times"),
        *("nnU-Net's memory", "DyCON's memory", "times"),
    ]
    return markdown_table(
        header,
        [
            [
                *(row["device"], row["precision"], row["torch_compile"], _patch(row), *_seconds(row), _ratio(row)),
                *(_memory(row[name]) for name in ("nnunet_mib", "dycon_mib")),
                _memory_ratio(row),
            ]
            for row in rows
        ],
    )


def _patch(row: Row) -> str:
    return row["patch"].replace("x", "×")


def _seconds(row: Row) -> list[str]:
    return [f"{float(row[name]):.3f} s" for name in ("nnunet_seconds", "dycon_seconds")]


def _ratio(row: Row) -> str:
    return f"{float(row['seconds_ratio']):.2f}"


def _memory(mebibytes: str) -> str:
    gibibytes = float(mebibytes) / _MEBIBYTES_IN_A_GIBIBYTE
    return f"{gibibytes:.1f} GiB" if gibibytes >= 1 else f"{float(mebibytes):.0f} MiB"


def _memory_ratio(row: Row) -> str:
    return f"{float(row['dycon_mib']) / float(row['nnunet_mib']):.2f}"
