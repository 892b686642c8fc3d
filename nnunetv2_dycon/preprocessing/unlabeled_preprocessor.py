"""Preprocessing of unlabeled scans by nnU-Net's own preprocessor, without labels."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from enum import Enum, auto
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager
from tqdm import tqdm

from nnunetv2_dycon.datasets.raw_dataset import UnlabeledCase, number_of_channels, surplus_files
from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.files import explained_write_errors, scratch_folder
from nnunetv2_dycon.preprocessing.case_lock import case_lock
from nnunetv2_dycon.preprocessing.case_stamp import (
    describe_raw_files,
    hash_plans,
    is_current,
    make_stamp,
    stamp_file,
    write_stamp,
)
from nnunetv2_dycon.preprocessing.nifti_integrity import READING_ERRORS, check_nifti
from nnunetv2_dycon.preprocessing.scan_checks import (
    check_header,
    check_image,
    check_preprocessed,
    check_target_shape,
    refuse_missing_file,
)
from nnunetv2_dycon.processes import end_with_parent, end_workers

_MAX_LISTED_ERRORS = 10
# Another process can be stopped, or its lock be lost on a network, so nobody waits for ever.
_LONGEST_WAIT = 1800.0
_POLL_INTERVAL = 0.5


class _Outcome(Enum):
    DONE = auto()
    DONE_BY_ANOTHER_PROCESS = auto()
    BUSY = auto()


@dataclass(frozen=True)
class _Problem:
    """Why a case cannot be preprocessed; the files are at fault unless memory lacks."""

    text: str
    lacks_memory: bool = False


_Result: TypeAlias = "_Outcome | _Problem"
_Results: TypeAlias = "Iterator[tuple[UnlabeledCase, _Result]]"
_Run: TypeAlias = "Callable[[Sequence[UnlabeledCase], bool], _Results]"


class _CaseError(UserError):
    """Wraps what a reader or nnU-Net's preprocessor raises for one scan."""


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

    Several processes may do so at once. They share the cases among themselves, and each returns when all are done.

    Raises:
        UserError: naming every scan that cannot be used; the good ones are done then. At the first file that cannot be
            written, naming the folder and its free space.
    """
    plans_hash = hash_plans(plans_manager, configuration_manager)
    pending = [case for case in cases if not is_current(folder, case, plans_hash)]
    if not pending:
        return 0
    with explained_write_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    preprocess_case = partial(
        _preprocess_case,
        folder=folder,
        plans_manager=plans_manager,
        configuration_manager=configuration_manager,
        dataset_json=dataset_json,
        plans_hash=plans_hash,
    )
    results: list[_Result] = []
    with (
        tqdm(total=len(pending), desc="Preprocessing unlabeled cases") as progress,
        _running(preprocess_case, min(num_processes, len(pending))) as run,
    ):
        last_progress = time.monotonic()
        while pending:
            has_waited_enough = time.monotonic() - last_progress > _LONGEST_WAIT
            busy = []
            for case, result in run(pending, has_waited_enough):
                if result is _Outcome.BUSY:
                    busy.append(case)
                else:
                    results.append(result)
                    progress.update()
                    last_progress = time.monotonic()
            pending = busy
            if pending:
                progress.set_postfix_str("waiting for another process")
                time.sleep(_POLL_INTERVAL)
    _raise_problems([result for result in results if isinstance(result, _Problem)])
    return results.count(_Outcome.DONE)


@contextlib.contextmanager
def _running(preprocess_case: Callable[..., _Result], num_processes: int) -> Iterator[_Run]:
    """Yields a function that preprocesses cases in so many processes, and yields each with its result as it comes."""
    if num_processes == 1:

        def run_here(cases: Sequence[UnlabeledCase], in_spite_of_locks: bool) -> _Results:
            for case in cases:
                yield case, preprocess_case(case, in_spite_of_locks=in_spite_of_locks)

        yield run_here
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(num_processes, context, end_with_parent, (os.getpid(),)) as pool:

        def run_in_pool(cases: Sequence[UnlabeledCase], in_spite_of_locks: bool) -> _Results:
            futures = {}
            try:
                for case in cases:
                    futures[pool.submit(preprocess_case, case, in_spite_of_locks=in_spite_of_locks)] = case
                for future in as_completed(futures):
                    yield futures[future], future.result()
            except BrokenProcessPool as error:
                raise UserError(
                    "A preprocessing process was killed, most likely because the memory was full. Run "
                    '"nnunetv2_dycon preprocess" with a smaller -np; the cases that are done are kept.'
                ) from error
            finally:
                for future in futures:
                    future.cancel()

        try:
            yield run_in_pool
        except BaseException:
            end_workers(pool)
            raise


def _raise_problems(problems: list[_Problem]) -> None:
    if not problems:
        return
    texts = sorted(problem.text for problem in problems)
    listed = "\n  ".join(texts[:_MAX_LISTED_ERRORS])
    more = f"\n  and {len(texts) - _MAX_LISTED_ERRORS} more" if len(texts) > _MAX_LISTED_ERRORS else ""
    remedies = []
    if not all(problem.lacks_memory for problem in problems):
        remedies.append("Repair these files or remove them, then start again; the other cases are done.")
    if any(problem.lacks_memory for problem in problems):
        remedies.append(
            'Where memory lacked, run "nnunetv2_dycon preprocess" with a smaller -np or on a machine with more memory; '
            "the other cases are done."
        )
    cases = "1 unlabeled case" if len(texts) == 1 else f"{len(texts)} unlabeled cases"
    raise UserError(f"{cases} cannot be used:\n  {listed}{more}\n{' '.join(remedies)}")


def _preprocess_case(
    case: UnlabeledCase,
    folder: Path,
    plans_manager: PlansManager,
    configuration_manager: ConfigurationManager,
    dataset_json: dict[str, Any],
    plans_hash: str,
    in_spite_of_locks: bool,
) -> _Result:
    """Preprocess one case, unless another process does or has done it."""
    with case_lock(folder, case.identifier) as is_free:
        if not (is_free or in_spite_of_locks):
            return _Outcome.BUSY
        if is_current(folder, case, plans_hash):
            return _Outcome.DONE_BY_ANOTHER_PROCESS
        try:
            _write_case(case, folder, plans_manager, configuration_manager, dataset_json, plans_hash)
        except _CaseError as error:
            return _Problem(str(error))
        except MemoryError:
            return _Problem(f"{case.images[0]} needs more memory than there is", lacks_memory=True)
    return _Outcome.DONE


def _write_case(
    case: UnlabeledCase,
    folder: Path,
    plans_manager: PlansManager,
    configuration_manager: ConfigurationManager,
    dataset_json: dict[str, Any],
    plans_hash: str,
) -> None:
    with explained_write_errors(folder):
        stamp_file(folder, case.identifier).unlink(missing_ok=True)
    if surplus := surplus_files(case, dataset_json):
        raise _CaseError(surplus)
    file_hashes = {}
    for file in case.files:
        with _errors_of_case(file):
            refuse_missing_file(file)
            file_hashes[file] = check_nifti(file)
    for file in case.images:
        with _errors_of_case(file):
            check_header(file, plans_manager, configuration_manager)
    with _errors_of_case(case.images[0]):
        raw_files = describe_raw_files(case, file_hashes)

    class CheckedPreprocessor(configuration_manager.preprocessor_class):
        def run_case(self, *args: object, **kwargs: object) -> tuple:
            with _errors_of_case(case.images[0]):
                return super().run_case(*args, **kwargs)

        def run_case_npy(self, data: np.ndarray, seg: None, properties: dict, *args: object, **kwargs: object) -> tuple:
            check_image(data, number_of_channels(dataset_json))
            check_target_shape(data, properties["spacing"], plans_manager, configuration_manager)
            preprocessed = super().run_case_npy(data, seg, properties, *args, **kwargs)
            check_preprocessed(preprocessed[0])
            return preprocessed

    with explained_write_errors(folder), scratch_folder(folder / case.identifier) as scratch:
        target, images = str(scratch / case.identifier), [str(image) for image in case.images]
        preprocessor = CheckedPreprocessor(verbose=False)
        preprocessor.run_case_save(target, images, None, plans_manager, configuration_manager, dataset_json)
        (scratch / f"{case.identifier}_seg.b2nd").rename(scratch / f"{case.identifier}_nonzero.b2nd")
        # Where locks do not work, another process may have been faster.
        if not is_current(folder, case, plans_hash):
            stamp = make_stamp(case, plans_hash, raw_files, scratch)
            for file in scratch.iterdir():
                os.replace(file, folder / file.name)
            write_stamp(folder, case.identifier, stamp)


@contextlib.contextmanager
def _errors_of_case(file: Path) -> Iterator[None]:
    """Whatever this block raises is said of one file: readers of all formats may raise anything."""
    try:
        yield
    except MemoryError:
        raise
    except UserError as error:
        raise _CaseError(f"{file} {error}") from error
    except Exception as error:
        text = " ".join(str(error).split())
        if text and not isinstance(error, READING_ERRORS):
            text = f"{type(error).__name__}: {text}"
        raise _CaseError(f"{file} cannot be read: {text or 'see the message of the reader above'}") from error
