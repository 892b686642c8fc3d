"""The splits that the semi-supervised literature publishes, as files of this package."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from nnunetv2_dycon.json_files import ANYTHING, read_json_file, record


@dataclass(frozen=True)
class PublishedSplit:
    """Lists of cases as their authors publish them.

    Attributes:
        name: what ``--split`` takes.
        source: repository, commit and files that the lists are from.
        train: names of the training cases in the published order: the first ones are the labeled ones.
        validation: names of the validation cases, none in many splits.
        test: names of the test cases.
        left_out: cases of the lists that must not be used, each with the reason.
        notes: sentences that whoever reports results on the split has to know.
    """

    name: str
    source: str
    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]
    left_out: dict[str, str]
    notes: tuple[str, ...]

    @property
    def cases(self) -> tuple[str, ...]:
        """All cases of the lists, those that are left out too."""
        return (*self.train, *self.validation, *self.test)

    @property
    def prefix(self) -> str:
        """What the names begin with before a number, such as ``image`` in ``image0057``."""
        return self.train[0].rstrip("0123456789")


def read_published_split(data_set: str, name: str) -> PublishedSplit:
    """Read a split of a data set, such as ``fold0`` of ``isles22``."""
    keys = ("source", "notes", "left_out", "train", "validation", "test")
    with resources.as_file(resources.files(__package__) / "splits" / f"{data_set}_{name}.json") as file:
        content = read_json_file(Path(file), record(dict.fromkeys(keys, ANYTHING)))
    return PublishedSplit(
        name=name,
        source=content["source"],
        train=tuple(content["train"]),
        validation=tuple(content["validation"]),
        test=tuple(content["test"]),
        left_out=content["left_out"],
        notes=tuple(content["notes"]),
    )
