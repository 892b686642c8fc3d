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
    # Differences are 0.04 on c0 and 0.06 on c1 with both seeds.
    assert dycon.difference.mean == pytest.approx(0.05)
    assert dycon.difference.low == pytest.approx(0.04)
    assert dycon.difference.high == pytest.approx(0.06)
    assert dycon.compared_seeds == 2
    assert (dycon.lead_of_method, dycon.seeds_of_lead) == (None, 0)
    assert plain.lead_of_method == dycon.difference
    assert plain.seeds_of_lead == 2
    # Only seed 0 of the mean teacher: 0.04 behind on c0, 0.02 ahead on c1.
    assert behind.lead_of_method.mean == pytest.approx(0.01)
    assert behind.lead_of_method.low == pytest.approx(-0.02)
    assert behind.lead_of_method.high == pytest.approx(0.04)
    assert (behind.seeds_of_lead, teacher.lead_of_method) == (1, None)
    assert dycon.gap_closed == pytest.approx((0.75 - 0.70) / (0.85 - 0.70))
    # 0.75 is half way from 4 labels (0.70) to 16 (0.80).
    assert dycon.savings.labels == pytest.approx(8.0)
    assert dycon.savings.factor == pytest.approx(2.0)
    assert dycon.pseudo_dice_gained == pytest.approx(0.04)
    assert dycon.dice_gained == pytest.approx((0.02 + 0.04) / 2)
    assert plain.difference is None
    assert plain.savings is None
    assert (teacher.difference, teacher.compared_seeds) == (None, 0)
    assert teacher.savings.bound == "more than"
