"""`mixlab app` in a real browser: the panels are there, and nothing is asked of any other machine."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from browsing import SECONDS
from playwright.sync_api import Page, expect


def test_the_app_shows_panels_and_asks_no_other_machine(page: Page, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mixlab", "app", "--no-browser", f"--port={port}"]
    environment = os.environ | {"MIXLAB_DATA": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    away: list[str] = []
    page.on("request", lambda asked: None if f":{port}/" in asked.url else away.append(asked.url))
    with (tmp_path / "log").open("w") as log:
        served = subprocess.Popen(command, env=environment, stderr=log, start_new_session=True)
        try:
            for _ in range(600):
                try:
                    socket.create_connection(("localhost", port)).close()
                    break
                except OSError:
                    time.sleep(0.1)
            page.goto(f"http://localhost:{port}/", timeout=SECONDS)
            page.locator(".mixlab-panel.mx-law[data-draws]").wait_for(timeout=SECONDS)
            for name, kind in (("Spirals", "mx-spirals"), ("Atlas", "mx-atlas")):
                page.get_by_role("tab", name=name).click()
                expect(page.locator(f".mixlab-panel.{kind}[data-draws]")).to_be_visible(timeout=SECONDS)
        finally:
            os.killpg(served.pid, signal.SIGINT)
            served.wait(60)
    assert [url for url in away if not url.startswith(("data:", "blob:"))] == []
