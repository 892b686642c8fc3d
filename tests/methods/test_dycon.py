"""DyCON: its settings, and the student's view of unlabeled and labeled patches mixed."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.losses.label_space import Classes, Regions
from nnunetv2_dycon.losses.uncl import uncl_loss
from nnunetv2_dycon.methods import dycon as dycon_module
from nnunetv2_dycon.methods.dycon import DyCON, PastedTask
from nnunetv2_dycon.methods.dycon_settings import DyCONSettings
from nnunetv2_dycon.methods.method import Guidance, LabeledBatch, Prediction
from tests.settings import WITH_FECL

PATCH = (6, 8, 4)
IGNORE = 3


def make_dycon(*, regions: bool = False, ignores: bool = False, **settings: object) -> DyCON:
    """With or without regions and ignore label; there are two foreground classes or two regions."""
    labels = Regions(ignores) if regions else Classes(IGNORE if ignores else None)
    return DyCON(
        DyCONSettings(
            **{**WITH_FECL, "copy_paste_fraction": 0.5, "cutmix_fraction": 0, "copy_paste_share": 1, **settings}
        ),
        labels,
    )


def mix(dycon: DyCON, target: Tensor, batch: int = 2) -> tuple[Tensor, PastedTask]:
    """Mix unlabeled patches, whose voxels are all -1, with labeled ones, whose voxels are all 1."""
    logits = torch.randn(batch, 2 if isinstance(dycon.labels, Regions) else 3, *PATCH)
    teacher = Prediction(logits, torch.zeros(batch, 1, 1, 1, 1), torch.zeros(batch, 2, 1, 1, 1))
    labeled = LabeledBatch(torch.ones(2, 1, *PATCH), target)
    task = dycon.task(-torch.ones(batch, 1, *PATCH), Guidance((teacher,)), labeled)
    assert task.teacher.features is teacher.features
    assert task.teacher.embeddings is teacher.embeddings
    return logits, task


def test_a_labeled_box_is_pasted_into_each_unlabeled_patch() -> None:
    _, task = mix(make_dycon(), torch.zeros(2, 1, *PATCH))
    mixed = task.patches
    assert torch.equal(mixed > 0, task.labeled)
    # Half of each axis: a box of 3 x 4 x 2 voxels in a patch of 6 x 8 x 4.
    assert (mixed > 0).flatten(1).sum(1).tolist() == [24, 24]


def test_a_fraction_of_zero_leaves_the_patches_alone() -> None:
    logits, task = mix(make_dycon(copy_paste_fraction=0), torch.zeros(2, 1, *PATCH))
    assert (task.patches == -1).all()
    assert task.teacher.logits is logits
    assert task.labeled is None


def test_the_reference_takes_the_teachers_place_where_the_labeled_patch_is_seen() -> None:
    # Both labeled patches have the same labels, so that it does not matter which is whose partner.
    target = torch.randint(-1, 3, (1, 1, *PATCH)).expand(2, -1, -1, -1, -1)
    logits, task = mix(make_dycon(), target)
    labeled = task.labeled.expand_as(logits)
    assert torch.equal(task.teacher.logits[~labeled], logits[~labeled])
    one_hot = torch.nn.functional.one_hot(target[:, 0].clamp_min(0), 3).movedim(-1, 1).float()
    torch.testing.assert_close(task.teacher.logits.softmax(1)[labeled], one_hot[labeled])
    assert task.ignored is None


def test_a_box_of_the_next_unlabeled_patch_brings_its_teachers_logits() -> None:
    dycon = make_dycon(copy_paste_fraction=0, cutmix_fraction=0.5)
    strong, logits = torch.randn(3, 1, *PATCH), torch.randn(3, 3, *PATCH)
    labeled = LabeledBatch(torch.ones(2, 1, *PATCH), torch.zeros(2, 1, *PATCH))
    task = dycon.task(strong, Guidance((Prediction(logits),)), labeled)
    assert task.moved.flatten(1).sum(1).tolist() == [24, 24, 24]
    assert task.labeled is None
    for values, mixed in ((strong, task.patches), (logits, task.teacher.logits)):
        assert torch.equal(mixed, torch.where(task.moved, values.roll(-1, 0), values))


def test_labeled_boxes_lie_over_those_of_unlabeled_patches_in_a_share_of_the_batch() -> None:
    _, task = mix(make_dycon(cutmix_fraction=0.5, copy_paste_share=0.5), torch.full((2, 1, *PATCH), 2))
    assert sorted(task.labeled.flatten(1).sum(1).tolist()) == [0, 24]
    assert torch.equal(task.patches > 0, task.labeled)
    assert (task.teacher.logits.argmax(1, keepdim=True)[task.labeled] == 2).all()


@pytest.mark.parametrize("regions", [False, True])
def test_uncl_of_pseudo_labels(regions: bool) -> None:
    dycon = make_dycon(regions=regions, fecl_weight=0, uncl_distance="pseudo_labels", uncl_confidence=0.5)
    _, task = mix(dycon, torch.ones(2, 2 if regions else 1, *PATCH))
    student = torch.randn_like(task.teacher.logits, requires_grad=True)
    losses = dycon.unlabeled_losses(Prediction(student), task, 0.5)
    expected = dycon_module.uncl_of_pseudo_labels(
        student, task.teacher.logits, dycon.beta(0.5), labels=dycon.labels, confidence=0.5
    )
    assert losses.terms["uncl"] == expected.loss
    assert losses.statistics["confident_fraction"] == expected.confident_fraction
    # A student that says the same is right.
    same = dycon.unlabeled_losses(Prediction(20 * task.teacher.logits), task, 0.5).terms["uncl"]
    assert same < 0.1 < losses.terms["uncl"]


@pytest.mark.parametrize("regions", [False, True])
def test_uncl_with_cross_entropy(regions: bool) -> None:
    dycon = make_dycon(regions=regions, fecl_weight=0, uncl_cross_entropy_weight=0.5)
    _, task = mix(dycon, torch.ones(2, 2 if regions else 1, *PATCH))
    student = torch.randn_like(task.teacher.logits, requires_grad=True)
    found = dycon.unlabeled_losses(Prediction(student), task, 0.5).terms["uncl"]
    options = {"labels": dycon.labels, "normalization": "classes", "entropy_weight": 0.02}
    expected = uncl_loss(student, task.teacher.logits, dycon.beta(0.5), cross_entropy_weight=0.5, **options)
    torch.testing.assert_close(found, expected)
    assert found > uncl_loss(student, task.teacher.logits, dycon.beta(0.5), **options)


def test_regions() -> None:
    target = (torch.rand(1, 3, *PATCH) < 0.5).expand(2, -1, -1, -1, -1)
    _, task = mix(make_dycon(regions=True, ignores=True), target)
    labeled = task.labeled.expand(-1, 2, -1, -1, -1)
    torch.testing.assert_close(task.teacher.logits.sigmoid()[labeled], target[:, :-1][labeled].float())
    assert torch.equal(task.ignored, task.labeled & target[:, -1:])


def test_ignored_voxels_of_the_labeled_patch_change_nothing() -> None:
    dycon = make_dycon(ignores=True, fecl_weight=0)
    target = torch.where(torch.rand(1, 1, *PATCH) < 0.3, IGNORE, 1).expand(2, -1, -1, -1, -1)
    _, task = mix(dycon, target)
    assert task.ignored.any()
    student = torch.randn_like(task.teacher.logits)
    other = torch.where(task.ignored, torch.randn_like(student), student)
    losses = [dycon.unlabeled_losses(Prediction(values), task, 0.5).terms["uncl"] for values in (student, other)]
    torch.testing.assert_close(*losses)
    seen = torch.where(task.labeled & ~task.ignored, torch.randn_like(student), student)
    assert dycon.unlabeled_losses(Prediction(seen), task, 0.5).terms["uncl"] != losses[0]


def test_annotated_voxels_of_a_box_stand_for_the_ignored_ones() -> None:
    dycon = make_dycon(ignores=True)
    target = torch.ones(1, 1, *PATCH)
    target[:, :, 1::2] = IGNORE
    _, task = mix(dycon, target.expand(2, -1, -1, -1, -1))
    weights = dycon.voxel_weights(task)
    in_box, annotated = weights[task.labeled], task.labeled & ~task.ignored
    # As many as in a box that is annotated whole.
    assert in_box.sum() == pytest.approx(task.labeled.sum())
    assert (weights[task.ignored] == 0).all()
    assert (weights[annotated] == weights[annotated][0]).all()
    assert (weights[~task.labeled] == 1).all()


@pytest.mark.parametrize("annotated", [0, 1])
def test_few_annotated_voxels_do_not_decide_for_a_whole_box(annotated: int) -> None:
    dycon = make_dycon(ignores=True, copy_paste_fraction=1)
    target = torch.full((2, 1, *PATCH), IGNORE)
    target[0].view(-1)[:annotated] = 1
    _, task = mix(dycon, target)
    weights = dycon.voxel_weights(task)
    assert weights.sum() == weights.max() == 10 * annotated
    losses = dycon.unlabeled_losses(Prediction(torch.randn(2, 3, *PATCH)), task, 0.5)
    assert torch.isfinite(losses.terms["uncl"])


def test_all_voxels_count_alike_without_ignored_ones_and_as_before_with_the_setting_off() -> None:
    _, task = mix(make_dycon(), torch.ones(2, 1, *PATCH))
    assert make_dycon().voxel_weights(task) is None
    off = make_dycon(ignores=True, ignored_voxels_as_unlabeled=False)
    _, task = mix(off, torch.where(torch.rand(2, 1, *PATCH) < 0.5, IGNORE, 1))
    assert torch.equal(off.voxel_weights(task), ~task.ignored)


@pytest.mark.parametrize("regions", [False, True])
@pytest.mark.parametrize("distance", ["probabilities", "pseudo_labels"])
def test_nothing_waits_for_the_device(regions: bool, distance: str) -> None:
    # A tensor on the meta device has no values: whatever asks for one raises.
    views = {"cutmix_fraction": 0.5, "copy_paste_share": 0.5}
    dycon = make_dycon(regions=regions, ignores=True, fecl_weight=0, uncl_distance=distance, **views)
    strong, data = torch.empty(2, 2, 1, *PATCH, device="meta").unbind()
    logits = torch.empty(2, 2 if regions else 3, *PATCH, device="meta")
    target = torch.empty(2, 3 if regions else 1, *PATCH, device="meta")
    task = dycon.task(strong, Guidance((Prediction(logits),)), LabeledBatch(data, target))
    assert task.teacher.logits.shape == logits.shape
    dycon.unlabeled_losses(Prediction(logits), task, 0.5)


def test_fecl_takes_its_hard_negatives_from_cells_that_the_teacher_saw(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(dycon_module, "fecl_loss", lambda *_, **options: seen.append(options) or torch.zeros(()))
    dycon = make_dycon(fecl_variant="official")
    _, task = mix(dycon, torch.zeros(2, 1, *PATCH))
    moved = torch.zeros_like(task.labeled)
    moved[:, :, :2, :2, :2] = True
    task = replace(task, moved=moved)
    embeddings = torch.randn(2, 2, 3, 4, 2)
    task = replace(task, teacher=replace(task.teacher, embeddings=torch.randn_like(embeddings)))
    dycon.unlabeled_losses(Prediction(torch.randn(2, 3, *PATCH), None, embeddings), task, 0.5)
    dycon.labeled_losses(Prediction(torch.randn(2, 3, *PATCH), None, embeddings), torch.zeros(2, 1, *PATCH), 0.5)
    unlabeled, labeled = seen
    shown = (task.labeled | moved).reshape(2, 3, 2, 4, 2, 2, 2).any(2).any(3).any(4)
    assert torch.equal(unlabeled["teacher_mask"].view(2, 3, 4, 2), ~shown)
    assert unlabeled["teacher_embeddings"].shape == (2, 24, 2)
    assert labeled["teacher_embeddings"] is None
    # The released training passes no entropy.
    assert unlabeled["entropy"] is None
    assert unlabeled["hard_negative_threshold"] == pytest.approx(0.3 + 0.2 * math.exp(-1.25))


def read(**section: object) -> DyCONSettings:
    return DyCONSettings.from_configuration(section, "dycon of plans.json")


@pytest.mark.parametrize("field", dataclasses.fields(DyCONSettings), ids=lambda field: field.name)
def test_defaults_are_in_their_range_and_described(field: dataclasses.Field) -> None:
    assert read(**{field.name: field.default}) == DyCONSettings()
    assert field.metadata["description"]


def test_the_paper_settings_are_in_range() -> None:
    settings = read(beta_max=5, beta_min=0.5, uncl_entropy_weight=1, fecl_variant="official", fecl_gamma=2)
    assert (settings.beta_max, settings.beta_min) == (5, 0.5)


def test_beta_may_be_constant() -> None:
    assert read(beta_max=0.5, beta_min=0.5).beta_min == 0.5


def test_a_rising_beta_is_refused_by_name() -> None:
    with pytest.raises(UserError, match=r'dycon of plans.json: "beta_min" \(3\) must not be above "beta_max" \(2\)'):
        read(beta_max=2, beta_min=3)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("uncl_weight", -1),
        ("fecl_weight", -0.1),
        ("beta_min", 0),
        ("beta_max", 0),
        ("beta_max", 11),
        ("fecl_temperature", 0),
        ("fecl_gamma", 0),
        ("fecl_variant", "Paper"),
        ("fecl_hard_negatives", 1),
        ("fecl_num_hard_negatives", 0),
        ("fecl_embedding_channels", 0),
        ("warmup_fraction", 1.1),
        ("ema_decay", 1),
        ("deployed_network", "both"),
    ],
)
def test_values_out_of_range_are_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(UserError, match=f'"{name}" must be'):
        read(**{name: value})


def test_settings_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        DyCONSettings().uncl_weight = 1


@pytest.mark.parametrize(("batch", "boxes"), [(1, 1), (2, 1)])
def test_by_default_half_of_the_patches_get_a_labeled_box_and_a_patch_that_is_alone_always(
    batch: int, boxes: int
) -> None:
    dycon = DyCON(DyCONSettings(), Classes())
    for _ in range(8):
        _, task = mix(dycon, torch.zeros(2, 1, *PATCH), batch)
        assert task.labeled.flatten(1).any(1).sum() == boxes


def test_the_log_names_the_settings_that_act() -> None:
    off, on = DyCONSettings().describe(), DyCONSettings(fecl_weight=0.1).describe()
    assert [line for line in off.splitlines() if "fecl" in line] == ["  fecl_weight: 0.0"]
    assert "fecl_temperature: 0.6" in on
    assert len(on.splitlines()) == len(dataclasses.fields(DyCONSettings)) - 1
    assert "uncl_entropy_weight" in on
    assert "uncl_confidence" not in on
    hard = DyCONSettings(uncl_distance="pseudo_labels").describe()
    assert "uncl_confidence" in hard
    assert "uncl_entropy_weight" not in hard
