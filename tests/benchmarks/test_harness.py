"""The benchmarks' page is what their JSON files say, names who is ahead, and says where each figure was taken."""

import json
import re
import sys
from pathlib import Path

import pytest
from paths import ROOT

BENCHMARKS = ROOT / "benchmarks"
sys.path.append(str(BENCHMARKS))
import harness  # noqa: E402
import measured  # noqa: E402
import page as pages  # noqa: E402
import picture  # noqa: E402
import rows  # noqa: E402
import shapes  # noqa: E402
import summary  # noqa: E402

CONTENTS = rows.read()
COMPARED = [row for name in pages.GROUPS if name in CONTENTS for row in rows.comparisons(CONTENTS[name])]
RANGE = re.compile(r"([\d,.e+-]+)(?: [^\W\d]\S*)? \(([\d,.e+-]+)(?: [^\W\d]\S*)? to ([\d,.e+-]+)(?: [^\W\d]\S*)?\)")


def test_the_page_is_what_the_files_say() -> None:
    assert pages.README.read_text(encoding="utf-8") == pages.page(CONTENTS), "run: python benchmarks/page.py"


def test_the_picture_is_made_from_the_files() -> None:
    assert picture.digest(pages.drawn(CONTENTS)) in pages.FIGURE.read_text(encoding="utf-8"), (
        "run: python benchmarks/page.py"
    )
    assert pages.FIGURE.stat().st_size < 400_000


@pytest.mark.parametrize("name", CONTENTS)
def test_a_file_says_where_it_was_taken(name: str) -> None:
    machine, versions = CONTENTS[name]["machine"], CONTENTS[name]["versions"]
    assert machine["cpu"]
    assert machine["cores"] >= 1
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", machine["date"])
    assert re.fullmatch(rf"python (\S*/)?{name}\.py.*", machine["command"])
    assert {"mixlab", "torch"} <= set(versions)
    assert "--quick" not in machine["command"]
    assert name in pages.GROUPS


def scripts() -> list[str]:
    """The scripts that save figures."""
    return sorted(path.name for path in BENCHMARKS.glob("*.py") if "harness.save(" in path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("script", scripts())
def test_a_script_is_in_the_makefile_and_on_the_page(script: str) -> None:
    assert re.search(rf"^\t\$\((BENCH|RUN)\) benchmarks/{script}$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert f"`{script}`" in pages.page({})
    assert Path(script).stem in pages.GROUPS


def test_the_page_is_made_last() -> None:
    run = re.search(r"^bench:\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert run is not None
    assert run[1].splitlines()[-1].endswith("benchmarks/page.py")


def number(text: str) -> float:
    return float(text.replace(",", ""))


def test_what_the_page_shows_lies_within_its_interval() -> None:
    found = RANGE.findall(pages.README.read_text(encoding="utf-8"))
    assert len(found) > 50
    outside = [parts for parts in found if not number(parts[1]) <= number(parts[0]) <= number(parts[2])]
    assert outside == []


def test_a_ratio_is_the_peers_time_over_ours() -> None:
    swapped = []
    for row in COMPARED:
        if "ratio" in row:
            assert row["ratio"]["low"] <= row["ratio"]["median"] <= row["ratio"]["high"], row
            over = row["seconds_peer"]["median"] / row["seconds_ours"]["median"]
            if not {"faster": over < 1.01, "slower": over > 0.99, "open": True}[measured.verdict(row)]:
                swapped.append(row)
    assert swapped == []


def test_the_counts_of_the_summary_are_those_of_the_rows() -> None:
    lines = [
        line for name in pages.GROUPS if name in CONTENTS for line in summary.lines(rows.comparisons(CONTENTS[name]))
    ]
    ways = [rows.standing(row) for row in COMPARED if "ratio" in row and not rows.is_limit(row)]
    for way in ("faster", "open", "slower"):
        assert sum(line.count(way) for line in lines) == ways.count(way)
    assert len(ways) > 100


def test_a_file_says_how_and_where_it_was_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(harness, "HERE", tmp_path)
    monkeypatch.setattr(sys, "argv", ["/a/folder/blend.py", "--minutes", "3"])
    harness.save("blend", ["mixlab"], method="Calls\nin turn.", rows=[])
    saved = json.loads((tmp_path / "blend.json").read_text())
    assert (saved["method"], saved["rows"]) == ("Calls in turn.", [])
    assert saved["seconds"] > 0
    assert saved["versions"] == {"mixlab": harness.version_of("mixlab"), "torch": harness.torch.__version__}
    assert saved["machine"]["command"] == "python benchmarks/blend.py --minutes 3"
    assert saved["machine"]["memory_gb"] > 0
    assert {"flags", "os", "load"} <= saved["machine"].keys()


def ratio(low: float, median: float, high: float) -> dict[str, float]:
    return {"low": low, "median": median, "high": high}


@pytest.mark.parametrize(
    ("of_peer", "control", "said"),
    [
        (ratio(0.4, 0.5, 0.6), None, "faster"),
        (ratio(0.4, 0.5, 1.01), None, "open"),
        (ratio(0.94, 0.96, 0.98), None, "open"),  # for certain, but by less than 5%
        (ratio(1.8, 2.0, 2.2), None, "slower"),
        (ratio(0.99, 2.0, 2.2), None, "open"),
        (ratio(1.02, 1.04, 1.06), None, "open"),
        (ratio(0.8, 0.9, 0.96), ratio(0.97, 1.0, 1.02), "faster"),
        (ratio(0.8, 0.9, 0.96), ratio(0.95, 1.0, 1.2), "open"),
        (ratio(0.8, 0.9, 0.99), ratio(1.01, 1.03, 1.2), "faster"),  # a control beyond 1 moves that side alone
        (ratio(1.08, 1.1, 1.2), ratio(0.5, 1.0, 1.07), "slower"),
        (ratio(1.08, 1.1, 1.2), ratio(0.99, 1.0, 1.09), "open"),
    ],
)
def test_a_lead_clears_the_control_and_five_percent(of_peer: rows.Row, control: rows.Row | None, said: str) -> None:
    row = {"ratio": of_peer} if control is None else {"ratio": of_peer, "control": control}
    assert measured.verdict(row) == said


@pytest.mark.parametrize(
    ("bounds", "words", "said"),
    [
        ({"least": 8}, "at least 8 updates/s", "met"),
        ({"least": 10}, "at least 10 updates/s", "open"),
        ({"least": 12.5}, "at least 12.5 updates/s", "missed"),
        ({"most": 12}, "at most 12 updates/s", "met"),
        ({"most": 10}, "at most 10 updates/s", "open"),
        ({"most": 7}, "at most 7 updates/s", "missed"),
        ({}, "", ""),
    ],
)
def test_a_target_is_met_missed_or_open(bounds: dict[str, float], words: str, said: str) -> None:
    row = measured.reading("panels", "a drag", "updates/s", {"median": 10.0, "low": 8.0, "high": 12.0}, **bounds)
    assert measured.judged(row) == said
    assert shapes.target(row) == words
    assert shapes.tables({"readings": [row]})["panels"][0]["is"] == said
