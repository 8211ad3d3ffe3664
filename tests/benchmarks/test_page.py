"""The benchmarks' page, from made-up figures: what is called a lead, what is told where, and how numbers look."""

import re
import sys
from pathlib import Path
from typing import Any

import pytest
from paths import ROOT

sys.path.append(str(ROOT / "benchmarks"))
import cells
import lambdas
import page as pages
import picture
import rows
import shapes


def test_the_picture_is_equal_for_equal_rows(tmp_path: Path) -> None:
    for name in ("one.svg", "other.svg"):
        picture.draw([made(0.9), made(2.0), made(1.0)], tmp_path / name)
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "other.svg").read_bytes()


def made(median: float, **more: Any) -> rows.Row:
    """A comparison whose peer takes `median` times our second."""
    ratio = {"median": median, "low": 0.95 * median, "high": 1.05 * median}
    seconds = {"median": median, "low": 0.95 * median, "high": 1.05 * median}
    row = {"group": "blend", "what": "a case", "ours": "mixer(x, y)", "note": "", "ratio": ratio}
    row |= {"peer": {"name": "kornia", "version": "0.9.0", "call": "RandomMixUpV2"}, "seconds_peer": seconds}
    return row | {"seconds_ours": {"median": 1.0, "low": 0.95, "high": 1.05}} | more


@pytest.mark.parametrize(
    ("row", "standing", "said"),
    [
        (made(0.5), "faster", ""),
        (made(0.98), "open", ""),
        (made(2.0, note="in place"), "slower", "in place"),
        (made(0.5, peer={"name": "torch", "version": "2", "call": "copy_"}), "a limit", ""),
        (made(2.0, error_ours=2e-3, error_peer=1e-3), "slower", "**nearer to float64**"),
        (made(2.0, error_ours=1e-3, error_peer=2e-3), "slower", ""),
        (made(2.0, error_ours=1.05e-3, error_peer=1e-3), "slower", ""),
        (made(2.0, error_ours=2e-16, error_peer=0.0), "slower", ""),
        (made(2.0, error_ours=1e-3, error_peer=0), "slower", "**nearer to float64**"),
        (made(2.0, error_ours=1e-3, error_peer="raises TypeError"), "slower", ""),
        (made(2.0, error_ours="raises", error_peer=1e-3, note="odd"), "slower", "**nearer to float64**; odd"),
    ],
)
def test_a_row_says_who_is_ahead(row: rows.Row, standing: str, said: str) -> None:
    assert rows.standing(row) == standing
    assert pages.words(row) == said


def content(*compared: rows.Row, **more: Any) -> dict[str, rows.Row]:
    """A made-up blend.json."""
    machine = {"cpu": "A CPU", "flags": ["avx2"], "cores": 2, "threads": 1, "memory_gb": 8, "os": "An OS", "gpu": None}
    machine |= {"python": "3.11", "load": 0.1, "date": "2026-01-01", "command": "python benchmarks/blend.py"}
    versions = {"mixlab": "0.1.0", "torch": "2.14.1"}
    return {"blend": {"machine": machine, "versions": versions, "rows": [*compared], **more}}


def part(text: str, heading: str) -> str:
    """What is between a heading and the next."""
    return text.split(f"## {heading}\n")[1].split("\n## ", maxsplit=1)[0]


def breakable(text: str) -> str:
    """With common spaces and hyphens."""
    return text.replace("\u00a0", " ").replace("\u2011", "-")


def test_the_leads_are_sorted_by_size_with_the_best_case_of_each() -> None:
    timm = {"name": "timm", "version": "1", "call": "Mixup"}
    leads = [made(0.5, what="one"), made(0.8, what="two"), made(0.25, what="three", peer=timm), made(0.4, what="four")]
    nearer = made(3.0, error_ours=1.0, error_peer=0.5, what="five")
    gap = {"blocks": 16, "levels": 2, "problems": 1024, "share_below": 0.0625}
    text = part(pages.page(content(made(2.0), *leads, nearer, gaps=[gap])), "Where a peer is ahead")
    lines = [line for line in breakable(text).splitlines() if line.startswith(("| **", "- "))]
    assert lines == [
        "| **blend: timm** | 1 of 1 | 4.00 | three: `Mixup` beside `mixer(x, y)` | 250 ms | 1 s |",
        "| **blend: kornia** | 3 of 5 | 2.50 | four: `RandomMixUpV2` beside `mixer(x, y)` | 400 ms | 1 s |",
        "| **blend: kornia** | 1 of 1 | five: `RandomMixUpV2` beside `mixer(x, y)` | 0.5 | 1 |",
        "- 6.2% of 1,024 masks of 16 x 16 blocks and 2 levels have less energy by gco-wrapper than by ours.",
    ]
    assert "Nowhere in these figures." in pages.page(content(made(2.0), made(0.99)))


