"""The networks in training, the moving average that is deployed, and who learns from whom."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from nnunetv2_dycon.methods.method import Guidance, Method, Prediction, full_resolution
from nnunetv2_dycon.networks.bottleneck import BottleneckReader, bottleneck_channels
from nnunetv2_dycon.networks.mean_teacher import MeanTeacher

_ORDINALS = ("", "second_", "third_", "fourth_")
_HEAD = "projection_head"


class Student:
    """A network and how to ask it.

    Args:
        network: not wrapped.
        head: from bottleneck features to embeddings; None for none.
        running: what is called in the network's place: itself, compiled or wrapped.
        reads_features: whether predictions have the bottleneck's features.
    """

    def __init__(self, network: nn.Module, head: nn.Module | None, running: nn.Module, *, reads_features: bool) -> None:
        self.network = network
        self.head = head
        self.running = running
        # Before the first pass, which is when torch.compile reads hooks.
        self._reader = BottleneckReader(network) if reads_features else None

    def __call__(self, patches: Tensor) -> Prediction:
        """A prediction of (B, C, *patch), with gradients where they are enabled."""
        output = self.running(patches)
        features = None if self._reader is None else self._reader.take()
        return Prediction(output, features, self._embed(features))

    def without_synchronisation(self) -> AbstractContextManager[object]:
        """In this block, gradients stay in this process, for a later pass to add to and to synchronise."""
        return self.running.no_sync() if isinstance(self.running, DistributedDataParallel) else nullcontext()

    @torch.no_grad()
    def predict(self, patches: Tensor) -> Prediction:
        """A prediction of (B, C, *patch) at full resolution, without gradients."""
        prediction = self(patches)
        return Prediction(prediction.logits, prediction.features, prediction.embeddings)

    def _embed(self, features: Tensor | None) -> Tensor | None:
        return None if features is None or self.head is None else self.head(features)


class Teacher(Student):
    """The moving average, which is only ever asked for predictions."""

    @torch.no_grad()
    def predict(self, patches: Tensor) -> Prediction:
        """See Student.predict."""
        with torch.inference_mode():
            logits = full_resolution(self.running(patches))
            features = None if self._reader is None else self._reader.take()
        # Tensors made in inference mode cannot take part in a graph; clones can.
        logits, features = logits.clone(), None if features is None else features.clone()
        return Prediction(logits, features, self._embed(features))


class Students:
    """All networks of a training.

    The first student is nnU-Net's own network. A method with one student has it learn from the moving average of its
    weights and of its head's; further students have the same plans and an initialisation of their own, and all learn
    from each other. The moving average of the first is kept in both cases, for deployment.

    Args:
        method: says how many there are and what they need.
        first: nnU-Net's network, not wrapped.
        running: what nnU-Net calls in its place.
        build_network: builds another network of the plans.
        total_stride: by how much the encoder pools each axis.
        device: of the training.
        wrap: what is done to a network before it is called, such as compilation.
        synchronise: what is then done to a student beside nnU-Net's, where several processes train together.

    Raises:
        ValueError: for a method with no student or more than four.

    Attributes:
        auxiliary: all that is trained beside nnU-Net's network, by the names it has in checkpoints.
        average: the moving average, of ``network`` and where it teaches also ``auxiliary``.
        teacher: how to ask the moving average.
    """

    def __init__(
        self,
        method: Method[Any, Any],
        first: nn.Module,
        running: nn.Module,
        *,
        build_network: Callable[[], nn.Module],
        total_stride: list[int],
        device: torch.device,
        wrap: Callable[[nn.Module], nn.Module],
        synchronise: Callable[[nn.Module], nn.Module] = lambda network: network,
    ) -> None:
        if not 1 <= method.num_students <= len(_ORDINALS):
            raise ValueError(f"num_students must be from 1 to {len(_ORDINALS)}, not {method.num_students}")
        self._method = method
        self.auxiliary = nn.ModuleDict()
        networks: list[nn.Module] = [first]
        heads: list[nn.Module | None] = []
        for index in range(method.num_students):
            if index > 0:
                networks.append(build_network())
                method.prepare_further_student(networks[-1])
                self.auxiliary[f"{_ORDINALS[index]}student"] = networks[-1]
            head = self._build_head(networks[index], total_stride)
            heads.append(head)
            if head is not None:
                self.auxiliary[f"{_ORDINALS[index]}{_HEAD}"] = head
        self.auxiliary.to(device)
        # Copied before any hook is registered.
        self.average = MeanTeacher(self._averaged_modules(first), method.settings.ema_decay)
        reads = method.reads_features
        self._students = [
            Student(network, head, running if network is first else synchronise(wrap(network)), reads_features=reads)
            for network, head in zip(networks, heads, strict=True)
        ]
        network, head, teaches = self.deployed_average, None, len(self) == 1
        if teaches and heads[0] is not None:
            head = self.average.module.get_submodule(f"auxiliary.{_HEAD}")
        self.teacher = Teacher(network, head, wrap(network), reads_features=reads and teaches)

    def _build_head(self, network: nn.Module, total_stride: list[int]) -> nn.Module | None:
        if not self._method.reads_features:
            return None
        return self._method.build_head(bottleneck_channels(network), total_stride)

    def _averaged_modules(self, first: nn.Module) -> nn.ModuleDict:
        modules = nn.ModuleDict({"network": first})
        if self._method.num_students == 1:
            modules["auxiliary"] = self.auxiliary
        return modules

    def __len__(self) -> int:
        return self._method.num_students

    def __iter__(self) -> Iterator[Student]:
        return iter(self._students)

    @property
    def deployed_average(self) -> nn.Module:
        """The network of the moving average."""
        return self.average.module.get_submodule("network")

    @property
    def averaged_modules(self) -> nn.ModuleDict:
        """What the moving average follows, as it is now."""
        return self._averaged_modules(self._students[0].network)

    @property
    def modules(self) -> list[nn.Module]:
        """Everything that is trained; the gradients of each are clipped by themselves."""
        return [self._students[0].network, *self.auxiliary.values()]

    @property
    def heads(self) -> list[nn.Module]:
        """What is trained beside the networks, without a wrapper that synchronises gradients."""
        return [student.head for student in self if student.head is not None]

    def guide(self, weak: Tensor) -> list[Guidance]:
        """What each student has to learn from on an unlabeled batch, whose weak view is (B, C, *patch)."""
        if len(self) == 1:
            return [Guidance((self._method.ask_teacher(self.teacher.predict, weak),))]
        predictions = [student.predict(weak) for student in self]
        return [
            Guidance((*predictions[:index], *predictions[index + 1 :]), own) for index, own in enumerate(predictions)
        ]

    def ask_others(self, student: Student, patches: Tensor) -> tuple[Prediction, ...]:
        """What all students but one say of patches (B, C, *patch), without gradients."""
        return tuple(other.predict(patches) for other in self if other is not student)
