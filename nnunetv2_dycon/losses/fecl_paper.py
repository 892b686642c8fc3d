"""FeCL as the paper states it: loss and gradient, tile by tile."""

from __future__ import annotations

import torch
from torch import Tensor

from nnunetv2_dycon.losses.fecl_cells import Cells, Tile, focal_weights, tiles
from nnunetv2_dycon.losses.reduction import Reduction


def paper_loss_and_gradient(
    cells: Cells,
    temperature: float,
    gamma_of_positives: float,
    gamma_of_negatives: float,
    num_hard_negatives: int,
    byte_budget: int | None,
    reduction: Reduction,
) -> tuple[Tensor, Tensor | None]:
    """The paper variant of :func:`~nnunetv2_dycon.losses.fecl.fecl_loss`, which has the formula, and its gradient.

    Exponentials are not shifted, so the temperature must be at least 0.02 for them to fit float32. Of a batch that
    processes share, it is the part of this process in the loss of all, and so is the gradient.
    """
    total, total_weight = cells.weights.new_zeros(()), cells.weights.new_zeros(())
    gradient = torch.zeros_like(cells.embeddings) if cells.needs_gradient else None
    for tile in tiles(cells, 8, byte_budget):
        embeddings = cells.embeddings[tile.sample]
        anchors = embeddings[tile.rows]
        cosine, exponential, summands, focal_positive, by_positive, focal_negative, by_negative, scratch = tile.work
        torch.mm(anchors, embeddings.T, out=cosine)
        torch.div(cosine, temperature, out=exponential).exp_()
        torch.sub(1, cosine, out=focal_positive).clamp_min_(0)
        torch.clamp_min(cosine, 0, out=focal_negative)
        focal_positive, positive_slope = focal_weights(focal_positive, tile.positive, gamma_of_positives, by_positive)
        focal_negative, negative_slope = focal_weights(focal_negative, tile.negative, gamma_of_negatives, by_negative)
        positive_sum, negative_sum = focal_positive.sum(1), focal_negative.sum(1)
        hard_negatives = _hard_negatives(cells, tile, anchors, temperature, num_hard_negatives, scratch)

        num_positives = tile.positive.sum(1)
        has_positives = num_positives > 0
        torch.add(tile.positive, focal_negative, out=summands).mul_(exponential)
        denominator = summands.sum(1)
        if hard_negatives is not None:
            hard_shares, hard_embeddings = hard_negatives
            hard = hard_shares.sum(1)
            denominator += hard * negative_sum
            exponential += hard.unsqueeze(1)
        # An anchor without positives may have nothing in its denominator; it has no loss either.
        denominator = torch.where(has_positives, denominator, 1)
        log_denominator = denominator.log()

        weight = torch.where(has_positives, cells.weights[tile.sample, tile.rows], 0)
        total_weight += weight.sum()
        weight = weight / num_positives.clamp_min(1)
        if cells.entropy is not None:
            weight = weight * cells.entropy[tile.sample, tile.rows].exp()
        similarity_sum = torch.linalg.vecdot(focal_positive, cosine) / temperature
        total += weight @ (log_denominator * positive_sum - similarity_sum)
        if gradient is None:
            continue

        weight = weight.unsqueeze(1)
        by_denominator = weight * (positive_sum / denominator).unsqueeze(1)
        by_cosine = summands.mul_(by_denominator / temperature)
        by_cosine.addcmul_(focal_positive, weight, value=-1 / temperature)
        if positive_slope is not None:
            positive_slope *= cosine.div_(-temperature).add_(log_denominator.unsqueeze(1))
            by_cosine.addcmul_(positive_slope, weight, value=-gamma_of_positives)
        if negative_slope is not None:
            by_cosine.addcmul_(negative_slope.mul_(exponential), by_denominator, value=gamma_of_negatives)
        gradient[tile.sample].addmm_(by_cosine.T, anchors)
        gradient[tile.sample, tile.rows].addmm_(by_cosine, embeddings)
        if hard_negatives is not None:
            shares = hard_shares * (by_denominator * negative_sum.unsqueeze(1) / temperature)
            gradient[tile.sample, tile.rows] += (shares.unsqueeze(1) @ hard_embeddings).squeeze(1)
    (total_weight,) = reduction.sum(total_weight)
    total_weight = torch.where(total_weight > 0, total_weight, 1)
    return total / total_weight, None if gradient is None else gradient.div_(total_weight)


def _hard_negatives(
    cells: Cells, tile: Tile, anchors: Tensor, temperature: float, count: int, out: Tensor
) -> tuple[Tensor, Tensor] | None:
    """The negatives of each anchor that its teacher embeds most similarly, k = `count` of them or all cells.

    Returns:
        (T, k), the share of each in the mean of ``exp(S)`` over them, 0 where an anchor has fewer than k negatives; and
        (T, k, D), the teacher's embeddings.
    """
    if cells.teacher_embeddings is None:
        return None
    teacher_embeddings = cells.teacher_embeddings[tile.sample]
    # A negative counts 4 more, which puts it above every other cell.
    cosine = torch.mm(anchors, teacher_embeddings.T, out=out)
    if cells.teacher_mask is None:
        cosine.add_(tile.negative, alpha=4)
    else:
        cosine.addcmul_(tile.negative, cells.teacher_mask[tile.sample], value=4)
    hardest = cosine.topk(min(count, cosine.shape[1]), dim=1, sorted=False)
    is_negative = hardest.values > 2
    chosen = teacher_embeddings[hardest.indices]
    # Computed again, since the addition of 4 has cost them their last digits.
    cosine = (chosen @ anchors.unsqueeze(2)).squeeze(2)
    shares = torch.where(is_negative, (cosine / temperature).exp_(), 0)
    shares /= is_negative.sum(1, keepdim=True).clamp_min(1)
    return shares, chosen
