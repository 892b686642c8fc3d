"""The projection head of FeCL."""

from __future__ import annotations

import pytest
import torch

from nnunetv2_dycon.networks.projection_head import ProjectionHead


@pytest.mark.parametrize(
    ("total_stride", "features", "cells"),
    [
        ((4, 8), (3, 5), (6, 10)),
        ((8, 8, 8), (2, 3, 4), (4, 6, 8)),
        ((1, 4, 2), (5, 3, 4), (5, 6, 8)),
        ((1, 1), (3, 5), (3, 5)),
    ],
)
def test_embeddings_have_unit_length_and_pooled_axes_are_upsampled_by_two(
    total_stride: tuple[int, ...], features: tuple[int, ...], cells: tuple[int, ...]
) -> None:
    head = ProjectionHead(6, 7, total_stride)
    embeddings = head(torch.randn(2, 6, *features))
    assert embeddings.shape == (2, 7, *cells)
    torch.testing.assert_close(embeddings.norm(dim=1), torch.ones(2, *cells))


def test_upsampling_is_linear() -> None:
    head = ProjectionHead(1, 2, (2, 2))
    head.layers = torch.nn.Sequential(torch.nn.Identity(), torch.nn.Identity())
    seen = []
    head.layers[1].register_forward_hook(lambda *arguments: seen.append(arguments[2]))
    head(torch.tensor([[[[0.0, 4.0]]]]))
    assert seen[0][0, 0, 0].tolist() == [0, 1, 3, 4]


@pytest.mark.parametrize("total_stride", [(4, 8), (8, 8, 8), (1, 4, 2)])
def test_embeddings_are_those_of_upsampled_features(total_stride: tuple[int, ...]) -> None:
    head = ProjectionHead(6, 7, total_stride)
    features = torch.randn(2, 6, *(3, 5, 4)[: len(total_stride)])
    scales = [min(2.0, float(stride)) for stride in total_stride]
    upsampled = torch.nn.functional.interpolate(features, scale_factor=scales, mode=head.mode)
    expected = torch.nn.functional.normalize(head.layers(upsampled), dim=1)
    torch.testing.assert_close(head(features), expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_embeddings_are_float32_under_autocast(dtype: torch.dtype) -> None:
    head = ProjectionHead(4, 8, (2, 2, 2))
    features = torch.randn(1, 4, 3, 3, 3)
    expected = head(features.to(dtype).float())
    with torch.autocast("cpu", dtype=dtype):
        embeddings = head(features.to(dtype))
    assert embeddings.dtype == torch.float32
    torch.testing.assert_close(embeddings, expected, atol=2e-2, rtol=0)
    torch.testing.assert_close(embeddings.norm(dim=1), torch.ones(1, 6, 6, 6))


def test_gradients_reach_the_features_and_every_weight() -> None:
    head = ProjectionHead(4, 8, (2, 2))
    features = torch.randn(2, 4, 3, 3, requires_grad=True)
    head(features)[:, 0].sum().backward()
    assert features.grad.abs().sum() > 0
    assert all(parameter.grad is not None for parameter in head.parameters())
