"""Make the site in docs/_site: `python tools/website.py [lesson ...]`, run by `make site`.

Lessons are run once and kept in build/lessons until they, or mixlab, change. Names of lessons, such as 01, take only
these. Nothing of the site is fetched from a network, neither while it is made nor when it is read.
"""

import hashlib
import json
import os
import re
import shutil
import sys
from collections.abc import Collection
from pathlib import Path
from string import Template
from typing import Any

import handout
import nbformat
import reference
import yaml
from addresses import REPOSITORY, hosts
from sphinx.cmd.build import build_main

import mixlab as mx
from mixlab.calibration.calibration_error import BINS
from mixlab.ledger import Ledger
from mixlab.panels.lambda_panel.lambda_panel import LAWS
from mixlab.panels.shared.alone import alone
from mixlab.panels.shared.law import ALPHA_HIGH, ALPHA_LOW, K_HIGH, SEED_HIGH
from mixlab.panels.spiral_panel.spiral_panel import EPOCHS_HIGH, LAYERS

ROOT = Path(__file__).resolve().parent.parent
SOURCE, HTML, SITE = ROOT / "build" / "site", ROOT / "build" / "html" / "pages", ROOT / "docs" / "_site"
RAN = ROOT / "build" / "lessons"
COPIED = ("README.md", "docs/teaching.md", "docs/figures.md", "benchmarks/README.md")
PICTURES = ("docs/kit.png", "docs/benchmarks.svg")
MOVING = ("docs/alpha.webp", "docs/alpha.png")  # which the README names in HTML, where Sphinx does not look
LESSONS = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))
BADGE = re.compile(r"\[!\[([^\]]*)\]\(https:[^)]*\)\]")  # a picture that a browser would fetch, within a link
LAW = {"alpha": (ALPHA_LOW, ALPHA_HIGH), "k": (1, K_HIGH), "seed": (0, SEED_HIGH)}


def main(wanted: list[str]) -> None:
    """Put the pages together, and let Sphinx make the site."""
    for folder in (SOURCE, HTML):
        shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(ROOT / "docs" / "site", SOURCE)
    for name in ("docs", "benchmarks", "notebooks"):
        (SOURCE / name).mkdir()
    panels()
    roads(SOURCE / "index.md")
    chosen = [path for path in LESSONS if not wanted or path.name.startswith(tuple(wanted))]
    pages = {*PICTURES, *COPIED, *(f"notebooks/{path.name}" for path in chosen)}
    lessons(chosen, pages)
    reference.write(SOURCE / "api")
    citation()
    ledger(pages)
    for name in PICTURES:
        shutil.copy(ROOT / name, SOURCE / name)
    for name in COPIED:
        text = BADGE.sub(r"[\1]", (ROOT / name).read_text("utf-8"))
        (SOURCE / name).write_text(linked(text, name, pages), "utf-8")
    if build_main(["-q", "-W", "--keep-going", "--fresh-env", "-b", "html", str(SOURCE), str(HTML)]):
        sys.exit("the site has faults, see above")
    shutil.rmtree(SITE, ignore_errors=True)
    shutil.copytree(HTML, SITE, ignore=shutil.ignore_patterns(".*", "_sources"))
    for name in MOVING:
        shutil.copy(ROOT / name, SITE / "docs")
    size = sum(path.stat().st_size for path in SITE.rglob("*") if path.is_file())
    print(f"{SITE / 'index.html'}: {size / 1e6:.0f} MB in all")


def roads(first: Path) -> None:
    """Complete the first page by where the first lesson and the repository are."""
    text = Template(first.read_text("utf-8"))
    first.write_text(text.substitute(hosts=opened("00_start_here"), repository=REPOSITORY), "utf-8")


def opened(lesson: str) -> str:
    """Links to where a lesson, such as "01_lambda", opens with nothing installed."""
    return ", ".join(f"[{host}]({address})" for host, address in hosts(lesson).items())


