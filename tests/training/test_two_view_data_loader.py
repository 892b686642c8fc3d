"""Batches of the unlabeled stream."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import blosc2
import numpy as np
import pytest
import torch
from batchgeneratorsv2.transforms.spatial.spatial import SpatialTransform
from batchgeneratorsv2.transforms.utils.random import RandomTransform
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.label_handling.label_handling import LabelManager

from nnunetv2_dycon.training.class_locations import CasesWithClassLocations, ClassLocations
from nnunetv2_dycon.training.unlabeled_stream import nnUNetTwoViewDataLoader, nnUNetUnlabeledDataset
from nnunetv2_dycon.views.two_views import TwoViewsTransform

LABELS = {"background": 0, "organ": 1}
WITH_IGNORE_LABEL = {**LABELS, "ignore": 2}
SHAPE = (10, 14, 12)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    np.random.seed(0)  # noqa: NPY002 (nnU-Net's loader draws from it)
    torch.manual_seed(0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two cases whose channels are each voxel's place along each axis, counted from 1."""
    places = np.stack(np.meshgrid(*[np.arange(1, n + 1) for n in SHAPE], indexing="ij")).astype(np.float32)
    for case in ("a", "b"):
        blosc2.asarray(places, urlpath=str(tmp_path / f"{case}.b2nd"))
        (tmp_path / f"{case}.json").write_text("{}")
    return tmp_path


@pytest.fixture
def make_loader(folder: Path) -> Callable[..., nnUNetTwoViewDataLoader]:
    def make(
        patch_size: tuple[int, ...],
        *,
        batch_size: int = 2,
        labels: dict[str, int] = LABELS,
        intensity: bool = True,
        class_locations: ClassLocations | None = None,
        **arguments: float | bool,
    ) -> nnUNetTwoViewDataLoader:
        transforms = nnUNetTrainer.get_training_transforms(patch_size, (-0.5, 0.5), None, (0, 1), False)
        if not intensity:
            transforms.transforms = [t for t in transforms.transforms if not isinstance(t, RandomTransform)]
        dataset = nnUNetUnlabeledDataset(str(folder))
        return nnUNetTwoViewDataLoader(
            dataset if class_locations is None else CasesWithClassLocations(dataset, class_locations),
            batch_size,
            patch_size,
            patch_size,
            LabelManager(labels, None),
            transforms=TwoViewsTransform(transforms, 0.5, None if class_locations is None else patch_size),
            **arguments,
        )

    return make


@pytest.mark.parametrize("patch_size", [(4, 8, 6), (8, 6), (16, 16, 16)], ids=["3d", "2d", "larger than the scan"])
@pytest.mark.parametrize("labels", [LABELS, WITH_IGNORE_LABEL], ids=["plain", "ignore label"])
def test_a_batch_holds_two_views_and_no_target(
    make_loader: Callable[..., nnUNetTwoViewDataLoader], patch_size: tuple[int, ...], labels: dict[str, int]
) -> None:
    batch = next(make_loader(patch_size, batch_size=3, labels=labels))
    assert batch.keys() == {"data", "keys", "uniform"}
    assert batch["uniform"].tolist() == [True] * 3
    assert batch["data"].shape == (3, 6, *patch_size)
    assert batch["data"].dtype == torch.float32
    assert set(batch["keys"]) <= {"a", "b"}


def test_the_views_show_the_same_crop(make_loader: Callable[..., nnUNetTwoViewDataLoader]) -> None:
    loader = make_loader((4, 8, 6), intensity=False)
    for transform in loader.transforms.spatial.transforms:
        if isinstance(transform, SpatialTransform):
            transform.p_rotation = transform.p_scaling = 1
    weak, strong = next(loader)["data"].chunk(2, dim=1)
    assert torch.equal(weak, strong)
    assert not torch.equal(weak[0], weak[1])


