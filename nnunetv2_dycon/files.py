"""Writing files that are whole or not there."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import re
import secrets
import shutil
import socket
from collections.abc import Iterable, Iterator
from pathlib import Path

from nnunetv2_dycon.exceptions import UserError


def hash_file(file: Path) -> str:
    """Hexadecimal SHA-256 of a file's contents."""
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def copy_files(files: Iterable[tuple[Path, Path]], *, link: bool = False) -> None:
    """Copy, or link, each file to the place that it is given with, whose folder is made.

    Raises:
        UserError: for a link that cannot be made.
    """
    for file, target in files:
        target.parent.mkdir(parents=True, exist_ok=True)
        if link:
            try:
                target.symlink_to(file.resolve())
            except OSError as error:
                # Not as it is, since it names the file that the link would lead to.
                raise UserError(
                    f"no symbolic link to {file} can be made ({error.strerror}). If the disk of nnUNet_raw has none, "
                    "copy instead: simulate, self-train and pseudo-label have the option --copy"
                ) from error
        else:
            shutil.copyfile(file, target)


def refuse_existing_output(output: Path) -> None:
    """Raise a UserError where a file, a folder or a link of this name is there already."""
    if os.path.lexists(output):
        raise UserError(f"{output} is there already: remove it or choose another name.")


@contextlib.contextmanager
def explained_write_errors(folder: Path, *, keeps_what_is_done: bool = True) -> Iterator[None]:
    """Say of whatever this block raises that ``folder`` cannot be written to, as its only work is writing there.

    Libraries raise other errors than OSError where a disk is full.

    Args:
        folder: which is written to.
        keeps_what_is_done: whether whoever starts again finds what was written before.

    Raises:
        UserError: naming the folder, the reason and the free space.
    """
    try:
        yield
    except (UserError, MemoryError):
        raise
    except Exception as error:
        reason = error.strerror if isinstance(error, OSError) else None
        space = next((shutil.disk_usage(place).free for place in (folder, *folder.parents) if place.is_dir()), 0)
        free = f"{space / 2**30:,.1f} GiB" if space >= 2**30 else f"{space / 2**20:,.1f} MiB"
        kept = ": what is done is kept" if keeps_what_is_done else ""
        raise UserError(
            f"{folder} cannot be written to: {reason or error}; {free} are free there. Make room, or correct its "
            f"permissions, and start again{kept}."
        ) from error


@contextlib.contextmanager
def written_aside(target: Path) -> Iterator[Path]:
    """Write a file or folder under another name, so that a kill leaves nothing half-written under its own.

    ::

        with written_aside(file) as partial:
            partial.write_text(text)

    What killed processes of this machine left of the same target is removed first. A target that is a file is replaced;
    a folder must not be there when the block ends, unless it is empty.

    Yields:
        A hidden path in the same folder, another one for each call. The caller makes a file or folder there. When
        the block ends it is renamed to ``target``, and when the block raises it is removed.
    """
    with _removed_in_the_end(target) as partial:
        yield partial
        os.replace(partial, target)


@contextlib.contextmanager
def scratch_folder(target: Path) -> Iterator[Path]:
    """A hidden folder beside ``target`` for files that the caller moves out when they are whole.

    It is another one for each call and is removed in the end, as are remains of killed processes. ``target`` itself
    need not be made.
    """
    with _removed_in_the_end(target) as partial:
        partial.mkdir()
        yield partial


# What this process is writing now.
_being_written: set[Path] = set()


@contextlib.contextmanager
def _removed_in_the_end(target: Path) -> Iterator[Path]:
    """A path beside the target, after what processes left that were killed while they wrote the target is removed."""
    target.parent.mkdir(parents=True, exist_ok=True)
    remove_remains(target)
    # The target's name comes last, since writers such as numpy and ITK go by the ending of a name.
    partial = target.with_name(f".partial_{_host()}-{os.getpid()}-{secrets.token_hex(4)}_{target.name}")
    _being_written.add(partial)
    try:
        yield partial
    finally:
        _remove(partial)
        _being_written.discard(partial)


def remove_remains(target: Path) -> None:
    """Remove what processes of this machine left that were killed while they wrote a file or folder, if it is there."""
    name = re.compile(rf"\.partial_(?:([0-9a-f]+)-(\d+)-[0-9a-f]+_)?{re.escape(target.name)}")
    with os.scandir(target.parent) as entries:
        matches = [match for entry in entries if (match := name.fullmatch(entry.name))]
    for match in matches:
        host, process = match.groups()
        remains = target.with_name(match[0])
        # Processes of other hosts cannot be asked whether they are alive.
        is_left = host is None or (host == _host() and not _is_alive(int(process)))
        if is_left and remains not in _being_written:
            # Another process may be removing the same, or it is another user's.
            with contextlib.suppress(OSError):
                _remove(remains)


def remove_what_is_being_written() -> None:
    """Remove what the blocks of this process have written so far, for a process that is about to end within them."""
    for partial in list(_being_written):
        _remove(partial)


@functools.cache
def _host() -> str:
    """Within what a process number means one process: containers may share a machine's name, machines a number."""
    parts = [socket.gethostname()]
    with contextlib.suppress(OSError):
        parts += [os.readlink("/proc/self/ns/pid"), Path("/proc/sys/kernel/random/boot_id").read_text()]
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()[:12]


def _is_alive(process: int) -> bool:
    if process == os.getpid():
        # What this process writes is known: a process of the same number, killed before, left the others.
        return False
    # Windows has no signal that only asks.
    if os.name != "nt":
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass
    return True


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