def test_missed_targets_are_above_those_that_are_met() -> None:
    value = {"median": 10.0, "low": 8.0, "high": 12.0}
    readings = [
        {"group": "panels", "what": what, "unit": "", "value": value, "note": "", "least": least}
        for what, least in (("one", 5), ("two", 10), ("three", 20))
    ]
    text = part(pages.page(content(readings=readings)), "Targets")
    assert text.startswith("\n1 missed, 1 open, 1 met;")
    assert re.findall(r"(one|two|three|summary) ?\|?", text) == ["three", "two", "summary", "summary", "one"]


def test_the_summary_has_a_line_for_each_group_and_peer() -> None:
    errors = made(1.0, group="blend, errors", what="mixup, images, bfloat16, K = 1", error_ours=0.5, error_peer=0.7)
    del errors["ratio"]
    single = errors | {"what": "mixup, images, float32, K = 1", "error_ours": 1e-8, "error_peer": 3e-8}
    words = [single | {"error_peer": error} for error in ("raises TypeError", "gives NaN", "raises ValueError")]
    limit = made(0.1, peer={"name": "torch", "version": "2", "call": "copy_"})
    found = content(made(0.5), made(1.0), made(2.0), made(8.0), limit, errors, single, *words)
    text = pages.page(found)
    told = "| 4 | **1** / 1 / 2 | 1.41 (0.5 to 8) | 1.0e-08 | 3.0e-08, raises in 2, not finite in 1 |"  # the median: √2
    assert f"| [blend](#blending-a-batch) | kornia {told}" in breakable(text)
    assert text.count("| [blend](") == 1


def test_a_row_has_its_columns_and_what_all_share_is_said_once() -> None:
    row = made(
        0.5,
        error_ours=1e-9,
        error_peer="raises TypeError",
        control={"median": 1.0, "low": 0.98, "high": 1.02},
        rounds=9,
    )
    text = pages.page(content(row, row | {"what": "another", "ratio": made(1.0)["ratio"]}))
    told, _, heads, _, cells_, _ = text.split("<summary>Blend: 2 rows</summary>\n\n")[1].splitlines()[:6]
    assert told == (
        "In every row: ours `mixer(x, y)`; peer kornia `RandomMixUpV2`; control 0.980 to 1.020; our time 1 s; "
        "its time 500 ms; our error 1.0e-09; its error raises TypeError; rounds 9."
    )
    assert heads == "| what | ratio | peer is |"
    assert cells_ == "| a case | 0.5 (0.475 to 0.525) | **faster** |"


def test_rows_of_any_other_kind_become_a_table_and_those_left_out_are_named() -> None:
    reading = {"group": "start-up", "what": "import", "unit": "s", "value": {"median": 0.25, "low": 0.2, "high": 2.0}}
    text = pages.page(content(readings=[reading], absent={"keras": "does not install"}))
    table = "| what | value |\n| --- | --- |\n| import | 250 ms (200 ms to 2 s) |\n"
    assert f"<summary>Start-up: 1 row</summary>\n\n{table}" in text
    left = part(text, "Left out").strip().splitlines()
    assert left == ["- blend: keras does not install"] + [
        f"- {name}: not measured yet" for name in pages.GROUPS if name != "blend"
    ]


def test_links_within_the_page_lead_to_headings() -> None:
    whole = {name: content(made(0.5))["blend"] for name in pages.GROUPS}
    for contents in ({}, content(made(0.5)), whole, rows.read()):
        text = pages.page(contents)
        headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
        anchors = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
        assert set(re.findall(r"\]\(#([^)]*)\)", text)) <= anchors
        assert ("](#on-a-gpu)" in text) == ("gpu" in contents)
        assert ("All figures are of a CPU." in text) == ("gpu" not in contents)


def test_what_all_machines_share_is_said_once() -> None:
    one, other = content(method="Calls in turn.", seconds=185.2)["blend"], content()["blend"]
    other["machine"] |= {"threads": 2, "command": "python benchmarks/laws.py"}
    text = pages.page({"blend": one, "laws": other})
    told, _, heads, _, blend, laws = part(text, "Machine and versions").strip().splitlines()[:6]
    assert (
        told == "In all of it: CPU A CPU; instructions avx2; 2 cores; 8 GB of memory; An OS; Python 3.11; 2026-01-01."
    )
    assert heads == "| file | threads | load before | command |"
    assert blend == "| blend | 1 | 0.1 | `python benchmarks/blend.py` |"
    assert laws == "| laws | 2 | 0.1 | `python benchmarks/laws.py` |"
    assert "The script took 3 min 5 s.\n\nCalls in turn.\n" in part(text, "Blending a batch")
    assert "| `blend.py` | 3 min 5 s |\n" in text


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [
        (12345.678, "", "12,346"),
        (1.23456, "", "1.23"),
        (0.00123456, "", "0.00123"),
        (1.23456e-5, "", "1.2e-05"),
        (0.0, "", "0"),
        (1.5e-8, "s", "15 ns"),
        (59.99, "s", "60 s"),
        (390, "MB", "390 MB"),
        (65536, "", "65,536"),
        (390.0, "MB", "390 MB"),
        (None, "", ""),
        ([512, 3, 32, 32], "", "512 x 3 x 32 x 32"),
        ({"median": 0.2, "low": 0.1, "high": 0.3}, "s", "200 (100 to 300) ms"),
        ({"median": 0.2, "low": 0.1, "high": 3.0}, "s", "200 ms (100 ms to 3 s)"),
        ({"median": 1.0, "low": 1.0, "high": 1.0}, "s", "1 s"),
    ],
)
def test_numbers_are_shown_to_three_digits(value: Any, unit: str, shown: str) -> None:
    assert cells.cell(value, unit) == shown


