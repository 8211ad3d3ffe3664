"""What tests share: a real Chromium, and a real JupyterLab for it to open.

A test that asks for `browser` or `page` is marked `browser`; where no Chromium is found it is left out, and the summary
names it. MIXLAB_DEMAND_BROWSER=1 turns that into an error.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote
from urllib.request import Request, urlopen

import nbformat
import pytest
from browsing import button, status
from playwright.sync_api import Browser, Locator, Page, Playwright, sync_playwright

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MAC_CHROME = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"
CHROMIUM_ARGS = [
    "--no-sandbox",  # Chromium refuses to start its sandbox for root, and in most containers
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
NO_CHROMIUM = "no Chromium found: install one, or point MIXLAB_CHROMIUM at it"
START_SECONDS = 60
STOP_SECONDS = 15


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "chromium_path" in getattr(item, "fixturenames", ()):
            item.add_marker("browser")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    skipped = terminalreporter.getreports("skipped")
    left_out = [report.nodeid for report in skipped if NO_CHROMIUM in report.longreprtext]
    if left_out:
        terminalreporter.section(f"{len(left_out)} tests left out: {NO_CHROMIUM}", yellow=True)
        for name in left_out:
            terminalreporter.line(name)


def find_chromium(own: str) -> str | None:
    """The Chromium to test in: MIXLAB_CHROMIUM, else one installed on this machine, else Playwright's at path `own`."""
    if named := os.environ.get("MIXLAB_CHROMIUM"):
        return named
    installed = [path for path in map(shutil.which, CHROMIUM_NAMES) if path]
    return next((path for path in [*installed, MAC_CHROME, own] if Path(path).exists()), None)


@pytest.fixture(autouse=True)
def run_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the runs of a test are stored, a folder that is not there yet: never the user's own."""
    folder = tmp_path / "runs"
    monkeypatch.setenv("MIXLAB_RUNS", str(folder))
    return folder


@pytest.fixture(scope="session")
def playwright_driver() -> Iterator[Playwright]:
    with sync_playwright() as driver:
        yield driver


@pytest.fixture(scope="session")
def chromium_path(playwright_driver: Playwright) -> str:
    """Path of the Chromium that is used; the test is left out where there is none."""
    path = find_chromium(playwright_driver.chromium.executable_path)
    if path is None:
        if os.environ.get("MIXLAB_DEMAND_BROWSER") == "1":
            pytest.fail(NO_CHROMIUM)
        pytest.skip(NO_CHROMIUM)
    return path


@pytest.fixture(scope="session")
def browser(playwright_driver: Playwright, chromium_path: str) -> Iterator[Browser]:
    """One headless Chromium for the whole run."""
    chromium = playwright_driver.chromium.launch(executable_path=chromium_path, args=CHROMIUM_ARGS)
    yield chromium
    chromium.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A fresh page of 1280 x 900 with no cookies from another test."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    yield context.new_page()
    context.close()


@pytest.fixture
def root(notebook: Page) -> Iterator[Locator]:
    """The panel that trains in the module's `notebook`, at rest and without runs."""
    root = notebook.locator(".mx-training")
    button(root, "Reset").click()
    status(root, "Say what you expect")
    yield root
    button(root, "Reset").click()


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


@pytest.fixture(scope="session")
def jupyterlab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A real JupyterLab on a free loopback port, with this environment's settings and none of the user's."""
    home = tmp_path_factory.mktemp("jupyter")
    root = home / "root"
    root.mkdir()
    own = {"JUPYTER_CONFIG_DIR": "config", "JUPYTER_DATA_DIR": "data", "JUPYTER_RUNTIME_DIR": "runtime"}
    own |= {
        "MIXLAB_RUNS": "runs",
        "JUPYTERLAB_SETTINGS_DIR": "settings",
        "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
        "IPYTHONDIR": "ipython",
    }
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
