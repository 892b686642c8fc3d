from __future__ import annotations

import numpy as np
import pytest

from nnunetv2_dycon.demo.scan import generate_scan


@pytest.mark.parametrize("shape", [(12, 12, 12), (16, 24, 24), (40, 44, 44)])
@pytest.mark.parametrize("seed", range(8))
def test_every_scan_has_background_organ_and_lesion(shape: tuple[int, int, int], seed: int) -> None:
    scan = generate_scan(shape, seed=seed)
    assert set(np.unique(scan.labels)) == {0, 1, 2}
    assert scan.channels.shape == (1, *scan.labels.shape)
    assert scan.channels.dtype == np.int16


def test_lesions_are_small_and_brighter_than_the_organ() -> None:
    for seed in range(8):
        scan = generate_scan((40, 44, 44), seed=seed)
        lesion, organ, background = (scan.channels[0][scan.labels == value].mean() for value in (2, 1, 0))
        assert background < organ < lesion
        assert (scan.labels == 2).sum() < 0.6 * (scan.labels == 1).sum()


def test_same_seed_gives_the_same_scan_and_another_seed_another() -> None:
    first, same, other = (generate_scan((20, 20, 20), seed=seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.channels, same.channels)
    np.testing.assert_array_equal(first.labels, same.labels)
    assert first.spacing == same.spacing
    assert first.labels.shape != other.labels.shape or np.any(first.labels != other.labels)


def test_spacing_and_shape_vary_between_scans() -> None:
    scans = [generate_scan((40, 44, 44), seed=seed) for seed in range(6)]
    assert len({scan.spacing for scan in scans}) == 6
    assert len({scan.labels.shape for scan in scans}) > 3
    for scan in scans:
        assert np.all(np.abs(np.array(scan.labels.shape) / (40, 44, 44) - 1) <= 0.13)


def test_channels_show_the_same_anatomy_in_different_contrast() -> None:
    scan = generate_scan((20, 20, 20), channels=3, seed=0)
    assert scan.channels.shape[0] == 3
    assert np.any(scan.channels[0] != scan.channels[1])
    for channel in scan.channels:
        assert channel[scan.labels == 1].mean() > channel[scan.labels == 0].mean()


@pytest.mark.parametrize(("shape", "channels"), [((11, 20, 20), 1), ((20, 20, 20), 0)])
def test_refuses_what_cannot_hold_an_organ(shape: tuple[int, int, int], channels: int) -> None:
    with pytest.raises(ValueError, match="at least 12 voxels"):
        generate_scan(shape, channels=channels, seed=0)
