"""Scratch environments: they see all that the test environment has installed, except this package.

Nothing is downloaded: the dependencies are a folder of links.
"""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

VARIABLE = "nnUNet_extTrainer"


@dataclass(frozen=True)
class Environment:
    """A scratch environment in ``folder`` that sees the packages in ``dependencies``."""

    folder: Path
    dependencies: Path

    def __post_init__(self) -> None:
        venv.create(self.folder, symlinks=os.name != "nt", with_pip=False)
        (self.site_packages / "test_environment.pth").write_text(f"{self.dependencies}\n")

    @property
    def scripts(self) -> Path:
        return self.folder / ("Scripts" if os.name == "nt" else "bin")

    @property
    def site_packages(self) -> Path:
        return next(self.folder.glob("[Ll]ib/**/site-packages"))

    def files(self) -> set[Path]:
        return {file.relative_to(self.folder) for file in self.folder.rglob("*")}

    def pip(self, command: str, *arguments: str | Path) -> None:
        # --isolated: settings of the user such as PIP_TARGET have no say here.
        python = self.scripts / "python"
        options = ["--no-index", "--no-deps", "--no-build-isolation"] if command == "install" else ["--yes"]
        run([sys.executable, "-m", "pip", "--isolated", "--python", python, command, *options, *arguments], self.folder)

    def python(
        self, code: str, *arguments: str, folders_of_the_user: str | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        user = {} if folders_of_the_user is None else {VARIABLE: folders_of_the_user}
        return run([self.scripts / "python", "-c", code, *arguments], self.folder, environment=user, check=check)


def run(
    command: list[str | Path], folder: Path, environment: dict[str, str] | None = None, check: bool = True
) -> subprocess.CompletedProcess[str]:
    hidden = (VARIABLE, "PYTHONPATH", "PYTHONHOME", "PYTHONWARNINGS")
    inherited = {name: value for name, value in os.environ.items() if name not in hidden}
    process = subprocess.run(
        command, cwd=folder, env=inherited | (environment or {}), capture_output=True, text=True, check=False
    )
    assert not check or process.returncode == 0, process.stdout + process.stderr
    return process


def link_dependencies(folder: Path) -> None:
    """Fill a folder with links to all that the test environment has installed, except this package."""
    for entry in sys.path:
        if Path(entry).name in ("site-packages", "dist-packages"):
            for installed in Path(entry).iterdir():
                if "nnunetv2_dycon" not in installed.name and not (folder / installed.name).exists():
                    (folder / installed.name).symlink_to(installed)
