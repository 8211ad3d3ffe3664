"""What tests share: a real Chromium, and a real JupyterLab for it to open.

A test that asks for `browser` or `page` is marked `browser`. Where Chromium is missing, such tests are skipped and the
summary counts them; MIXLAB_DEMAND_BROWSER=1 turns that into an error.
"""

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from browsing import button, status
from laboratory import Lab, laboratory
from playwright.sync_api import Browser, Locator, Page, Playwright, sync_playwright
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

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
NO_CHROMIUM = "no Chromium: install one, or point MIXLAB_CHROMIUM at it"


def pytest_configure() -> None:
    """Take Ctrl-C even if the tests run in the background, where a shell has SIGINT ignored by all that it starts."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


class ByFile(LoadScopeScheduling):
    """Sends whole files to a worker, and all of tests/browser to one, which starts Chromium and JupyterLab once."""

    def _split_scope(self, nodeid: str) -> str:
        return "browser" if nodeid.startswith("tests/browser/") else nodeid.split("::", maxsplit=1)[0]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByFile:
    config.option.loadscopereorder = False  # in order of folders, tests/browser is among the first: it takes longest
    return ByFile(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "chromium_path" in getattr(item, "fixturenames", ()):
            item.add_marker("browser")


def find_chromium(own: str) -> str | None:
    """The Chromium to test in: MIXLAB_CHROMIUM, else one installed on this machine, else Playwright's at path `own`."""
    if named := os.environ.get("MIXLAB_CHROMIUM"):
        return named
    installed = [path for path in map(shutil.which, CHROMIUM_NAMES) if path]
    return next((path for path in [*installed, MAC_CHROME, own] if Path(path).exists()), None)


@pytest.fixture(autouse=True)
def run_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that stores a test's runs: its own, not made yet, and never the user's."""
    folder = tmp_path / "runs"
    monkeypatch.setenv("MIXLAB_RUNS", str(folder))
    return folder


@pytest.fixture(scope="session")
def playwright_driver() -> Iterator[Playwright]:
    with sync_playwright() as driver:
        yield driver


@pytest.fixture(scope="session")
def chromium_path(playwright_driver: Playwright) -> str:
    """The path of Chromium; without one the test is skipped."""
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
    """The training panel in the module's `notebook`, at rest and without runs."""
    root = notebook.locator(".mx-training")
    button(root, "Reset").click()
    status(root, "Say what you expect")
    yield root
    button(root, "Reset").click()


@pytest.fixture(scope="session")
def jupyterlab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A real JupyterLab on a free loopback port."""
    with laboratory(tmp_path_factory.mktemp("jupyter")) as lab:
        yield lab
