"""Preprocessing of unlabeled scans by nnU-Net's own preprocessor, without labels."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import numpy as np
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager
from tqdm import tqdm

from nnunetv2_dycon.datasets.raw_dataset import UnlabeledCase, number_of_channels
from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.files import scratch_folder
from nnunetv2_dycon.preprocessing.case_stamp import hash_plans, is_current, make_stamp, stamp_file, write_stamp
from nnunetv2_dycon.preprocessing.nifti_integrity import READING_ERRORS, check_nifti
from nnunetv2_dycon.processes import end_with_parent, end_workers

_MAX_LISTED_ERRORS = 10


def preprocess_unlabeled_cases(
    cases: Sequence[UnlabeledCase],
    folder: Path,
    plans_manager: PlansManager,
    configuration_manager: ConfigurationManager,
    dataset_json: dict[str, Any],
    num_processes: int,
) -> int:
    """Preprocess the cases that are not done or whose raw files or plans have changed, and count them.

    Each case is written under another name and renamed when it is whole, so that a killed run is continued by the
    next. Files per case: ``CASE.b2nd`` (image), ``CASE_nonzero.b2nd`` (0 inside, -1 outside the image's nonzero mask;
    derived from the image alone), ``CASE.pkl`` (nnU-Net's properties), ``CASE.json`` (stamp).

    Raises:
        UserError: naming every scan that cannot be used; the good ones are done then.
    """
    plans_hash = hash_plans(plans_manager, configuration_manager)
    pending = [case for case in cases if not is_current(folder, case, plans_hash)]
    if not pending:
        return 0
    folder.mkdir(parents=True, exist_ok=True)
    arguments = (folder, plans_manager, configuration_manager, dataset_json, plans_hash)
    results: list[str | None] = []
    with tqdm(total=len(pending), desc="Preprocessing unlabeled cases") as progress:
        if num_processes == 1:
            for case in pending:
                results.append(_preprocess_case(case, *arguments))
                progress.update()
        else:
            context = multiprocessing.get_context("spawn")
            workers = min(num_processes, len(pending))
            with ProcessPoolExecutor(workers, context, end_with_parent, (os.getpid(),)) as pool:
                futures = [pool.submit(_preprocess_case, case, *arguments) for case in pending]
                try:
                    for future in as_completed(futures):
                        results.append(future.result())
                        progress.update()
                except BrokenProcessPool as error:
                    raise UserError(
                        "A preprocessing process was killed, most likely because the memory was full. Run "
                        '"nnunetv2_dycon preprocess" with a smaller -np; the cases that are done are kept.'
                    ) from error
                except BaseException:
                    end_workers(pool)
                    raise
    if problems := sorted(problem for problem in results if problem is not None):
        listed = "\n  ".join(problems[:_MAX_LISTED_ERRORS])
        more = f"\n  and {len(problems) - _MAX_LISTED_ERRORS} more" if len(problems) > _MAX_LISTED_ERRORS else ""
        raise UserError(
            f"{len(problems)} unlabeled cases cannot be used:\n  {listed}{more}\nRepair these files or remove them, "
            "then start again; the other cases are done."
        )
    return len(pending)


def check_image(image: np.ndarray, num_channels: int) -> None:
    """Check that a scan, (C, X, Y, Z) as nnU-Net's reader returns it, can be used.

    Raises:
        UserError: for another number of channels, values that are not finite, and a scan without any contrast. One
            constant channel among others is accepted, as nnU-Net does: data sets fill missing sequences with zeros.
    """
    if image.shape[0] != num_channels:
        raise UserError(f"has {image.shape[0]} channels where dataset.json declares {num_channels}")
    for channel, values in enumerate(image):
        if not np.isfinite(values).all():
            raise UserError(f"channel {channel:04d} holds values that are NaN or infinite")
    if image.size == 0 or all(values.min() == values.max() for values in image):
        raise UserError("is empty: all its voxels are the same")


def _preprocess_case(
    case: UnlabeledCase,
    folder: Path,
    plans_manager: PlansManager,
    configuration_manager: ConfigurationManager,
    dataset_json: dict[str, Any],
    plans_hash: str,
) -> str | None:
    """Preprocess one case; returns what is wrong with it, or None."""
    stamp_file(folder, case.identifier).unlink(missing_ok=True)
    file_hashes = {}
    for file in case.files:
        try:
            file_hashes[file] = check_nifti(file)
        except READING_ERRORS as error:
            return f"{file} {_reason(error)}"
    stamp = make_stamp(case, plans_hash, file_hashes)

    class CheckedPreprocessor(configuration_manager.preprocessor_class):
        def run_case_npy(self, data: np.ndarray, *args: object, **kwargs: object) -> tuple:
            check_image(data, number_of_channels(dataset_json))
            return super().run_case_npy(data, *args, **kwargs)

    with scratch_folder(folder / case.identifier) as scratch:
        try:
            target, images = str(scratch / case.identifier), [str(image) for image in case.images]
            preprocessor = CheckedPreprocessor(verbose=False)
            preprocessor.run_case_save(target, images, None, plans_manager, configuration_manager, dataset_json)
        except READING_ERRORS as error:
            return f"{case.images[0]} {_reason(error)}"
        (scratch / f"{case.identifier}_seg.b2nd").rename(scratch / f"{case.identifier}_nonzero.b2nd")
        for file in scratch.iterdir():
            os.replace(file, folder / file.name)
    write_stamp(folder, case.identifier, stamp)
    return None


def _reason(error: Exception) -> str:
    if isinstance(error, UserError):
        return str(error)
    return f"cannot be read: {' '.join(str(error).split()) or 'see the message of the reader above'}"
