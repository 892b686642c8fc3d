"""The part of the build that pyproject.toml cannot declare: the file that runs at interpreter start-up.

``nnunetv2_dycon.pth`` tells nnU-Net where the trainers are (see ``nnunetv2_dycon/registration.py``). Python reads such
files from the top of site-packages only, where setuptools has no declared way to put a file. So the build gets one more
step that adds it to the top of the wheel: wheels and editable wheels list it in RECORD, and uninstalling removes it.
"""

import os

from setuptools import Command, setup
from setuptools.command.build import build

STARTUP_FILE = "nnunetv2_dycon.pth"


class BuildStartupFile(Command):
    """Add the start-up file to the top of the wheel (an instance of ``setuptools.command.build.SubCommand``)."""

    description = "add the file that runs at interpreter start-up"
    user_options: list[tuple[str, str, str]] = []  # noqa: RUF012 (as setuptools declares it)

    def initialize_options(self) -> None:
        """Declare what setuptools sets."""
        self.build_lib = ""
        self.editable_mode = False

    def finalize_options(self) -> None:
        """Take the folder that the packages are built in."""
        self.build_lib = self.get_finalized_command("build").build_lib

    def run(self) -> None:
        """Copy the file.

        The packages of an editable wheel stay where they are and its ``build_lib`` is thrown away. What goes into the
        wheel in spite of that is installed into the wheel's folder.
        """
        folder = self.get_finalized_command("install").install_lib if self.editable_mode else self.build_lib
        self.mkpath(folder)
        self.copy_file(STARTUP_FILE, folder)

    def get_source_files(self) -> list[str]:
        """Return the files that a source distribution has to have."""
        return [STARTUP_FILE]

    def get_outputs(self) -> list[str]:
        """Return the files that the step makes."""
        return [os.path.join(self.build_lib, STARTUP_FILE)]

    def get_output_mapping(self) -> dict[str, str]:
        """Return the files that the step makes, each with its source."""
        return {os.path.join(self.build_lib, STARTUP_FILE): STARTUP_FILE}


class Build(build):
    """setuptools' build with one more step."""

    sub_commands = [*build.sub_commands, ("build_startup_file", None)]  # noqa: RUF012 (as setuptools declares it)


setup(cmdclass={"build": Build, "build_startup_file": BuildStartupFile})