def linked(text: str, name: str, pages: Collection[str]) -> str:
    """The text of the file `name`, whose links to what the site does not hold lead to the repository."""

    def led(match: re.Match[str]) -> str:
        target = os.path.normpath(Path(name).parent / match[1])
        return match[0] if target in pages else f"]({REPOSITORY}/blob/HEAD/{target}{match[2] or ''})"

    return re.sub(r"\]\((?!\w+:)([^)#]+)(#[^)]*)?\)", led, text)


def relinked(page: str, pages: Collection[str], folder: str = "") -> str:
    """HTML whose links to notebooks beside it lead to their pages in `folder`, or else to the repository."""

    def led(match: re.Match[str]) -> str:
        there = f"notebooks/{match[1]}.ipynb"
        return f'href="{folder}{match[1]}.html"' if there in pages else f'href="{REPOSITORY}/blob/HEAD/{there}"'

    return re.sub(r'href="(\w+)\.ipynb"', led, page)


def panels() -> None:
    """Write a page for each panel that is alive by itself, and the list of them."""
    shapes = mx.load("shapes", train_size=600, test_size=400, difficulty=0)  # ours, so that a page may hold them
    data = shapes if os.environ.get("MIXLAB_FAST") else mx.load("auto", train_size=2000, test_size=1000)
    runs = {name: answers(data, name) for name in ("none", "mixup")}
    law = mx.panels.lambda_panel(k=8, data=shapes)
    address = LAW | {"variant": tuple(LAWS)}
    alive(law, "lambda", "The law of λ", "How often, and how strongly, are two images blended?", address)
    (SOURCE / "first.html").write_text(alone(state_of(law), address), "utf-8")
    address = LAW | {"lam": (0.0, 1.0), "row": (0, 31), "column": (0, 31)}
    words = "What do mixup and CutMix show, and what do their labels claim?"
    alive(mx.panels.mixing_panel(shapes), "mixing", "Two images, one label", words, address)
    address = {"run": tuple(runs), "n_bins": (1, 100), "bins": BINS, "temperature": (0.25, 4.0)}
    words = (
        f"Two networks, trained for this page on {len(data.train):,} images of {data.name}, without mixup and with it. "
        "Which one knows how sure it may be?"
    )
    panel = mx.panels.calibration_panel(runs, other="mixup")
    alive(panel, "calibration", "How sure, and how right?", words, address)
    address = LAW | {"layer": tuple(LAYERS), "classes": (2, 3), "epochs": (1, EPOCHS_HIGH)}
    words = "Where in a network should it mix? Train a small one in this page, and watch what becomes of two spirals."
    alive(spirals(), "spirals", "Spirals", words, address)
    words = "Recorded runs: choose two settings, and see what each costs and whether their difference is decided."
    alive(mx.panels.atlas_panel(this={"epochs": 30}), "atlas", "The atlas", words, True)
    words = "Does a blend of 70% look like 70%, to you?"
    alive(mx.panels.eyes_panel(shapes), "eyes", "Your own eyes", words, None)


def alive(panel: Any, name: str, title: str, words: str, address: Any) -> None:
    """Write the page of one panel, and its row in the list."""
    (SOURCE / "try" / f"{name}.html").write_text(alone(state_of(panel), address), "utf-8")
    page = f"# {title}\n\n{words}\n\n```{{raw}} html\n:file: {name}.html\n```\n"
    (SOURCE / "try" / f"{name}.md").write_text(page, "utf-8")
    with (SOURCE / "try" / "index.md").open("a", encoding="utf-8") as file:
        file.write(f"\n- [{title}]({name}.md): {words}")


def spirals() -> Any:
    """The spiral panel after a run without mixing and one that mixes at the bottleneck."""
    panel = mx.panels.spiral_panel(layer="none", epochs=3 if os.environ.get("MIXLAB_FAST") else 150)
    panel.run()
    panel.layer = "bottleneck"
    panel.run()
    return panel


def state_of(panel: Any) -> Any:
    """What a notebook would store of a panel."""
    return panel.get_manager_state()["state"][panel.model_id]


