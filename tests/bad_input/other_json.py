"""Bad input in dataset.json, protocols and records."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.bad_input.row import (
    DETERMINE_POSTPROCESSING,
    DOCTOR,
    PREPROCESS,
    PSEUDO_LABEL,
    SELF_TRAIN,
    SIMULATE,
    TRAIN,
    Place,
    Prepare,
    Row,
    write,
)

# Some read the one of nnUNet_preprocessed, some that of nnUNet_raw.
ALL = (TRAIN, DOCTOR, PREPROCESS, SIMULATE)


def text(content: str | bytes) -> Prepare:
    """A dataset.json with this text."""

    def prepare(place: Place) -> None:
        for folder in (place.workspace.raw, place.workspace.preprocessed):
            write(folder / "dataset.json", content)

    return prepare


def changed(change: Callable[[dict[str, Any]], object]) -> Prepare:
    """A dataset.json that a function changed in place."""

    def prepare(place: Place) -> None:
        dataset_json = place.workspace.read_dataset_json()
        change(dataset_json)
        place.workspace.write_dataset_json(dataset_json)

    return prepare


def labels(**content: object) -> Prepare:
    """A dataset.json with these labels."""
    return changed(lambda dataset_json: dataset_json.update(labels=content))


def keys(**content: object) -> Prepare:
    """A dataset.json with other values of some keys."""
    return changed(lambda dataset_json: dataset_json.update(content))


def without(key: str) -> Prepare:
    """A dataset.json without a key."""
    return changed(lambda dataset_json: dataset_json.pop(key))


def raw_alone(content: str) -> Prepare:
    """The raw dataset's dataset.json alone."""
    return lambda place: write(place.workspace.raw / "dataset.json", content)


def file_list(name: str = "demo_000", **changes: object) -> Prepare:
    """A dataset.json that lists a case's files."""
    entry = {"images": ["imagesTr/demo_000_0000.nii.gz"], "label": "labelsTr/demo_000.nii.gz", **changes}
    return keys(dataset={name: {key: value for key, value in entry.items() if value is not None}})


def protocol(content: object) -> Prepare:
    """A protocol.json in the working directory."""
    text = content if isinstance(content, str) else json.dumps(content)
    return lambda place: write(place.workspace.root / "protocol.json", text)