@pytest.mark.parametrize("probabilistic", [False, True])
def test_crops_are_uniform_whatever_their_place_in_the_batch(
    make_loader: Callable[..., nnUNetTwoViewDataLoader], probabilistic: bool
) -> None:
    # With this nnU-Net's own loader looks for foreground in every sample.
    loader = make_loader((4, 8, 6), oversample_foreground_percent=1.0, probabilistic_oversampling=probabilistic)
    loader.transforms = None
    corners: list[set[tuple[float, ...]]] = [set(), set()]
    for _ in range(150):
        for sample, seen in zip(next(loader)["data"], corners, strict=True):
            seen.add(tuple(sample[:, 0, 0, 0].tolist()))
    for seen in corners:
        for axis, (size, patch) in enumerate(zip(SHAPE, (4, 8, 6), strict=True)):
            assert {corner[axis] for corner in seen} == set(range(1, size - patch + 2))


def test_every_case_is_drawn(make_loader: Callable[..., nnUNetTwoViewDataLoader]) -> None:
    loader = make_loader((4, 4, 4))
    assert {key for _ in range(20) for key in next(loader)["keys"]} == {"a", "b"}


@pytest.fixture
def class_locations() -> ClassLocations:
    """Class 2 is known at the voxel (7, 6, 5) of case "a"."""
    locations = ClassLocations(2)
    voxels = torch.full((2, 8, 4), -1.0)
    voxels[1, 4] = torch.tensor([7, 6, 5, 0.9])
    locations.load_state_dict({"a": voxels})
    locations.start(["a", "b"])
    return locations


@pytest.mark.parametrize("patch_size", [(4, 8, 6), (8, 6), (16, 16, 16)], ids=["3d", "2d", "larger than the scan"])
def test_a_batch_tells_where_in_its_case_each_block_lies(
    make_loader: Callable[..., nnUNetTwoViewDataLoader],
    class_locations: ClassLocations,
    patch_size: tuple[int, ...],
) -> None:
    loader = make_loader(patch_size, batch_size=3, intensity=False, class_locations=class_locations)
    for transform in loader.transforms.spatial.transforms:
        if isinstance(transform, SpatialTransform):
            # Mirroring is left.
            transform.p_rotation = transform.p_scaling = 0
    seen = set()
    for _ in range(8):
        batch = next(loader)
        assert batch.keys() == {"data", "keys", "uniform", "locations"}
        assert batch["locations"].dtype == torch.int16
        # These patches have a block for each voxel, whose three channels are its place, counted from 1.
        for image, locations in zip(batch["data"][:, :3], batch["locations"], strict=True):
            assert locations.shape == (3, *patch_size)
            inside = locations[0] >= 0
            assert (locations[:, ~inside] == -1).all()
            assert torch.equal(image, torch.where(inside, locations + 1, 0).float())
            seen.add(tuple(locations[:, inside][:, 0].tolist()))
    assert len(seen) > 3


@pytest.mark.parametrize("patch_size", [(4, 8, 6), (8, 6)], ids=["3d", "2d"])
def test_oversampled_patches_have_a_known_voxel_in_their_middle(
    make_loader: Callable[..., nnUNetTwoViewDataLoader],
    class_locations: ClassLocations,
    patch_size: tuple[int, ...],
) -> None:
    loader = make_loader(
        patch_size, class_locations=class_locations, oversample_foreground_percent=0.33, probabilistic_oversampling=True
    )
    loader.transforms.spatial.transforms = []
    middle = tuple(size // 2 for size in patch_size)
    around, drawn, around_by_chance = {"a": 0, "b": 0}, {"a": 0, "b": 0}, 0
    for _ in range(150):
        batch = next(loader)
        for key, locations, uniform in zip(batch["keys"], batch["locations"], batch["uniform"], strict=True):
            is_around = locations[(slice(None), *middle)].tolist() == [7, 6, 5]
            drawn[key] += 1
            around[key] += is_around
            assert uniform if key == "b" else uniform or is_around
            around_by_chance += bool(is_around and uniform)
    assert 0.22 < around["a"] / drawn["a"] < 0.45
    # Of "b" nothing is known: its patches are drawn uniformly.
    assert around["b"] / drawn["b"] < 0.08
    assert around_by_chance / sum(drawn.values()) < 0.08
