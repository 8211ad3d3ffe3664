"""How long each lesson takes from its first cell to its last, and how much memory its kernel holds at the most.

make bench-lessons, or: python benchmarks/bench_lessons.py [--quick] [--only 12 13]
"""

import os
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import harness
import nbformat
import results
from harness import reading
from nbclient import NotebookClient

FOLDER = Path(__file__).resolve().parent.parent / "notebooks"
METHOD = """Each lesson is run once from its first cell to its last, as "Run All" does, by nbclient, in a kernel of its
own and with an empty run store, so that it trains all that it shows; the data sets are in their cache. The seconds are
those of the cells, without the start of the kernel. The memory is the most that the kernel's process has held at once,
VmHWM in /proc: it is Linux alone that tells. What is started beside the kernel, such as lesson 07's other program, is
not in it. One run each: there is no interval. --only measures these lessons, and keeps what results/lessons.json has of
the others. The Python that runs this runs the lessons, too. Memory is that of readers only if it is the one that
`make lab` makes, with torch's CPU build: libraries of the tests, and a CUDA build, take some 300 MB more."""
GROUPS, LIMITS = ("lessons, time", "lessons, memory of the kernel"), (120, 800)
WAIT = 900  # seconds for a cell
PEAK = "VmHWM:"


def lesson(path: Path, environment: Mapping[str, str]) -> tuple[float, float]:
    """Seconds of all cells of a lesson, and the most memory of its kernel, in MB."""
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(notebook, timeout=WAIT, kernel_name="python3", resources={"metadata": {"path": FOLDER}})
    with tempfile.TemporaryDirectory() as store, client.setup_kernel(env={**environment, "MIXLAB_RUNS": store}):
        began = time.perf_counter()
        for place, cell in enumerate(notebook.cells):
            client.execute_cell(cell, place)
        return time.perf_counter() - began, peak(client.km.provisioner.pid)


def peak(process: int) -> float:
    """The most memory that a process has held at once, in MB."""
    status = Path(f"/proc/{process}/status").read_text()
    kilobytes = next(line.split()[1] for line in status.splitlines() if line.startswith(PEAK))
    return int(kilobytes) * 1024 / 1e6


def one(value: float) -> dict[str, float]:
    """A value that was measured once."""
    return {"median": value, "low": value, "high": value}


def main() -> None:
    """Run them, print, save."""
    parser = harness.parser(__doc__, METHOD, quick="two lessons on less data, nothing saved")
    lessons = sorted(FOLDER.glob("[0-9]*.ipynb"))
    numbers = [path.stem[:2] for path in lessons]
    parser.add_argument("--only", nargs="+", choices=numbers, default=numbers, metavar="NN", help="these lessons")
    options = parser.parse_args()
    environment = os.environ | ({"MIXLAB_FAST": "1"} if options.quick else {})
    held = {row["name"] + row["unit"]: row for row in results.read().get("lessons", {}).get("readings", ())}
    for path in [path for path in lessons if path.stem[:2] in options.only][: 2 if options.quick else None]:
        name = f"lesson {path.stem.replace('_', ' ')}"
        for group, unit, value, most in zip(GROUPS, ("s", "MB"), lesson(path, environment), LIMITS, strict=True):
            held[name + unit] = reading(group, name, unit, one(value), n=1, most=most)
    if not options.quick:
        rows = [held[key] for key in sorted(held)]
        results.save("lessons", ("mixlab", "torch", "ipykernel", "nbclient"), readings=rows)


if __name__ == "__main__":
    main()
