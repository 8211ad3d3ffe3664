"""Open JupyterLab on the first lesson: run by `make lab` with the environment's own Python."""

import os
import sys

LESSON = "notebooks/00_start_here.ipynb"


def arguments(environment: dict[str, str], platform: str, root: bool) -> list[str]:
    """JupyterLab's command line. Where no browser can open on this screen, it prints the URL instead."""
    remote = "SSH_CONNECTION" in environment or "SSH_TTY" in environment
    blind = platform.startswith("linux") and not (environment.get("DISPLAY") or environment.get("WAYLAND_DISPLAY"))
    options = ["-m", "jupyterlab", f"--LabApp.default_url=/lab/tree/{LESSON}"]
    if remote or blind:
        options.append("--no-browser")
    if root:
        options.append("--allow-root")
    return options


if __name__ == "__main__":
    command = [sys.executable, *arguments(dict(os.environ), sys.platform, os.geteuid() == 0), *sys.argv[1:]]
    os.execv(sys.executable, command)
