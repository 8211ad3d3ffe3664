"""The page of a comparison: whole in one file, readable on any screen; and the command that writes it."""

import base64
import html
import re

import pytest
import torch
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from seeding import seeded
from tiny_runs import net

import mixlab as mx
from mixlab import __main__
from mixlab.comparison.page import page_of
from mixlab.training import Trainer


@pytest.fixture(scope="module")
def text(comparison):
    return page_of(comparison, "mixlab compare 'my pets'")


def test_it_says_what_the_comparison_says_and_needs_no_other_file(comparison, text):
    words = html.unescape(re.sub(r"<[^>]*>", " ", text))
    said = comparison.recommendation
    facts = ("mixlab compare 'my pets'", comparison.data.digest, repr(comparison.mixers["soft"]), "seeds=[0, 1]")
    assert [fact for fact in (said.sentence, *comparison.remarks, *facts) if fact not in words] == []
    for table in (comparison.table(), comparison.difference_table()):
        assert table._repr_html_() in text
    assert not re.search(r"""(?:src|href)=["'](?!data:)|url\(|@import|<script""", text)
    for svg in map(base64.b64decode, re.findall(r"svg\+xml;base64,([^\"]+)", text)):
        assert b"currentColor" in svg
        assert svg.count(b"#1a1a1a") == 1  # in the style, of the light one
    assert len(re.findall(r'<img alt="[^"]{30,}"', text)) == text.count("<img") == 5 + 5 + 3 + 1


def test_what_it_says_to_type_loads_the_same_runs(comparison, text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MIXLAB_RUNS", str(comparison.runs["cut", 0]._store.root))
    monkeypatch.setattr(Trainer, "step", lambda _: pytest.fail("trained again"))
    monkeypatch.setattr(mx, "load", lambda _: comparison.data)
    code = html.unescape(re.findall("<pre>(.*?)</pre>", text, re.DOTALL)[-1])
    exec(code, {"net": net})
    assert comparison.recommendation.sentence in html.unescape((tmp_path / "page.html").read_text())


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone_and_reads_in_light_and_dark(browser, text, tmp_path, scheme):
    (tmp_path / "page.html").write_text(text)
    page = browser.new_page(viewport={"width": 360, "height": 740}, color_scheme=scheme)
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto((tmp_path / "page.html").as_uri())
    assert [url for url in asked if not url.startswith(("data:", "file:"))] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert page.evaluate("[...document.images].every(image => image.naturalWidth > 200)")
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", paper))) > 384) == (scheme == "light")
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    page.close()


@pytest.fixture
def folder(tmp_path):
    """Two classes of gray images."""
    pixels = torch.randint(0, 256, (2, 12, 9, 8), generator=seeded(), dtype=torch.uint8)
    for name, images in zip(("cat", "dog"), pixels, strict=True):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for place, image in enumerate(images):
            Image.fromarray(image.numpy()).save(tmp_path / "pets" / name / f"{place}.png")
    return tmp_path / "pets"


def test_command_trains_writes_the_page_and_goes_on(folder, tmp_path, capsys):
    out = tmp_path / "page.html"
    rest = ["--seeds", "2", "--epochs", "1", "--variants", "mixup:0.2+cutmix", "--out", str(out)]
    call = ["compare", str(folder), "--image-size", "8", *rest]
    assert __main__.main([*call, "--minutes", "0"]) == 3
    assert "No mixer is recommended" in capsys.readouterr().out
    assert __main__.main(call) == 0
    assert "mixup α=0.2 or cutmix α=1" in capsys.readouterr().out
    assert f"mixlab compare {folder} --image-size 8 --seeds 2" in html.unescape(out.read_text())


@pytest.mark.parametrize(
    ("change", "status", "words"),
    [
        (["--variants", "mixup:x"], 2, "--variants must be"),
        (["--variants", "mixupp"], 2, "did you mean 'mixup'?"),
        (["--out", "missing/page.html"], 2, "page must be a file in a folder that exists"),
        (["--runs", "/proc/none", "--image-size", "8"], 1, "/proc/none cannot be written"),
    ],
)
def test_command_names_what_is_wrong(folder, monkeypatch, tmp_path, capsys, change, status, words):
    monkeypatch.chdir(tmp_path)
    assert __main__.main(["compare", str(folder), *change]) == status
    assert words in capsys.readouterr().err
