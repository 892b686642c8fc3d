"""How nnU-Net finds this package's trainers.

nnU-Net looks a trainer up in its own package, then in the folders that the environment variable ``nnUNet_extTrainer``
names. Installing this package puts ``nnunetv2_dycon.pth`` into site-packages, which calls :func:`register` whenever the
interpreter starts. Every Python program of the environment pays for that, so this module imports nothing that the
interpreter has not imported already.
"""

import os

ENVIRONMENT_VARIABLE = "nnUNet_extTrainer"


def external_trainers_folder() -> str:
    """Return the absolute path of the folder that nnU-Net has to search for this package's trainers."""
    return os.path.join(os.path.dirname(os.path.abspath(__file__)), "external_trainers")


def register() -> None:
    """Append :func:`external_trainers_folder` to the folders that nnU-Net searches for trainers.

    The folders that the user has set stay in front, so the user's trainers win over ours. Calling it again, and
    starting another interpreter from this one, changes nothing.
    """
    folder = external_trainers_folder()
    folders = os.environ.get(ENVIRONMENT_VARIABLE, "")
    if folder not in folders.split(os.pathsep):
        os.environ[ENVIRONMENT_VARIABLE] = f"{folders}{os.pathsep}{folder}" if folders else folder


def export_line() -> str:
    """Return :func:`register` as a line for a POSIX shell, for installations whose ``.pth`` Python does not read."""
    from shlex import quote  # it imports re, which is too slow for every start of the interpreter

    set_before = f"${{{ENVIRONMENT_VARIABLE}:+${ENVIRONMENT_VARIABLE}{os.pathsep}}}"
    return f'export {ENVIRONMENT_VARIABLE}="{set_before}"{quote(external_trainers_folder())}'
