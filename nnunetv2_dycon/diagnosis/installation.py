"""Diagnosis of an installation."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import platform
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import torch
from nnunetv2.paths import nnUNet_preprocessed, nnUNet_raw, nnUNet_results

from nnunetv2_dycon import __version__
from nnunetv2_dycon.diagnosis.finding import Finding
from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.registration import ENVIRONMENT_VARIABLE, export_line, external_trainers_folder
from nnunetv2_dycon.training.find_trainer import find_semi_supervised_trainer


def diagnose_installation() -> Iterator[Finding]:
    """Look at versions, registration, paths and GPU; each finding comes as it is made."""
    is_told = False
    for finding in chain(_versions(), _registration()):
        is_told |= finding.is_problem
        yield finding
    yield from _trainer(is_told=is_told)
    yield from _paths()
    yield _gpu()


def _versions() -> Iterator[Finding]:
    versions = [f"nnunetv2_dycon {__version__}", f"Python {platform.python_version()}"]
    versions += [f"{name} {importlib.metadata.version(name)}" for name in ("nnunetv2", "torch", "batchgeneratorsv2")]
    yield Finding(", ".join(versions))
    try:
        importlib.import_module("torchvision")
    except (ImportError, RuntimeError) as error:
        yield Finding(
            f"torchvision cannot be imported beside torch {torch.__version__} ({error}): install the torchvision that "
            "belongs to this torch, of the same release and build (CPU or CUDA)",
            is_problem=True,
        )


def _registration() -> Iterator[Finding]:
    registered = os.environ.get(ENVIRONMENT_VARIABLE, "").split(os.pathsep)
    if external_trainers_folder() not in registered:
        yield Finding(
            "nnU-Net does not look for trainers in this package, since nnUNet_extTrainer does not name its folder (the "
            "start-up file was not read, or the variable was set anew within Python). Run, or add to your shell's "
            f"start-up file: {export_line()}",
            is_problem=True,
        )


def _trainer(*, is_told: bool) -> Iterator[Finding]:
    """Whether nnU-Net finds one of ours; where not, why, unless a finding has told that."""
    try:
        trainer = find_semi_supervised_trainer("nnUNetTrainerDyCON")
    except UserError as error:
        if not is_told:
            yield Finding(str(error), is_problem=True)
    else:
        yield Finding(f"nnU-Net finds {trainer.__name__}")


def _paths() -> Iterator[Finding]:
    for path in (nnUNet_raw, nnUNet_preprocessed, nnUNet_results):
        name = path.env_var_name
        if not path.get():
            text = f'{name} is not set: before nnU-Net can use data, choose a folder: export {name}="/path/to/{name}"'
            yield Finding(text, is_to_do=True)
            continue
        try:
            yield _folder(name, Path(path), is_read_only=path is nnUNet_raw)
        except OSError as error:
            yield Finding(f"{name}={path} cannot be looked into ({error.strerror}): correct it", is_problem=True)


def _folder(name: str, path: Path, *, is_read_only: bool) -> Finding:
    if not path.is_dir():
        if not is_read_only and _can_be_made(path):
            return Finding(f"{name}={path} is not there yet: nnU-Net makes the folder")
        return Finding(f"{name}={path} is not there: make the folder or correct the variable", is_to_do=True)
    if not is_read_only and not os.access(path, os.W_OK):
        return Finding(f"{name}={path} cannot be written to: change its permissions", is_problem=True)
    return Finding(f"{name}={path}")


def _can_be_made(folder: Path) -> bool:
    if os.path.lexists(folder):  # a file, or a link to nothing
        return False
    there = next(parent for parent in folder.absolute().parents if parent.exists())
    return there.is_dir() and os.access(there, os.W_OK)


def _gpu() -> Finding:
    if not torch.cuda.is_available():
        return Finding("no CUDA GPU: train with -device cpu (slow) or -device mps")
    gpus = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
    return Finding("GPU: " + ", ".join(f"{gpu.name} with {gpu.total_memory / 2**30:.0f} GiB" for gpu in gpus))
