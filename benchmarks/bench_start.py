"""How long a learner waits: `import mixlab` beside `import torch`, and from the first cell to the first panel.

make bench, or: python benchmarks/bench_start.py [--quick]
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import harness
import nbformat
import results
from harness import median_of, reading
from jupyter_client.manager import start_new_kernel
from playwright.sync_api import Browser, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
TESTS = ROOT / "tests"
sys.path[:0] = [str(TESTS), str(TESTS / "support")]
from browsing import SECONDS  # noqa: E402
from conftest import CHROMIUM_ARGS, find_chromium  # noqa: E402
from laboratory import Lab, laboratory  # noqa: E402

LESSONS = ("01_lambda.ipynb", "02_two_images_one_label.ipynb")
METHOD = """Imports: fresh processes, taking turns, compiled files and the disk's cache warm; memory is what the process
holds after the import. First panel: a fresh kernel runs the lesson's code cells in their order, as "Run All" does,
until a widget that draws itself opens its comm; beside it the same in JupyterLab and Chromium, from the click on "Run
All Cells" until the panel's first slider can be moved. The kernel is there before the clock starts, and is a fresh one
each time."""
TARGET = 3.0  # seconds
LOOK = """
import time
began = time.perf_counter()
import {package}
seconds = time.perf_counter() - began
import psutil
print(seconds, psutil.Process().memory_info().rss)
"""


def imported(package: str) -> tuple[float, float]:
    """Seconds to import a package in a fresh process, and the memory that the process holds then, in MB."""
    command = [sys.executable, "-c", LOOK.format(package=package)]
    seconds, held = subprocess.check_output(command, cwd=ROOT, text=True).split()
    return float(seconds), float(held) / 1e6


def imports(rounds: int) -> list[dict[str, object]]:
    """Import times and memory, and our time over torch's, taking turns."""
    found: dict[str, list[tuple[float, float]]] = {"mixlab": [], "torch": []}
    for round_ in range(rounds + 1):
        for package, values in found.items():
            value = imported(package)
            if round_:  # the first fills the disk's cache
                values.append(value)
    seconds = {package: [value[0] for value in values] for package, values in found.items()}
    rows = [
        reading(
            "start-up",
            "import mixlab over import torch",
            "",
            harness.ratio_interval(seconds["mixlab"], seconds["torch"]),
            most=1.2,
            n=rounds,
        )
    ]
    for package, values in found.items():
        rows.append(reading("start-up", f"import {package}", "s", harness.spread(seconds[package]), n=rounds))
        held = median_of([value[1] for value in values])
        rows.append(reading("start-up", f"memory after import {package}", "MB", held, n=rounds))
    return rows


def cells_to_panel(lesson: str) -> list[str]:
    """A lesson's code cells, up to the first that shows a panel."""
    cells = nbformat.read(ROOT / "notebooks" / lesson, as_version=4).cells
    sources = [cell.source for cell in cells if cell.cell_type == "code"]
    last = next(i for i, source in enumerate(sources) if "panels." in source)
    return sources[: last + 1]


def until_comm(cells: list[str]) -> float:
    """Seconds from running the first cell in a fresh kernel until a panel's comm is open."""
    manager, client = start_new_kernel(kernel_name="python3")
    try:
        began = time.perf_counter()
        for cell in cells:  # the kernel takes them one after the other, as from "Run All"
            client.execute(cell)
        while True:
            message = client.get_iopub_msg(timeout=60)
            if message["msg_type"] == "error":
                raise RuntimeError("\n".join(message["content"]["traceback"]))
            if message["msg_type"] == "comm_open" and "_esm" in message["content"]["data"].get("state", {}):
                return time.perf_counter() - began
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def until_slider(browser: Browser, lab: Lab, name: str, cells: list[str]) -> float:
    """Seconds from the click on "Run All Cells" until the panel's first slider is in the page and enabled."""
    context = browser.new_context(viewport={"width": 1280, "height": 1400})
    page = context.new_page()
    page.goto(lab.write_notebook(name, cells))
    page.get_by_text("(ipykernel) | Idle").wait_for(timeout=SECONDS)
    page.get_by_role("menuitem", name="Run", exact=True).click()
    began = time.perf_counter()
    page.get_by_text("Run All Cells", exact=True).click()
    page.locator(".mixlab-panel[data-draws] input[type=range]:enabled").first.wait_for(timeout=SECONDS)
    seconds = time.perf_counter() - began
    context.close()
    return seconds


def first_panels(rounds: int) -> list[dict[str, object]]:
    """Both waits, for both lessons, taking turns."""
    cells = {lesson: cells_to_panel(lesson) for lesson in LESSONS}
    comm: dict[str, list[float]] = {lesson: [] for lesson in LESSONS}
    slider: dict[str, list[float]] = {lesson: [] for lesson in LESSONS}
    with sync_playwright() as driver, tempfile.TemporaryDirectory() as home, laboratory(Path(home)) as lab:
        path = find_chromium(driver.chromium.executable_path)
        browser = driver.chromium.launch(executable_path=path, args=CHROMIUM_ARGS)
        for round_ in range(rounds):
            for lesson, sources in cells.items():
                comm[lesson].append(until_comm(sources))
                slider[lesson].append(until_slider(browser, lab, f"{round_}_{lesson}", sources))
        browser.close()
    rows = []
    for kind, found in (("the first panel's comm", comm), ("the first slider in JupyterLab", slider)):
        for lesson, values in found.items():
            what = f"lesson {lesson[:2]}, first cell to {kind}"
            rows.append(
                reading(
                    "start-up",
                    what,
                    "s",
                    median_of(values),
                    most=TARGET,
                    n=len(values),
                )
            )
    return rows


def main() -> None:
    """Measure, print, save."""
    quick = harness.parser(__doc__, METHOD).parse_args().quick
    rows = imports(3 if quick else 15)
    rows += first_panels(2 if quick else 7)
    if not quick:
        packages = ("mixlab", "torch", "ipykernel", "jupyterlab", "ipywidgets", "anywidget", "playwright")
        results.save("start", packages, readings=rows)


if __name__ == "__main__":
    main()
