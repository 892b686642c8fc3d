"""Orders, distances and uncertainties, computed by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist, pdist

from nnunetv2_dycon.annotation import ranking
from nnunetv2_dycon.annotation.ranking import (
    Choice,
    distances_to_labeled,
    farthest_first,
    mean_features,
    most_covering_first,
    most_uncertain_first,
    order_candidates,
    scan_uncertainty,
    standardized,
)
from nnunetv2_dycon.uncertainty.table import Structure


def line(*places: float) -> np.ndarray:
    """Scans with one feature."""
    return np.array(places, dtype=float)[:, None]


def test_farthest_first_by_hand() -> None:
    # 10 is 10 away from the labeled 0; then 4 is 4 from 0 and 6 from 10; then 9 is 1 from 10 and 5 from 4.
    choices = farthest_first(np.ones(3), line(9, 4, 10), line(0))
    assert choices == [Choice(2, 10.0, 10.0, 0), Choice(1, 4.0, 4.0, 0), Choice(0, 1.0, 1.0, 1 + 2)]


def test_uncertainty_weights_distances() -> None:
    # 10 * 0.1 = 1 against 4 * 0.5 = 2; then 10 is 6 away from 4: 0.6 against 1 * 0.4 of the 5.
    choices = farthest_first(np.array([0.1, 0.5, 0.4]), line(10, 4, 5), line(0))
    assert [choice.index for choice in choices] == [1, 0, 2]
    assert [choice.score for choice in choices] == pytest.approx([2.0, 0.6, 0.4])
    assert [choice.distance for choice in choices] == [4.0, 6.0, 1.0]
    assert [choice.nearest for choice in choices] == [0, 2, 2]


def test_a_copy_comes_last_however_uncertain() -> None:
    choices = farthest_first(np.array([1.0, 0.1, 0.1]), line(0, 3, 3), line(0, 20))
    assert [choice.index for choice in choices] == [1, 0, 2]
    # Of the two copies of each other, the second has nothing to add once the first is chosen.
    assert [choice.score for choice in choices[1:]] == [0.0, 0.0]
    assert choices[2].nearest == 2 + 1


def test_there_must_be_a_labeled_scan() -> None:
    with pytest.raises(ValueError, match="no labeled scan"):
        farthest_first(np.ones(1), line(1), np.empty((0, 1)))
    with pytest.raises(ValueError, match="no labeled scan"):
        most_covering_first(line(1), np.empty((0, 1)))


def test_most_covering_first_by_hand() -> None:
    # Distances to the labeled 0 sum to 30. With 6 they sum to 6 - 5 + 1 + 0 + 6 = 8, with 5 to 9, with 12 to 17.
    choices = most_covering_first(line(12, 5, 6, 7), line(0))
    assert [choice.index for choice in choices] == [2, 0, 1, 3]
    assert [choice.score for choice in choices] == pytest.approx([22 / 4, 6 / 4, 1 / 4, 1 / 4])
    assert [choice.distance for choice in choices] == [6.0, 6.0, 1.0, 1.0]
    assert [choice.nearest for choice in choices] == [0, 1 + 2, 1 + 2, 1 + 2]


def test_an_outlier_is_first_for_diversity_and_not_for_coverage() -> None:
    features = np.concatenate([np.linspace(5, 6, 20), [9.0]])[:, None]
    first = {by: order_candidates(np.ones(21), features, line(0), by)[0].index for by in ("diversity", "coverage")}
    assert first["diversity"] == 20
    assert 0 < first["coverage"] < 19


def test_coverage_chooses_what_lowers_the_mean_distance_most() -> None:
    rng = np.random.default_rng(0)
    candidates, labeled = rng.normal(size=(40, 3)), rng.normal(size=(3, 3))
    choices = most_covering_first(candidates, labeled)
    assert sorted(choice.index for choice in choices) == list(range(40))
    covered = labeled
    for choice in choices:
        sums = [cdist(candidates, np.concatenate([covered, [each]])).min(axis=1).mean() for each in candidates]
        before = cdist(candidates, covered).min(axis=1)
        assert before.mean() - choice.score == pytest.approx(min(sums))
        assert choice.distance == before[choice.index]
        covered = np.concatenate([covered, [candidates[choice.index]]])


def test_many_candidates_are_ordered_alike_with_their_progress_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(1)
    candidates, labeled = rng.normal(size=(30, 3)), rng.normal(size=(3, 3))
    few = most_covering_first(candidates, labeled)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(ranking, "_MOST_CANDIDATES_IN_MEMORY", 29)
    assert most_covering_first(candidates, labeled) == few
    assert "Ordering scans: 100%" in capsys.readouterr().err


def test_most_uncertain_first_keeps_the_order_of_equals() -> None:
    choices = most_uncertain_first(np.array([0.2, 0.7, 0.2, 0.9]))
    assert [choice.index for choice in choices] == [3, 1, 0, 2]
    assert [choice.score for choice in choices] == [0.9, 0.7, 0.2, 0.2]
    assert all(math.isnan(choice.distance) and choice.nearest == -1 for choice in choices)


def test_standardized_features_have_equal_weight_and_a_mean_squared_distance_of_2() -> None:
    features = np.random.default_rng(0).normal(5, [1, 100, 0.01, 3], (50, 4))
    scaled = standardized(features)
    assert np.allclose(scaled.mean(0), 0)
    assert np.allclose(scaled.std(0), 0.5)
    # Over all ordered pairs, those of a scan with itself included.
    assert 2 * (pdist(scaled) ** 2).sum() / 50**2 == pytest.approx(2)


def test_features_that_hardly_vary_do_not_count() -> None:
    features = np.array([[1.0, 7.0], [3.0, 7.0 + 1e-9]])
    assert np.allclose(standardized(features), [[-1, 0], [1, 0]])


def test_the_criterion_decides() -> None:
    uncertainties, features, labeled = np.array([0.9, 0.1, 0.5]), line(1, 10, 5), line(0)
    orders = {
        criterion: [choice.index for choice in order_candidates(uncertainties, features, labeled, criterion)]
        for criterion in ("uncertainty", "diversity", "both")
    }
    # 2.5 of the last against 0.9 and 1; then 0.9 of the first against 0.5 of the one 5 further on.
    assert orders == {"uncertainty": [0, 2, 1], "diversity": [1, 2, 0], "both": [2, 0, 1]}


def test_the_order_is_that_of_any_scale() -> None:
    rng = np.random.default_rng(1)
    uncertainties, features, labeled = rng.random(12), rng.normal(size=(12, 5)), rng.normal(size=(3, 5))
    scale = np.array([1.0, 1e-3, 50, 7, 1e4])
    orders = [
        [choice.index for choice in order_candidates(uncertainties, factor * features, factor * labeled, by)]
        for by in ("both", "coverage")
        for factor in (1.0, scale)
    ]
    assert orders[0] == orders[1]
    assert orders[2] == orders[3]


def test_features_are_needed_unless_uncertainty_decides() -> None:
    assert len(order_candidates(np.ones(2), None, None, "uncertainty")) == 2
    with pytest.raises(ValueError, match="needs features"):
        order_candidates(np.ones(2), None, None, "both")


def test_distances_to_labeled_are_those_of_the_first_choice() -> None:
    features, labeled = line(9, 4, 10), line(0, 5)
    distances = distances_to_labeled(features, labeled)
    assert distances / distances[1] == pytest.approx([4, 1, 5])


def test_scan_uncertainty_by_hand() -> None:
    segmentation = torch.tensor([1, 1, 0, 0]).view(1, 2, 2)
    probabilities = torch.tensor(
        [[0.2, 0.4, 0.9, 0.8], [0.8, 0.6, 0.0, 0.1], [0.0, 0.0, 0.1, 0.1]], dtype=torch.float32
    ).view(3, 1, 2, 2)
    organ, lesion = Structure("organ", (1,), 1), Structure("lesion", (2,), 2)
    # 2 * 1.4 / (1.5 + 2) = 0.8; the lesion is nowhere predicted, and at most 0.1.
    assert scan_uncertainty([organ], segmentation, probabilities) == pytest.approx(0.2)
    assert scan_uncertainty([lesion], segmentation, probabilities) == pytest.approx(0.1)
    assert scan_uncertainty([organ, lesion], segmentation, probabilities) == pytest.approx(0.15)


def test_mean_features_of_patches() -> None:
    first = torch.tensor([[[1.0, 3.0], [0.0, 0.0]]])
    second = torch.tensor([[[4.0, 4.0], [2.0, 6.0]]], dtype=torch.float16)
    assert torch.equal(mean_features([first, second]), torch.tensor([3.0, 2.0]))
