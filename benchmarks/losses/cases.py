"""What is compared: inputs of a size and the implementations that take them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

from benchmarks.losses.reference import fecl_reference, uncl_reference
from nnunetv2_dycon.losses.fecl import fecl_loss
from nnunetv2_dycon.losses.uncl import uncl_loss

REFERENCE = "reference"
IMPLEMENTATIONS = {"FeCL": (REFERENCE, "official", "paper"), "UnCL": (REFERENCE, "package")}
BATCH, CHANNELS, CLASSES = 2, 256, 4


@dataclass(frozen=True)
class Case:
    """One comparison.

    Attributes:
        loss: a key of IMPLEMENTATIONS.
        size: FeCL: number of cells N of (2, N, 256) embeddings; UnCL: edge P of (2, 4, P, P, P) logits.
    """

    loss: str
    size: int

    @property
    def implementations(self) -> tuple[str, ...]:
        """Names of the implementations, the reference first."""
        return IMPLEMENTATIONS[self.loss]

    @property
    def reference_bytes(self) -> int:
        """About what the reference needs: measured, it is 16 matrices or 5.5 times the logits, float32."""
        if self.loss == "FeCL":
            return 16 * BATCH * self.size**2 * 4
        return 6 * BATCH * CLASSES * self.size**3 * 4

    def steps(self, device: torch.device) -> dict[str, Callable[[], None]]:
        """Make the inputs.

        Args:
            device: where to compute.

        Returns:
            For each implementation, a function that runs it forward and backward once.
        """
        generator = torch.Generator().manual_seed(0)
        if self.loss == "FeCL":
            shape = (BATCH, self.size, CHANNELS)
            # An offset makes cosines positive as those of a trained network's cells are, so that no term is idle.
            student = normalize(torch.randn(shape, generator=generator) + 1, dim=2).to(device)
            teacher = normalize(torch.randn(shape, generator=generator) + 1, dim=2).to(device)
            labels = torch.randint(0, CLASSES, shape[:2], generator=generator).to(device)
            functions = {
                REFERENCE: lambda: fecl_reference(student, labels, teacher_embeddings=teacher),
                "official": lambda: fecl_loss(student, labels, teacher_embeddings=teacher, variant="official"),
                "paper": lambda: fecl_loss(student, labels, teacher_embeddings=teacher, variant="paper"),
            }
        else:
            shape = (BATCH, CLASSES, self.size, self.size, self.size)
            student = torch.randn(shape, generator=generator).to(device)
            teacher = torch.randn(shape, generator=generator).to(device)
            functions = {
                REFERENCE: lambda: uncl_reference(student, teacher, 1.0),
                "package": lambda: uncl_loss(student, teacher, 1.0),
            }
        student.requires_grad_()
        return {name: _step(function, student) for name, function in functions.items()}


def _step(function: Callable[[], Tensor], student: Tensor) -> Callable[[], None]:
    def step() -> None:
        student.grad = None
        function().backward()

    return step
