"""The committed results, the page and the figure: they agree, they are small, and they say who is ahead."""

import importlib
import json
import re
import sys
from pathlib import Path
from typing import Any

import bench_loss
import harness
import page
import pytest
import results
import torch
from paths import ROOT

BENCHMARKS, CONTENTS = ROOT / "benchmarks", results.read()
SCRIPTS = sorted(path.stem for path in BENCHMARKS.glob("bench_*.py"))


def test_the_page_and_the_figure_are_what_the_results_say() -> None:
    assert page.README.read_text(encoding="utf-8") == page.page(CONTENTS), "run: python benchmarks/page.py"
    assert page.FIGURE.read_text(encoding="utf-8") == page.figure(page.lines(CONTENTS))
    assert ("never been run" in page.page(CONTENTS)) == ("gpu" not in CONTENTS)


def test_page_results_and_script_are_small() -> None:
    assert len(page.README.read_text(encoding="utf-8").splitlines()) <= 180
    assert sum(path.stat().st_size for path in BENCHMARKS.rglob("*.json")) <= 70_000
    assert page.FIGURE.stat().st_size < 60_000
    assert len((BENCHMARKS / "page.py").read_text(encoding="utf-8").splitlines()) <= 230


@pytest.mark.parametrize("name", CONTENTS)
def test_a_file_says_where_it_was_taken(name: str) -> None:
    machine, versions = CONTENTS[name]["machine"], CONTENTS[name]["versions"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", machine["date"])
    assert re.fullmatch(rf"python benchmarks/bench_{name}\.py.*", machine["command"])
    assert {"mixlab", "torch"} <= set(versions)


def test_every_ratio_and_reading_lies_within_its_interval_and_agrees_with_the_medians_and_is_counted() -> None:
    compared = [task for content in CONTENTS.values() for task in results.comparisons(content)]
    assert len(compared) > 200
    for row, _, ours, _, _, peers, ratio, low, high in compared:
        assert low <= ratio <= high, row
        way = results.verdict([ratio, low, high], row.get("control"))
        assert {"faster": peers < 1.01 * ours, "slower": peers > 0.99 * ours, "open": True}[way], row
    for row in (row for content in CONTENTS.values() for row in content.get("readings", ())):
        assert row["value"][1] <= row["value"][0] <= row["value"][2], row
    ways = [results.verdict(task[6:], task[0].get("control")) for task in compared if task[3:5] not in page.LIMITS]
    counted = [sum(counts) for counts in zip(*(line.counts() for line in page.lines(CONTENTS)), strict=True)]
    assert counted == [ways.count(way) for way in ("faster", "open", "slower")]


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_says_what_it_times_and_is_in_the_makefile_and_on_the_page(
    script: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    name = script.removeprefix("bench_")
    assert name in (*page.ORDER, "gradient_variance")
    assert re.search(rf"\b{name}\b", (ROOT / "Makefile").read_text())
    text = (BENCHMARKS / f"{script}.py").read_text(encoding="utf-8")
    assert "from browsing" not in text or 'str(TESTS / "support")' in text, "a test finds it, a terminal must too"
    main = importlib.import_module(script).main
    monkeypatch.setattr(sys, "argv", [script, "--help"])
    with pytest.raises(SystemExit, match=r"^0$"):
        main()
    assert len(capsys.readouterr().out.split()) > 80


def test_a_benchmark_runs_a_tiny_round(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(bench_loss, "SIZES", [(8, 3)])
    monkeypatch.setattr(torch, "set_num_threads", lambda _: None)
    monkeypatch.setattr(sys, "argv", ["bench_loss.py", "--quick"])
    bench_loss.main()
    assert re.search(r"8 x 3, float32 +mixed_cross_entropy", capsys.readouterr().out)


def times(middle: float) -> dict[str, float]:
    return {"median": middle, "low": 0.9 * middle, "high": 1.1 * middle}


def made(what: str, ours: str, call: str, **more: Any) -> dict[str, Any]:
    """A comparison whose peer takes twice our second."""
    row = {"group": "blend", "what": what, "ours": ours, "peer": {"name": "timm", "call": call}, "rounds": 9}
    return row | {"seconds_ours": times(1.0), "seconds_peer": times(2.0), "ratio": times(2.0)} | more


def test_rows_become_one_case_each_with_short_numbers(tmp_path: Path) -> None:
    reading = harness.reading("start-up", "import", "s", times(0.123456789), n=7, most=1)
    erring = made("images, float32", "plan", "Mixup", error_ours=1.23e-8, error_peer=1e-9)
    words = made("images, float32, K = 5", "plan", "Mixup", error_ours="raises TypeError", error_peer="gives NaN")
    other = made("images, uint8", "plan", "Mixup", error_ours=7.0, error_peer=9.0)
    rows = [made("one", "a", "x"), made("one", "a", "y"), made("one", "b", "x"), reading, erring, words, other]
    written = json.loads(results.write(tmp_path / "some.json", {"tasks": rows}).read_text())
    case, start, *_ = written["tasks"]
    values = [2.0, 2.0, 1.8, 2.2]
    ours = {"a": [1.0, {"timm": {"x": values, "y": values}}], "b": [1.0, {"timm": {"x": values}}]}
    assert case == {"group": "blend", "name": "one", "n": 9, "ours": ours}
    assert start["value"] == [0.1235, 0.1111, 0.1358]
    assert written["errors"] == [
        {"group": "blend", "name": "timm", "cases": 3, "nearer": 1, "ours": [1.2e-8, 1, 0], "peer": [1e-9, 0, 1]}
    ]
    assert results.compact(written["tasks"]) == written["tasks"], "what is read again stays as it is"


def test_a_saved_file_says_how_and_where_it_was_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "FOLDER", tmp_path / "results")
    monkeypatch.setattr(sys, "argv", ["/a/folder/bench_blend.py", "--minutes", "3"])
    results.save("blend", ["mixlab"], tasks=[], absent={"keras": "does not install"})
    saved = results.read(tmp_path / "results")["blend"]
    assert saved["absent"] == {"keras": "does not install"}
    assert saved["versions"].keys() == {"mixlab", "torch"}
    assert saved["machine"]["command"] == "python benchmarks/bench_blend.py --minutes 3"


@pytest.mark.parametrize(
    ("ratio", "control", "said"),
    [
        ([0.5, 0.4, 0.6], None, "faster"),
        ([0.96, 0.94, 0.98], None, "open"),  # for certain, but by less than 5%
        ([2.0, 1.8, 2.2], None, "slower"),
        ([0.9, 0.8, 0.96], [1.0, 0.97, 1.02], "faster"),
        ([0.9, 0.8, 0.96], [1.0, 0.95, 1.2], "open"),
        ([0.9, 0.8, 0.99], [1.03, 1.01, 1.2], "faster"),  # a control beyond 1 moves that side alone
        ([1.1, 1.08, 1.2], [1.0, 0.5, 1.07], "slower"),
        ([1.1, 1.08, 1.2], [1.0, 0.99, 1.09], "open"),
    ],
)
def test_a_lead_clears_the_control_and_five_percent(ratio: list[float], control: list[float], said: str) -> None:
    assert results.verdict(ratio, control) == said


@pytest.mark.parametrize(("bound", "limits"), [("least", (8, 10, 12.5)), ("most", (12, 10, 7))])
def test_a_target_is_met_open_or_missed(bound: str, limits: tuple[float, ...]) -> None:
    assert [results.judged({"value": [10.0, 8.0, 12.0], bound: limit}) for limit in limits] == ["met", "open", "missed"]
    assert results.judged({"value": [10.0, 8.0, 12.0]}) == ""
