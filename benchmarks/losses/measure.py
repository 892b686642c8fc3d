"""The losses on inputs of a case, measured: ``python -m benchmarks.losses.measure``; prints JSON."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

from benchmarks.common.measuring import memory_in_use, peak_memory, print_measurement, reset_peak_memory
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
            cells = (BATCH, self.size, CHANNELS)
            # An offset makes cosines positive as those of a trained network's cells are, so that no term is idle.
            student = normalize(torch.randn(cells, generator=generator) + 1, dim=2).to(device)
            teacher = normalize(torch.randn(cells, generator=generator) + 1, dim=2).to(device)
            labels = torch.randint(0, CLASSES, cells[:2], generator=generator).to(device)
            functions = {
                REFERENCE: lambda: fecl_reference(student, labels, teacher_embeddings=teacher),
                "official": lambda: fecl_loss(student, labels, teacher_embeddings=teacher, variant="official"),
                "paper": lambda: fecl_loss(student, labels, teacher_embeddings=teacher, variant="paper"),
            }
        else:
            volume = (BATCH, CLASSES, self.size, self.size, self.size)
            student = torch.randn(volume, generator=generator).to(device)
            teacher = torch.randn(volume, generator=generator).to(device)
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


def peak_bytes(case: Case, implementation: str, device: torch.device) -> int:
    """Memory that one forward and backward pass takes beyond the inputs, the gradient included.

    On CUDA this is the allocator's count, on the CPU the growth of the process's resident memory at its peak.

    Args:
        case: the inputs.
        implementation: one of the case's implementations.
        device: where to compute.

    Returns:
        Bytes.
    """
    # Libraries allocate on first use; that is not the implementation's.
    Case(case.loss, 16).steps(device)[implementation]()
    step = case.steps(device)[implementation]
    reset_peak_memory(device)
    before = memory_in_use(device)
    step()
    return max(0, peak_memory(device) - before)


def seconds(case: Case, repeats: int, device: torch.device, with_reference: bool) -> dict[str, float]:
    """Time of one forward and backward pass, the shortest of several.

    The implementations take turns, so that whatever else the machine does meets all of them.

    Args:
        case: the inputs.
        repeats: how often each runs after one run that does not count; 0 lets that one count.
        device: where to compute.
        with_reference: measure the reference too.

    Returns:
        Seconds of each implementation.
    """
    steps = case.steps(device)
    names = case.implementations if with_reference else case.implementations[1:]
    times = {name: [_timed(steps[name], device)] for name in names}
    for _ in range(repeats):
        for name in names:
            times[name].append(_timed(steps[name], device))
    return {name: min(values[1:] or values) for name, values in times.items()}


def _timed(step: Callable[[], None], device: torch.device) -> float:
    start = time.perf_counter()
    step()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


def main() -> None:
    """Measure what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("quantity", choices=("peak_bytes", "seconds"))
    parser.add_argument("loss")
    parser.add_argument("size", type=int)
    parser.add_argument("--implementation")
    parser.add_argument("--device", required=True)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--without-reference", action="store_true")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    case, device = Case(options.loss, options.size), torch.device(options.device)
    measurements = {
        "peak_bytes": lambda: peak_bytes(case, options.implementation, device),
        "seconds": lambda: seconds(case, options.repeats, device, not options.without_reference),
    }
    print_measurement(measurements[options.quantity])


if __name__ == "__main__":
    main()
