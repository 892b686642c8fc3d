"""The example of DyCON's losses without nnU-Net."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from pathlib import Path

EXAMPLE = Path(__file__).resolve().parents[2] / "documentation" / "examples" / "plain_mean_teacher.py"
RUN_WITHOUT_NNUNET = (
    "import runpy, sys; sys.modules['nnunetv2'] = None; runpy.run_path(sys.argv[1], run_name='__main__')"
)


def test_it_is_short_and_plain() -> None:
    code = EXAMPLE.read_text()
    assert len(code.splitlines()) < 60
    assert "nnunetv2." not in code
    assert "import nnunetv2\n" not in code


def test_it_runs_without_nnunet_and_its_loss_falls() -> None:
    finished = subprocess.run(
        [sys.executable, "-c", RUN_WITHOUT_NNUNET, EXAMPLE], stdout=subprocess.PIPE, text=True, check=True
    )
    for name in ("loss", "of labeled images"):
        values = [float(value) for value in re.findall(rf"{name} ([\d.]+)", finished.stdout)]
        assert len(values) == finished.stdout.count("step")
        assert all(math.isfinite(value) for value in values)
        assert values[-1] < 0.5 * values[0]
