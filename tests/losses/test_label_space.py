"""What the channels of a network mean."""

from __future__ import annotations

import math

import pytest
import torch

from nnunetv2_dycon import losses
from nnunetv2_dycon.losses.label_space import Classes, LabelSpace, Regions

LABEL_SPACES = [Classes(ignore_label=3), Regions(has_ignore_label=True)]


def test_probabilities_of_classes_have_a_sum_of_1_and_those_of_regions_do_not() -> None:
    logits = torch.tensor([math.log(3), 0.0]).view(1, 2, 1)
    assert Classes().probabilities(logits).flatten().tolist() == pytest.approx([0.75, 0.25])
    assert Regions().probabilities(logits).flatten().tolist() == pytest.approx([0.75, 0.5])


def test_entropy_of_classes_by_hand() -> None:
    probabilities = torch.tensor([[0.25, 0.25, 0.5], [1 / 3, 1 / 3, 1 / 3]]).T.reshape(1, 3, 2, 1)
    entropy = Classes().entropy(probabilities.log())
    assert entropy.shape == (1, 2, 1)
    assert entropy.flatten().tolist() == pytest.approx([1.5 * math.log(2), math.log(3)])


def test_entropies_of_regions_are_summed() -> None:
    quarter = -(0.25 * math.log(0.25) + 0.75 * math.log(0.75))
    logits = torch.tensor([[0.5, 0.25], [0.75, 0.75]]).T.reshape(1, 2, 2, 1).logit()
    entropy = Regions().entropy(logits)
    assert entropy.shape == (1, 2, 1)
    assert entropy.flatten().tolist() == pytest.approx([math.log(2) + quarter, 2 * quarter])


@pytest.mark.parametrize("labels", LABEL_SPACES, ids=str)
def test_entropy_is_computed_in_float32_under_autocast_too(labels: LabelSpace) -> None:
    logits = 3 * torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0)).bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        entropy = labels.entropy(logits)
    assert entropy.dtype == torch.float32
    assert torch.equal(entropy, labels.entropy(logits.float()))


@pytest.mark.parametrize("labels", LABEL_SPACES, ids=str)
def test_entropy_of_certain_logits_is_zero(labels: LabelSpace) -> None:
    assert labels.entropy(torch.tensor([500.0, -500.0]).view(1, 2, 1, 1)).item() == 0


def test_predictive_entropy_of_classes_by_hand() -> None:
    probabilities = torch.tensor([[0.25, 0.25, 0.5], [1, 0, 0], [1 / 3, 1 / 3, 1 / 3]]).T.reshape(1, 3, 3, 1)
    entropy = Classes().predictive_entropy(probabilities)
    assert entropy.shape == (1, 1, 3, 1)
    assert entropy.flatten().tolist() == pytest.approx([1.5 * math.log(2), 0, math.log(3)])


def test_predictive_entropy_of_each_region_by_hand() -> None:
    probabilities = torch.tensor([[0.5, 0.25], [1, 0]]).T.reshape(1, 2, 2, 1)
    entropy = Regions().predictive_entropy(probabilities)
    assert entropy.shape == (1, 2, 2, 1)
    quarter = -(0.25 * math.log(0.25) + 0.75 * math.log(0.75))
    assert entropy.flatten().tolist() == pytest.approx([math.log(2), 0, quarter, 0])


@pytest.mark.parametrize("labels", LABEL_SPACES, ids=str)
def test_the_largest_entropies_are_those_of_equal_probabilities(labels: LabelSpace) -> None:
    logits = torch.zeros(1, 5, 1, 1)
    largest = labels.largest_entropy(5)
    assert labels.predictive_entropy(labels.probabilities(logits)).max().item() == pytest.approx(largest)
    assert labels.entropy(logits).item() == pytest.approx(largest * labels.num_distributions(5))


@pytest.mark.parametrize("num_classes", [2, 3, 6])
def test_hard_classes_are_the_most_probable_and_the_lowest_of_equal_ones(num_classes: int) -> None:
    generator = torch.Generator().manual_seed(0)
    # Few different values, so that there are ties.
    logits = torch.randint(3, (2, num_classes, 6, 5, 4), generator=generator).half()
    labels = Classes().harden(logits)
    assert labels.dtype == torch.int16
    expected = (logits == logits.amax(1, keepdim=True)).int().argmax(1, keepdim=True)
    assert torch.equal(labels.long(), expected)


def test_hard_regions_are_those_above_one_half() -> None:
    logits = torch.tensor([-1.0, 0.0, 0.1, 3.0]).view(1, 2, 2, 1)
    assert Regions().harden(logits).flatten().tolist() == [False, False, True, True]


