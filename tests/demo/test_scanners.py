from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from nnunetv2_dycon.demo.scanners import (
    ALL_SCANNERS,
    ONE_SCANNER,
    SHAPE,
    Ranges,
    generate_scanner_scan,
    ranges_of,
    write_scanners_dataset,
)

PROPERTIES = [field.name for field in dataclasses.fields(Ranges)]
SEEDS = range(12)


def at(end: int, **properties: tuple[float, float]) -> Ranges:
    """Ranges that leave no choice: one end of those of all scanners, but for the properties given."""
    fixed = {name: (getattr(ALL_SCANNERS, name)[end],) * 2 for name in PROPERTIES}
    return Ranges(**{**fixed, **properties})


@pytest.mark.parametrize("name", PROPERTIES)
def test_labeled_scans_span_a_small_part_of_the_range_of_the_others(name: str) -> None:
    (low, high), (lowest, highest) = getattr(ONE_SCANNER, name), getattr(ALL_SCANNERS, name)
    assert lowest <= low < high <= highest
    assert high - low <= 0.35 * (highest - lowest)


def test_labeled_scans_alone_are_of_one_scanner() -> None:
    assert [ranges_of(role) for role in ("Tr", "Unlabeled", "Ts")] == [ONE_SCANNER, ALL_SCANNERS, ALL_SCANNERS]


@pytest.mark.parametrize("ranges", [ONE_SCANNER, ALL_SCANNERS])
def test_properties_are_drawn_from_the_ranges(ranges: Ranges) -> None:
    rng = np.random.default_rng(0)
    drawn = [ranges.draw(rng) for _ in range(200)]
    for name in PROPERTIES:
        low, high = getattr(ranges, name)
        values = [each[name] for each in drawn]
        assert low <= min(values) < low + 0.1 * (high - low)
        assert high - 0.1 * (high - low) < max(values) <= high


def contrast(ranges: Ranges, seed: int) -> float:
    scan = generate_scanner_scan(ranges, seed=seed)
    organ = scan.channels[0][scan.labels == 1].mean()
    return organ / np.median(scan.channels[0][scan.labels == 0]) - 1


def test_the_properties_show_in_the_scans() -> None:
    strong, weak = at(0, contrast=(0.3, 0.3)), at(0, contrast=(0.05, 0.05))
    assert all(contrast(strong, seed) > contrast(weak, seed) + 0.2 for seed in SEEDS)
    noisy, quiet = at(0, noise=(0.1, 0.1)), at(0, noise=(0.01, 0.01))
    for seed in SEEDS:
        roughness = [np.diff(generate_scanner_scan(each, seed=seed).channels[0]).std() for each in (quiet, noisy)]
        assert roughness[0] < roughness[1]
    small, large = (at(0, radius=(radius, radius)) for radius in (0.15, 0.25))
    for seed in SEEDS:
        volumes = [generate_scanner_scan(each, seed=seed).labels.sum() for each in (small, large)]
        assert 2 * volumes[0] < volumes[1]
    for seed in SEEDS:
        places = []
        for offset in (0.0, 0.2):
            inside = np.argwhere(generate_scanner_scan(at(0, offset=(offset, offset)), seed=seed).labels)
            places.append(np.linalg.norm(inside.mean(0) / np.array(SHAPE) - 0.5))
        assert places[0] < 0.1 < places[1]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("ranges", [ONE_SCANNER, ALL_SCANNERS])
def test_every_scan_has_an_organ_and_background(ranges: Ranges, seed: int) -> None:
    scan = generate_scanner_scan(ranges, seed=seed)
    assert scan.channels.shape == (1, *SHAPE)
    assert scan.labels.shape == SHAPE
    assert 0.005 < (scan.labels == 1).mean() < 0.15
    assert set(np.unique(scan.labels)) == {0, 1}


def test_same_seed_gives_the_same_scan_and_another_seed_another() -> None:
    first, same, other = (generate_scanner_scan(ALL_SCANNERS, seed=seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.channels, same.channels)
    np.testing.assert_array_equal(first.labels, same.labels)
    assert np.any(first.labels != other.labels)


def test_writes_no_label_of_an_unlabeled_scan(tmp_path: Path) -> None:
    write_scanners_dataset(tmp_path, labeled=1, unlabeled=2, test=1)
    files = sorted(str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*.nii.gz"))
    assert files == [
        "imagesTr/demo_000_0000.nii.gz",
        "imagesTs/demo_003_0000.nii.gz",
        "imagesUnlabeled/demo_001_0000.nii.gz",
        "imagesUnlabeled/demo_002_0000.nii.gz",
        "labelsTr/demo_000.nii.gz",
        "labelsTs/demo_003.nii.gz",
    ]
    assert json.loads((tmp_path / "dataset.json").read_text())["labels"] == {"background": 0, "organ": 1}
