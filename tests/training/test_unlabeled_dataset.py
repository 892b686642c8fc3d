"""Unlabeled cases are opened without labels, and read from disk only where they are cropped."""

from __future__ import annotations

from pathlib import Path

import blosc2
import numpy as np
import pytest

from nnunetv2_dycon.training.unlabeled_stream import nnUNetUnlabeledDataset

SHAPE = (2, 48, 8, 8)


@pytest.fixture
def image(tmp_path: Path) -> np.ndarray:
    """The image of case "a", which has three chunks along the first axis; its folder is tmp_path."""
    image = np.random.default_rng(0).integers(0, 4, SHAPE).astype(np.float32)
    blosc2.asarray(image, urlpath=str(tmp_path / "a.b2nd"), chunks=(2, 16, 8, 8), blocks=(2, 16, 8, 8))
    mask = np.zeros((1, *SHAPE[1:]), dtype=np.int16)
    mask[:, :3] = -1
    blosc2.asarray(mask, urlpath=str(tmp_path / "a_nonzero.b2nd"))
    (tmp_path / "a.json").write_text("{}")
    return image


def test_image_and_mask_are_opened_and_there_are_no_class_locations(tmp_path: Path, image: np.ndarray) -> None:
    dataset = nnUNetUnlabeledDataset(str(tmp_path), needs_nonzero_mask=True)
    data, mask, previous_stage, properties = dataset.load_case("a")
    assert isinstance(data, blosc2.NDArray)
    assert isinstance(mask, blosc2.NDArray)
    assert np.array_equal(data[:], image)
    assert np.unique(mask[:, :3]).tolist() == [-1]
    assert np.unique(mask[:, 3:]).tolist() == [0]
    assert previous_stage is None
    assert properties == {"class_locations": None}


def test_only_what_is_cropped_is_read(tmp_path: Path, image: np.ndarray) -> None:
    file = tmp_path / "a.b2nd"
    content = bytearray(file.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 200] = bytes(200)
    file.write_bytes(content)
    data, *_ = nnUNetUnlabeledDataset(str(tmp_path)).load_case("a")
    assert np.array_equal(data[:, :16], image[:, :16])
    assert np.array_equal(data[:, 32:], image[:, 32:])
    with pytest.raises(RuntimeError):
        data[:, 16:32]


@pytest.mark.usefixtures("image")
def test_the_mask_is_opened_only_where_it_is_needed(tmp_path: Path) -> None:
    (tmp_path / "a_nonzero.b2nd").unlink()
    _, mask, *_ = nnUNetUnlabeledDataset(str(tmp_path)).load_case("a")
    assert mask.shape == (1, *SHAPE[1:])
    assert not mask.any()
    assert mask.strides == (0, 0, 0, 0)
    with pytest.raises(FileNotFoundError):
        nnUNetUnlabeledDataset(str(tmp_path), needs_nonzero_mask=True).load_case("a")


@pytest.mark.usefixtures("image")
def test_cases_with_a_stamp_are_done(tmp_path: Path) -> None:
    for name in ("b.b2nd", "c.json.partial", "d.json", "d.b2nd"):
        (tmp_path / name).touch()
    assert nnUNetUnlabeledDataset(str(tmp_path)).identifiers == ["a", "d"]
    assert nnUNetUnlabeledDataset(str(tmp_path), ["d"]).identifiers == ["d"]
