from __future__ import annotations

import pytest

from benchmarks.label_efficiency.runs import Workspace, read_records
from benchmarks.label_efficiency.summary import summarise


def test_summary_by_hand(recorded_workspace: Workspace) -> None:
    arms = {(each.arm, each.labels): each for each in summarise(read_records(recorded_workspace))}
    assert list(arms) == [
        ("nnUNet", 4),
        ("DyCON", 4),
        ("MeanTeacher", 4),
        ("nnUNet", 16),
        ("MeanTeacher", 16),
        ("nnUNet", 64),
    ]
    plain, dycon, behind, teacher = (
        arms[key] for key in (("nnUNet", 4), ("DyCON", 4), ("MeanTeacher", 4), ("MeanTeacher", 16))
    )
    assert plain.metrics["dice"].mean == pytest.approx(0.70)
    assert plain.metrics["dice"].deviation == pytest.approx(0.02 / 2**0.5)
    assert arms["nnUNet", 16].metrics["dice"].deviation is None
    assert dycon.metrics["dice"].mean == pytest.approx(0.75)
    assert dycon.scores == pytest.approx((0.74, 0.76))
    assert dycon.metrics_of_classes["a"]["dice"].mean == pytest.approx(0.70)
    assert dycon.metrics_of_classes["b"]["dice"].mean == pytest.approx(0.80)
    # Of case c1 only class a has a distance: (mean(4, 2) + 4) / 2.
    assert dycon.metrics["hd95"].mean == pytest.approx(3.5)
    assert (dycon.undefined["hd95"], dycon.undefined["asd"], dycon.values) == (2, 0, 8)
    # Differences are 0.04 on c0 and 0.06 on c1; the seeds of both arms are 0.01 from their means.
    assert dycon.difference.mean == pytest.approx(0.05)
    # Three errors of 0.01 with a degree of freedom each: those of the seeds of both arms and that of the cases.
    assert dycon.difference.high - 0.05 == pytest.approx(3.1824 * 0.01 * 3**0.5, abs=1e-4)
    assert dycon.difference.low == pytest.approx(2 * 0.05 - dycon.difference.high)
    assert dycon.lead_of_method is None
    assert plain.lead_of_method == dycon.difference
    # The mean teacher has one training only: 0.05 behind DyCON's mean on c0, 0.01 ahead on c1.
    assert behind.lead_of_method.mean == pytest.approx(0.02)
    assert behind.lead_of_method.low < 0
    assert teacher.lead_of_method is None
    assert dycon.gap_closed == pytest.approx((0.75 - 0.70) / (0.85 - 0.70))
    # 0.75 is half way from 4 labels (0.70) to 16 (0.80).
    assert dycon.savings.labels == pytest.approx(8.0)
    assert dycon.savings.factor == pytest.approx(2.0)
    assert dycon.pseudo_dice_gained == pytest.approx(0.04)
    assert dycon.dice_gained == pytest.approx((0.02 + 0.04) / 2)
    assert plain.difference is None
    assert plain.savings is None
    # Of another seed than nnU-Net's training: seeds need not match.
    assert teacher.difference.mean == pytest.approx(0.96 - 0.80)
    assert teacher.savings.bound == "more than"
