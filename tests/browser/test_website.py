"""The site, made with one lesson: no fault on any page, nothing from a network, panels whose numbers are Python's."""

import re
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlsplit

import pytest
import reference
import torch
import website
from addresses import REPOSITORY
from axe_playwright_python.sync_playwright import Axe
from browsing import cut_words, drag_to, load_module
from paths import ROOT
from playwright.sync_api import Page, expect

import mixlab as mx
from mixlab.mixing.beta import lambda_quantile
from mixlab.mixing.plan import MixPlan
from mixlab.models import SpiralNet
from mixlab.panels.shared.pairs import label_words
from mixlab.panels.spiral_panel.spiral_panel import _reached
from mixlab.training import SpiralTrainer

TRY = ("lambda", "mixing", "calibration", "spirals", "atlas", "eyes")
PANELS = {}  # those of the pages to try, in Python
DRAGS = {  # a slider, its trait, and what Python says of where it stands
    "lambda": ("α, on a log scale", "alpha", lambda panel: ", ".join(f"{lam:.2f}" for lam in panel.pair)),
    "mixing": ("λ, share of x", "lam", lambda panel: label_words(panel.lam, panel.names)),
    "calibration": ("Number of bins", "n_bins", lambda panel: panel.describe().rpartition(" In ")[0]),
    "atlas": ("Bins of ECE", "n_bins", lambda panel: panel.describe()),
}
DRAWS = """(plane) => [
  [plane.count, plane.tested].map((count, which) => panel.spirals(count, plane, panel.stream(which)))
    .map(({ points, labels }) => [[...points], [...labels]]),
  panel.newNet(plane.classes, panel.stream(2)).flatMap(({ weight, bias }) => [[...weight], [...bias]]),
  Array.from({ length: 2 * 599 }, panel.stream(3)), Array.from({ length: 40 * 61 }, panel.stream(4))]"""
NOT_OURS = {"landmark-unique", "page-has-heading-one"}  # the theme's: two navigations, and its page of search


@pytest.fixture(scope="module")
def site(tmp_path_factory, chromium_path) -> Path:  # without a browser it is not made at all
    with pytest.MonkeyPatch.context() as monkeypatch:
        build = tmp_path_factory.mktemp("build")
        monkeypatch.setenv("MIXLAB_FAST", "1")
        for name in ("SOURCE", "SITE", "RAN", "HTML"):
            monkeypatch.setattr(website, name, build / name.lower() / "pages")
        alive = website.alive

        def kept(panel, name, *rest):
            PANELS[name] = panel
            alive(panel, name, *rest)

        monkeypatch.setattr(website, "alive", kept)
        website.main(["01"])
    return build / "site" / "pages"


@pytest.fixture
def watched(page: Page):
    """A page whose requests to a network and whose errors are faults."""
    faults: list[str] = []
    page.on("request", lambda asked: faults.append(asked.url) if asked.url.startswith("http") else None)
    page.on("console", lambda said: faults.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: faults.append(str(error)))
    yield page
    assert faults == []


def test_every_page_is_without_a_fault(site, watched):
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 20
    for path in pages:
        for wide in (1280, 390):
            watched.set_viewport_size({"width": wide, "height": 800})
            watched.goto(path.as_uri())
            assert watched.evaluate("document.documentElement.scrollWidth") <= wide, path
        if path.name == "genindex.html" or (path.parent.name == "api" and path.name != "exercises.html"):
            continue  # axe takes long for the long pages of the reference, and all are made like the shortest
        found = Axe().run(watched, options={"preload": False}).response["violations"]
        ours = [(one["id"], one["nodes"][0]["html"]) for one in found if one["id"] not in NOT_OURS]
        assert not ours, (path.name, ours)


def test_every_link_within_the_site_leads_somewhere(site):
    texts = {path.resolve(): path.read_text("utf-8") for path in site.rglob("*.html")}
    missing = []
    for path, text in texts.items():
        for link in re.findall(r"<(?:a|link|script|img|source)\b[^>]*?\b(?:href|src|srcset)=\"([^\"]+)\"", text):
            address, fragment = urldefrag(link)
            if urlsplit(address).scheme:
                continue
            target = (path.parent / unquote(urlsplit(address).path)).resolve() if address else path
            anchored = target not in texts or not fragment or f'id="{unquote(fragment)}"' in texts[target]
            if not (target.exists() and anchored):
                missing.append((path.name, link))
    assert missing == []