def test_foreground_of_classes_is_where_one_is_more_probable_than_background() -> None:
    probabilities = torch.tensor([[0.4, 0.3, 0.3], [0.4, 0.5, 0.1], [0.4, 0.4, 0.2]]).T.reshape(1, 3, 3, 1)
    foreground = Classes().is_foreground(probabilities)
    assert foreground.shape == (1, 1, 3, 1)
    assert foreground.flatten().tolist() == [False, True, False]


def test_foreground_of_regions_is_where_any_is_more_probable_than_one_half() -> None:
    probabilities = torch.tensor([[0.4, 0.3], [0.1, 0.6], [0.5, 0.5]]).T.reshape(1, 2, 3, 1)
    foreground = Regions().is_foreground(probabilities)
    assert foreground.shape == (1, 1, 3, 1)
    assert foreground.flatten().tolist() == [False, True, False]


@pytest.mark.parametrize("labels", [Classes(), Regions()], ids=str)
def test_without_ignore_label_the_target_stays_and_nothing_is_ignored(labels: LabelSpace) -> None:
    target = torch.zeros(2, 1, 4, 4)
    known, ignored = labels.split_target(target)
    assert known is target
    assert ignored is None


def test_classes_are_ignored_where_they_are_the_ignore_label() -> None:
    target = torch.tensor([-1.0, 0, 1, 2, 3]).view(1, 1, 5, 1)
    known, ignored = Classes(ignore_label=3).split_target(target)
    assert known is target
    assert ignored is not None
    assert ignored.flatten().tolist() == [False, False, False, False, True]


def test_the_last_region_is_what_is_ignored() -> None:
    target = torch.tensor([[1, 1, 0], [0, 1, 0], [0, 0, 1]]).view(1, 3, 3, 1)
    known, ignored = Regions(has_ignore_label=True).split_target(target)
    assert torch.equal(known, target[:, :2])
    assert ignored is not None
    assert ignored.shape == (1, 1, 3, 1)
    assert ignored.flatten().tolist() == [False, False, True]


def test_reference_logits_of_classes_are_certain_and_background_where_nothing_is_known() -> None:
    target = torch.tensor([-1.0, 0, 1, 2, 3]).view(1, 1, 5, 1)
    logits, ignored = Classes(ignore_label=3).reference_logits(target, 3)
    assert logits.shape == (1, 3, 5, 1)
    assert torch.equal(logits.softmax(1).argmax(1).flatten(), torch.tensor([0, 0, 1, 2, 0]))
    assert logits.softmax(1).amax(1).flatten().tolist() == [1] * 5
    assert ignored is not None
    assert ignored.flatten().tolist() == [False, False, False, False, True]


def test_reference_logits_of_regions_are_certain() -> None:
    target = torch.tensor([[1, 1, 0], [0, 1, 0], [0, 0, 1]]).view(1, 3, 3, 1)
    logits, ignored = Regions(has_ignore_label=True).reference_logits(target, 2)
    assert torch.equal(logits > 0, target[:, :2] > 0)
    assert (logits.abs().sigmoid() == 1).all()
    assert ignored is not None
    assert ignored.flatten().tolist() == [False, False, True]


@pytest.mark.parametrize("labels", LABEL_SPACES, ids=str)
def test_nothing_waits_for_the_device(labels: LabelSpace) -> None:
    # A tensor on the meta device has no values: whatever asks for one raises.
    voxels = torch.empty(2, 3, 4, 4, device="meta")
    for method in (labels.probabilities, labels.entropy, labels.predictive_entropy, labels.harden):
        method(voxels)
    labels.is_foreground(voxels)
    labels.split_target(voxels)
    labels.reference_logits(voxels, 2) if isinstance(labels, Regions) else labels.reference_logits(voxels[:, :1], 3)


@pytest.mark.parametrize("labels", [Regions, Classes, None, "regions"])
def test_what_says_nothing_of_channels_is_refused(labels: object) -> None:
    logits, cells = torch.zeros(1, 2, 2, 2), (1, 1)
    for call in (
        lambda: losses.UnCL(labels=labels),
        lambda: losses.uncl_loss(logits, logits, 1.0, labels=labels),
        lambda: losses.softmax_mse(logits, logits, labels=labels),
        lambda: losses.dice_and_cross_entropy(logits, logits[:, :1], [], labels=labels),
        lambda: losses.cell_labels_from_target(logits[:, :1], cells, labels, 2),
        lambda: losses.cell_labels_from_probabilities(logits, cells, labels),
    ):
        with pytest.raises(TypeError, match=r"labels must be Classes\(\) or Regions\(\), not"):
            call()