def answers(data: mx.Dataset, variant: str) -> mx.Predictions:
    """What a network says of the test images, after some training."""
    epochs = 2 if os.environ.get("MIXLAB_FAST") else 15
    training = mx.fit(mx.models.quick(len(data.classes)), data, mx.Mixer(variant), epochs=epochs, every=epochs)
    for _ in training:
        pass
    assert training.tested is not None
    return training.tested


def lessons(chosen: list[Path], pages: Collection[str]) -> None:
    """Run the lessons that were not run as they are now, and write each as a page with its outputs."""
    for path in chosen:
        notebook = handout.without_kernel(ran(path))
        for cell in notebook.cells:
            if cell.cell_type == "markdown":
                cell.source = linked(cell.source, f"notebooks/{path.name}", pages)
            for data in (output.get("data", {}) for output in cell.get("outputs", ())):
                if "text/html" in data:
                    data["text/html"] = relinked("".join(data["text/html"]), pages)
        title, _, rest = notebook.cells[0].source.partition("\n")
        notebook.cells[0].source = f"{title}\n\nRun it yourself, with nothing installed: {opened(path.stem)}.\n{rest}"
        nbformat.write(notebook, SOURCE / "notebooks" / path.name)
    toc = "\n".join(["```{toctree}", ":maxdepth: 1", "", *(f"notebooks/{path.stem}" for path in chosen), "```"])
    (SOURCE / "lessons.md").write_text(
        "# The lessons\n\nEach was run once, as you would run it, on two CPU cores. Panels run in the page where the "
        f"browser can do what they show; others replay what was recorded, or are pictures, and say so.\n\n{toc}\n",
        "utf-8",
    )


def ran(path: Path) -> Any:
    """The notebook with its outputs, from build/lessons if neither it, its speed nor mixlab has changed since."""
    content = hashlib.sha256(path.read_bytes() + os.environ.get("MIXLAB_FAST", "").encode())
    for part in sorted((ROOT / "mixlab").rglob("*")):
        if part.suffix in (".py", ".js", ".css", ".safetensors"):
            content.update(part.read_bytes())
    kept = RAN / f"{path.stem}-{content.hexdigest()[:16]}.ipynb"
    if not kept.exists():
        print(f"{path.stem}: running", flush=True)
        RAN.mkdir(parents=True, exist_ok=True)
        kept.write_text(json.dumps(handout.executed(path), ensure_ascii=False), "utf-8")  # menus keep their order
    return nbformat.read(kept, 4)


def citation() -> None:
    """Write the page that says how to cite mixlab, from CITATION.cff."""
    said = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    authors = " and ".join(f"{{{author['name']}}}" for author in said["authors"])
    fields = {"author": authors, "title": said["title"], "version": said["version"], "url": said["url"]}
    rows = "\n".join(f"  {name} = {{{value}}}," for name, value in fields.items())
    words = (
        "The papers behind a claim are named where it stands; [figures and their sources](docs/figures.md) has their "
        "numbers. Cite those papers for what they found, and mixlab for what it measured."
    )
    page = f"# Cite mixlab\n\n{said['message']}\n\n```bibtex\n@software{{mixlab,\n{rows}\n}}\n```\n\n{words}\n"
    (SOURCE / "citation.md").write_text(page, "utf-8")


def ledger(pages: Collection[str]) -> None:
    """Write the page of the ledger: every claim with the verdict of the recorded runs."""
    made = Ledger(mx.atlas())
    words = linked(
        "What papers on mixup say, and the verdict of the recorded runs. Open a claim for its source and experiment. "
        "Where no recorded run tells, [lesson 13](notebooks/13_every_claim_measured.ipynb) measures it on networks of "
        "its own.",
        "ledger.md",
        pages,
    )
    claims = relinked(made._repr_html_(), pages, "notebooks/")
    shown = f"```{{raw}} html\n{mx.picture(made.plot())._repr_html_()}\n{claims}\n```"
    (SOURCE / "ledger.md").write_text(f"# The ledger\n\n{words}\n\n{shown}\n", "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