def test_the_reference_has_every_name_that_is_public_or_that_docstrings_point_to(site):
    assert {path.parent.name for path in (ROOT / "mixlab").glob("*/__init__.py")} == set(reference.PACKAGES)
    text = "".join(path.read_text("utf-8") for path in (site / "api").glob("*.html"))
    held = set(re.findall(r'id="(mixlab[\w.-]+)"', text))
    code = "".join(path.read_text("utf-8") for path in (ROOT / "mixlab").rglob("*.py"))
    named = {name for name in re.findall(r"`(mixlab(?:\.\w+)+)`", code) if not name.rpartition(".")[2].isupper()}
    imported = re.findall(r"^from (mixlab\S*) import (\w+)", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE)
    named |= {".".join(pair) for pair in imported}
    named |= {f"mixlab.{name}" for name in mx.__all__}
    assert {name for name in named if name not in held and re.sub(r"[._]", "-", name) not in held} == set()


def test_links_out_of_the_site_lead_to_the_repository_with_their_anchor():
    text = "[a](../README.md#take-it-home) [b](05.ipynb) [c](https://x.y/#z) [d](#here) [e](../tools/lab.py)"
    made = website.linked(text, "notebooks/01.ipynb", {"README.md"})
    away = f"{REPOSITORY}/blob/HEAD"
    assert made == text.replace("05.ipynb", f"{away}/notebooks/05.ipynb").replace("../tools", f"{away}/tools")
    assert website.linked("[a](README.md#b)", "c.md", ()) == f"[a]({away}/README.md#b)"
    made = website.relinked('<a href="01.ipynb"> <a href="02.ipynb">', {"notebooks/01.ipynb"}, "notebooks/")
    assert made == f'<a href="notebooks/01.html"> <a href="{away}/notebooks/02.ipynb">'


@pytest.mark.parametrize("name", TRY)
def test_a_page_to_try_is_light_fits_a_phone_and_obeys_the_keyboard(site, watched, name):
    path = site / "try" / f"{name}.html"
    fetched = re.findall(r"<(?:script|link)\b[^>]*\b(?:href|src)=\"([^\"?#]+)", path.read_text("utf-8"))
    files = {path, *((path.parent / one).resolve() for one in fetched if one.endswith((".css", ".js")))}
    assert sum(file.stat().st_size for file in files) < 1.5e6
    for width in (320, 390):
        watched.set_viewport_size({"width": width, "height": 800})
        watched.goto(path.as_uri())
        panel = watched.locator(".mixlab-panel[data-draws]")
        expect(panel).to_be_visible(timeout=2000)
        assert watched.evaluate("document.documentElement.scrollWidth") <= width
        assert panel.evaluate("(it) => it.scrollWidth <= it.clientWidth"), width
        assert cut_words(panel) == []
    controls = panel.locator(":is(input, select, button, [tabindex='0']):visible:enabled")
    controls.first.focus()
    for place in range(1, controls.count()):
        watched.keyboard.press("Tab")
        expect(controls.nth(place)).to_be_focused()


@pytest.mark.parametrize("name", DRAGS)
def test_a_drag_on_a_page_to_try_shows_pythons_numbers(site, watched, name):
    label, trait, words = DRAGS[name]
    watched.goto((site / "try" / f"{name}.html").as_uri())
    root = watched.locator(".mixlab-panel[data-draws]")
    handle = root.get_by_label(label, exact=True)
    before = handle.input_value()
    drag_to(watched, handle, 0.2)
    assert handle.input_value() != before
    said = handle.get_attribute("aria-valuetext")
    setattr(PANELS[name], trait, type(getattr(PANELS[name], trait))(said))
    expect(root).to_contain_text(words(PANELS[name]))


def test_a_dark_page_has_dark_panels(site, watched):
    for scheme, dark in (("dark", "true"), ("light", "false")):
        watched.emulate_media(color_scheme=scheme)
        watched.goto((site / "try" / "spirals.html").as_uri())
        panel = watched.locator(".mixlab-panel")
        expect(panel).to_have_attribute("data-dark", dark)
        assert Axe().run(watched, ".mixlab-panel", {"preload": False}).response["violations"] == []


def test_the_address_says_what_is_seen_and_the_back_button_goes_back(site, watched):
    page = (site / "try" / "lambda.html").as_uri()
    watched.goto(f"{page}#alpha=0.4&k=3&variant=cutmix&seed=no")
    panel = watched.locator(".mixlab-panel")
    expect(panel).to_contain_text(f"{mx.lambda_moments(0.4).theta_bar:.3f} on average")
    expect(panel.locator("select")).to_have_value("cutmix")
    k = panel.get_by_label("K, mixes of each pair")
    expect(k).to_have_value("3")
    k.press("ArrowRight")
    expect(watched).to_have_url(f"{page}#alpha=0.4&k=4&variant=cutmix")
    watched.go_back()
    expect(k).to_have_value("3")
    watched.goto(f"{page}#k=99&alpha=text")
    watched.reload()
    expect(k).to_have_value("8")
    expect(panel).to_contain_text(f"{mx.lambda_moments(1.0).theta_bar:.3f} on average")


