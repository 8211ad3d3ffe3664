"""A real JupyterLab for tests and benchmarks: a server of its own, with none of the user's settings."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote
from urllib.request import Request, urlopen

import nbformat

START_SECONDS = 60
STOP_SECONDS = 15


@dataclass(frozen=True)
class Lab:
    """A running JupyterLab: `url` ends in a slash, `root` is the folder that it serves."""

    url: str
    token: str
    root: Path

    def write_notebook(self, name: str, cells: Sequence[str]) -> str:
        """Write `root/name` with these code cells; return the URL that opens it in a workspace of its own."""
        code = [nbformat.v4.new_code_cell(source) for source in cells]
        kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
        nbformat.write(nbformat.v4.new_notebook(cells=code, metadata=kernel), self.root / name)
        workspace = re.sub(r"\W", "-", name)  # JupyterLab finds no workspace whose name needs quoting
        return f"{self.url}lab/workspaces/{workspace}/tree/{quote(name)}?token={self.token}"

    def get(self, path: str) -> str:
        """Return what the server answers to GET `path` (relative to `url`)."""
        with urlopen(Request(self.url + path, headers={"Authorization": f"token {self.token}"}), timeout=30) as answer:
            return answer.read().decode()


def wait_for_server(process: subprocess.Popen[bytes], runtime: Path, log: Path) -> str:
    """Return the URL once the server answers there; on a busy machine it writes its port down before it listens."""
    record = runtime / f"jpserver-{process.pid}.json"
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            url = str(json.loads(record.read_text())["url"])
            urlopen(f"{url}api", timeout=5).close()
            return url
        except (OSError, json.JSONDecodeError):  # not there yet, half written, or not listening
            time.sleep(0.1)
    raise RuntimeError(f"JupyterLab did not answer within {START_SECONDS} s:\n{log.read_text()[-4000:]}")


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ask the server to close, which ends its kernels too; end whatever is left of its group."""
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextmanager
def laboratory(home: Path) -> Iterator[Lab]:
    """A JupyterLab on a free loopback port, with this environment's settings and all of its own files in `home`."""
    root = home / "root"
    root.mkdir()
    own = {f"JUPYTER_{name.upper()}_DIR": name for name in ("config", "data", "runtime")}
    own |= {f"JUPYTERLAB_{name.upper()}_DIR": name for name in ("settings", "workspaces")}
    own |= {"MIXLAB_RUNS": "runs", "IPYTHONDIR": "ipython"}
    token = os.urandom(16).hex()
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1"]
    command += ["--ServerApp.port=0", f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={root}"]
    log = home / "server.log"
    with log.open("wb") as sink:
        process = subprocess.Popen(
            command,
            cwd=root,
            env=os.environ | {name: str(home / folder) for name, folder in own.items()},
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield Lab(wait_for_server(process, home / "runtime", log), token, root)
    finally:
        stop(process)