PROTOCOL = (f"{SIMULATE} --protocol protocol.json",)
ROWS = [
    Row(
        "dataset.json cut short",
        (*ALL, SELF_TRAIN, PSEUDO_LABEL, DETERMINE_POSTPROCESSING),
        "dataset.json is not readable as JSON (...",
        text('{"labels": {'),
    ),
    Row("dataset.json with a byte order mark", ALL, "save it as UTF-8 without BOM", text(b"\xef\xbb\xbf{}")),
    Row(
        "a list in place of dataset.json",
        ALL,
        "dataset.json must hold a JSON object, not []. Correct the file",
        text("[]"),
    ),
    Row("dataset.json without labels", ALL, "dataset.json lacks the key labels. Correct the file", without("labels")),
    Row("dataset.json without file_ending", ALL, "dataset.json lacks the key file_ending", without("file_ending")),
    Row(
        "dataset.json without channel_names",
        ALL,
        "dataset.json lacks the key channel_names: add it",
        without("channel_names"),
    ),
    Row(
        "labels that are a list",
        ALL,
        "labels must be an object from the labels' names to values",
        keys(labels=["background", "organ"]),
    ),
    Row(
        "labels the wrong way round, from values to names",
        ALL,
        'labels.0 must be an integer of at least 0 or a list of such integers, not "background"',
        labels(**{"0": "background", "1": "organ"}),
    ),
    Row("a label that is a text", ALL, 'labels.organ must be an integer ..., not "1"', labels(background=0, organ="1")),
    Row("labels without background", ALL, 'labels must give "background" the value 0', labels(organ=1, lesion=2)),
    Row(
        "labels with a gap",
        ALL,
        "the labels have the values 0, 1, 3, and nnU-Net needs consecutive ones",
        labels(background=0, organ=1, lesion=3),
    ),
    Row(
        "an ignore label that is not the highest",
        ALL,
        'the label "ignore" must have the highest value, 3',
        labels(background=0, organ=1, lesion=2, ignore=9),
    ),
    Row(
        "regions without regions_class_order",
        ALL,
        "has regions, so regions_class_order must be a list with a label for each of the 2 regions",
        labels(background=0, whole=[1, 2], inner=2),
    ),
    Row(
        "a regions_class_order with a value that is no label",
        ALL,
        "regions_class_order gives predictions the value 7, which is no label of the foreground (1, 2)",
        changed(
            lambda content: content.update(
                labels={"background": 0, "whole": [1, 2], "inner": 2}, regions_class_order=[1, 7]
            )
        ),
    ),
    Row("a region of no label", ALL, "labels.whole must be an integer ..., not []", labels(background=0, whole=[])),
    Row("labels without foreground", ALL, "the labels have no foreground", labels(background=0, ignore=1)),
    Row(
        "a label of thirty digits",
        ALL,
        "the labels have the values 0, 1000000000000000000000000000000, and nnU-Net needs consecutive ones",
        labels(background=0, organ=10**30),
    ),
    Row(
        "a file_ending without a dot",
        ALL,
        'file_ending must be a file ending such as ".nii.gz", not "nii.gz"',
        keys(file_ending="nii.gz"),
    ),
    Row(
        "a file_ending with a separator",
        ALL,
        'file_ending must be a file ending such as ".nii.gz"',
        keys(file_ending=".nii/../x.gz"),
    ),
    Row(
        "a case of the file list named after a path, which would be written outside of the folder",
        (*ALL, SELF_TRAIN, PSEUDO_LABEL, DETERMINE_POSTPROCESSING),
        "lists the case '../../../pwned', and files are named after cases: rename it",
        file_list("../../../pwned"),
    ),
    Row(
        "a case of the file list named after an absolute path",
        ALL,
        "lists the case '/tmp/pwned', and files",
        file_list("/tmp/pwned"),
    ),
    Row(
        "a case of the file list with a control character",
        ALL,
        "lists the case 'a\\nb', and files are named",
        file_list("a\nb"),
    ),
    Row(
        "a case of the file list that begins with a dash",
        ALL,
        "lists the case '-rf', and files are named",
        file_list("-rf"),
    ),
    Row(
        "a case of the file list that begins with a dot",
        ALL,
        "lists the case '.hidden', and files are named",
        file_list(".hidden"),
    ),
    Row("a case of the file list without label", ALL, "dataset.demo_000 lacks the key label", file_list(label=None)),
    Row(
        "images of the file list that are a text",
        ALL,
        'dataset.demo_000.images must be a list of files, not "imagesTr',
        file_list(images="imagesTr/a.nii.gz"),
    ),
    Row(
        "a file of the file list that is not there",
        (SIMULATE.replace("-n 2", "-n 1"), PSEUDO_LABEL, SELF_TRAIN),
        "is missing: add it, or",
        file_list(images=["imagesTr/nobody.nii.gz"]),
    ),
    Row(
        "a broken dataset.json in nnUNet_raw alone",
        (DOCTOR, SIMULATE, PSEUDO_LABEL, SELF_TRAIN, DETERMINE_POSTPROCESSING),
        "nnUNet_raw/Dataset501_Tiny/dataset.json is not readable as JSON",
        raw_alone("{,}"),
    ),
    Row("a protocol that is not there", PROTOCOL, "there is no file protocol.json: check the path"),
    Row("a protocol that is no JSON", PROTOCOL, "protocol.json is not readable as JSON", protocol("{,}")),
    Row("a protocol without test", PROTOCOL, "protocol.json lacks the key test", protocol({"train": ["demo_000"]})),
    Row(
        "a text in place of a protocol's list",
        PROTOCOL,
        "'train' in protocol.json must be a list of case names: correct it",
        protocol({"train": "demo_000", "test": []}),
    ),
    Row(
        "an unknown case in a protocol",
        PROTOCOL,
        "protocol.json names nobody, but the dataset has no image of that name: correct it",
        protocol({"train": ["nobody"], "test": []}),
    ),
    Row(
        "a case to train on and to test",
        PROTOCOL,
        "names demo_000 both in 'train' and in 'test': a test case must not be trained on",
        protocol({"train": ["demo_000"], "test": ["demo_000"]}),
    ),
    Row(
        "a case twice in a protocol",
        PROTOCOL,
        "'train' in protocol.json names demo_000 more than once: remove the repetition",
        protocol({"train": ["demo_000"] * 2, "test": []}),
    ),
]