def test_eyes_are_shown_pythons_line_through_their_answers(site, watched):
    watched.goto((site / "try" / "eyes.html").as_uri())
    root, eyes = watched.locator(".mixlab-panel[data-draws]"), PANELS["eyes"]
    seen = [round(0.2 + 0.6 * lam, 2) for lam in eyes.lam]
    for share in seen:
        root.get_by_role("slider").fill(f"{100 * share:.0f}")
        root.get_by_role("button", name="Answer", exact=True).click()
    eyes.answers = seen
    expect(root.locator(".mx-words")).to_have_text(eyes.describe())
    assert "below 1" in eyes.describe()


def drawn_in(page: Page) -> SpiralTrainer:
    """Python's training on the points, first weights, order and λs that a page draws: 2 epochs, α = 0.4, K = 2."""
    load_module(page, PANELS["spirals"])
    (train, test), layers, order, mixing = page.evaluate(DRAWS, PANELS["spirals"]._plane | {"classes": 3})
    model = SpiralNet(3)
    for parameter, values in zip(model.parameters(), layers, strict=True):
        parameter.data = torch.tensor(values).view_as(parameter)
    train, test = ((torch.tensor(points).view(-1, 2), torch.tensor(labels)) for points, labels in (train, test))
    order, mixing = iter(order), torch.tensor(mixing).view(40, 61)[:, 1:].view(40, 2, 30)  # after the layer, λs

    class InThePage(SpiralTrainer):
        def _chosen(self) -> torch.Tensor:
            if self.step_count % 20 == 0:
                self.rows = list(range(600))
                for i in range(599, 0, -1):
                    j = int(next(order) * (i + 1))
                    self.rows[i], self.rows[j] = self.rows[j], self.rows[i]
            return torch.tensor(self.rows).view(20, 30)[self.step_count % 20]

        def _loss(self, chosen: torch.Tensor) -> torch.Tensor:
            lam = lambda_quantile(0.4, mixing[self.step_count]).float()
            plan = MixPlan("manifold", torch.arange(30).roll(1), lam, lam, layer="input")
            return mx.mixed_loss(self.model, *(part[chosen] for part in self.train), plan).double()

    return InThePage(model, train, test, epochs=2)


def test_spirals_are_trained_with_what_the_address_says(site, watched):
    page = (site / "try" / "spirals.html").as_uri()
    watched.goto(f"{page}#layer=input&alpha=0.4&k=2&epochs=2&classes=3")
    panel = watched.locator(".mixlab-panel")
    expect(panel.locator(".mx-status")).to_contain_text("Recorded: trained in Python")
    panel.get_by_role("button", name="Start").click()
    expect(panel.locator(".mx-run-name")).to_have_text("This run: 3 classes, mixed at input, α = 0.4, K = 2, seed 0.")
    expect(panel.locator(".mx-status")).to_contain_text("Finished: 2 epochs", timeout=30_000)
    *_, record = drawn_in(watched)
    expect(panel.locator(".mx-run-name + .mx-note")).to_have_text(_reached(record))


def test_a_search_finds_a_name(site, watched):
    watched.goto((site / "search.html").as_uri() + "?q=mixed_cross_entropy")
    expect(watched.locator("#search-results")).to_contain_text("mixed_cross_entropy")


def test_a_lesson_runs_anew_in_the_other_speed_and_with_other_recorded_runs(tmp_path, monkeypatch):
    lesson, recorded = ROOT / "notebooks" / "01_lambda.ipynb", tmp_path / "mixlab" / "atlas.safetensors"
    recorded.parent.mkdir()
    runs = []
    monkeypatch.setattr(website, "ROOT", tmp_path)
    monkeypatch.setattr(website, "RAN", tmp_path / "lessons")
    monkeypatch.setattr(website.handout, "executed", lambda path: runs.append(path) or website.nbformat.read(path, 4))
    for fast, content, count in (("", "a", 1), ("", "a", 1), ("1", "a", 2), ("1", "b", 3), ("", "a", 3)):
        monkeypatch.setenv("MIXLAB_FAST", fast)
        recorded.write_text(content)
        website.ran(lesson)
        assert len(runs) == count