@pytest.mark.parametrize(("seconds", "shown"), [(0.2, "0 s"), (59.6, "1 min"), (45, "45 s"), (185.2, "3 min 5 s")])
def test_minutes_are_told_apart_from_seconds(seconds: float, shown: str) -> None:
    assert cells.lasting(seconds) == shown


def test_errors_have_a_line_for_each_type_or_for_each_case() -> None:
    base = {"group": "blend, errors", "ours": "plan", "note": "", "peer": made(1.0)["peer"]}
    told = [
        ("mixup, images, float32, K = 1", 2e-8, 4e-8),
        ("mixup, images, float32, K = 5", 3e-8, 3e-8),
        ("mixup, labels, float32, K = 1", 1e-3, 0.0),
        ("mixup, images, uint8, K = 1", 0.5, "raises TypeError"),
        ("ECE: ties", 0.0, 0.1),
    ]
    found = [base | {"what": what, "error_ours": ours, "error_peer": theirs} for what, ours, theirs in told]
    name = "kornia `RandomMixUpV2`"
    assert shapes.errors(found) == [
        {"peer": name, "type": "float32", "notes": "kornia is nearer"}
        | {"images, ours": 3e-8, "images, peer": 4e-8, "labels, ours": 1e-3, "labels, peer": 0.0},
        {"peer": name, "type": "uint8", "images, ours": 0.5, "images, peer": "raises TypeError", "notes": ""},
        {"what": "ECE: ties", "ours": 0.0, "kornia": 0.1, "notes": ""},
    ]


def test_the_law_of_a_library_is_told_down_to_the_least_alpha_that_has_it() -> None:
    said = {
        "torch": {0.001: "24.5% at ½", 0.01: "as Beta", 1.0: "as Beta"},
        "timm": {0.001: "as Beta", 0.01: "as Beta", 1.0: "as Beta"},
        "kornia": {0.001: "uniform", 0.01: "uniform", 1.0: "as Beta", 8.0: "uniform"},
    }
    found = [
        {"by": {"name": name, "version": "1", "call": "draw"}, "alpha": alpha, "verdict": verdict}
        for name, laws in said.items()
        for alpha, verdict in laws.items()
    ]
    kept = [{"peer": {"name": name}, "lam_weights": lambdas.KEPT} for name in ("torch", "timm")]
    handed = [
        {"peer": {"name": "kornia"}, "lam_weights": f"the {whose}"} for whose in ("partner", "example", "partner")
    ]
    told = [lambdas.told(name, {"laws": found, "conventions": kept + handed}) for name in (*said, "keras")]
    assert told == ["Beta from 0.01", "Beta", "uniform, of partner or example", ""]
    assert lambdas.table_of_laws(found)[0] == {
        "by": found[0]["by"],
        "α = 0.001": "24.5% at ½",
        "α = 0.01": "as Beta",
        "α = 1": "as Beta",
    }


def test_variance_and_memory_are_turned_into_columns() -> None:
    fivefold = {"batch x 5": [4.0, 3.0, 5.0]}
    traces = [
        {"step": step, "batch_size": 32, "scheme": scheme}
        | {"ratio_to": {"batch x 5": [5.0, 4.0, 6.0]} if scheme == "mixup" else {"mixup": mixup} | fivefold}
        for scheme in ("mixup", "K = 5")
        for step, mixup in ((0, [0.8, 0.7, 0.9]), (390, [0.6, 0.5, 0.7]))
    ]
    memory = [{"variant": "mixup", "shape": [128, 3, 32, 32], "k": k, "batches": k + 2.0} for k in (1, 5)]
    found = shapes.tables({"rows": traces, "memory": memory})

    def columns(before: list[float], after: list[float]) -> dict[str, Any]:
        names = ("mean", "low", "high")
        return {
            f"after {step} steps": dict(zip(names, values, strict=True)) for step, values in ((0, before), (390, after))
        }

    assert found == {
        "variance over that of mixup, batches of 32": [
            {"scheme": "K = 5", **columns([0.8, 0.7, 0.9], [0.6, 0.5, 0.7])}
        ],
        "variance over that of mixup with a batch five times as large, batches of 32": [
            {"scheme": "mixup", **columns([5.0, 4.0, 6.0], [5.0, 4.0, 6.0])},
            {"scheme": "K = 5", **columns([4.0, 3.0, 5.0], [4.0, 3.0, 5.0])},
        ],
        "memory, in batches, the batch itself included": [{"variant": "mixup", "K = 1": 3.0, "K = 5": 7.0}],
    }
