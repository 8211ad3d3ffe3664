"""The benchmarks' page is what their JSON files say, names who is ahead, and says where each figure was taken."""

import re
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
BENCHMARKS = ROOT / "benchmarks"
sys.path.append(str(BENCHMARKS))
import page as pages  # noqa: E402
import picture  # noqa: E402
import rows  # noqa: E402

CONTENTS = rows.read()
COMPARED = [row for name in pages.GROUPS if name in CONTENTS for row in rows.comparisons(CONTENTS[name])]
RANGE = re.compile(r"([\d,.e+-]+)(?: [^\W\d]\S*)? \(([\d,.e+-]+)(?: [^\W\d]\S*)? to ([\d,.e+-]+)(?: [^\W\d]\S*)?\)")


def test_the_page_is_what_the_files_say() -> None:
    assert pages.README.read_text(encoding="utf-8") == pages.page(CONTENTS), "run: python benchmarks/page.py"


def test_the_picture_is_made_from_the_files() -> None:
    timed = [row for row in COMPARED if "ratio" in row]
    assert picture.digest(timed) in pages.FIGURE.read_text(encoding="utf-8"), "run: python benchmarks/page.py"
    assert pages.FIGURE.stat().st_size < 400_000


def test_the_picture_is_equal_for_equal_rows(tmp_path: Path) -> None:
    for name in ("one.svg", "other.svg"):
        picture.draw([made(0.9), made(2.0), made(1.0)], tmp_path / name)
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "other.svg").read_bytes()


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
            if (row["ratio"]["low"] > 1 and over < 0.9) or (row["ratio"]["high"] < 1 and over > 1.1):
                swapped.append(row)
    assert swapped == []


def made(median: float, **more: Any) -> rows.Row:
    """A comparison whose peer takes `median` times our second."""
    ratio = {"median": median, "low": 0.95 * median, "high": 1.05 * median}
    seconds = {"median": median, "low": 0.95 * median, "high": 1.05 * median}
    row = {"group": "blend", "what": "a case", "ours": "mixer(x, y)", "note": "", "ratio": ratio}
    row |= {"peer": {"name": "kornia", "version": "0.9.0", "call": "RandomMixUpV2"}, "seconds_peer": seconds}
    return row | {"seconds_ours": {"median": 1.0, "low": 0.95, "high": 1.05}} | more


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (made(0.5), "**kornia is faster here: 2.00 times as fast**"),
        (made(0.98), "no difference seen"),
        (made(1.02), "no difference seen"),
        (made(2.0), ""),
        (made(2.0, note="in place"), "in place"),
        (made(0.5, note="in place"), "**kornia is faster here: 2.00 times as fast**; in place"),
        (made(2.0, error_ours=2e-3, error_peer=1e-3), "**kornia is nearer to float64 here**"),
        (made(2.0, error_ours=1e-3, error_peer=2e-3), ""),
        (made(2.0, error_ours=1.05e-3, error_peer=1e-3), ""),
        (made(2.0, error_ours=2e-16, error_peer=0.0), ""),
        (made(2.0, error_ours=1e-3, error_peer=0), "**kornia is nearer to float64 here**"),
        (made(2.0, error_ours=1e-3, error_peer="raises TypeError"), ""),
        (made(2.0, error_ours="raises TypeError", error_peer=1e-3), "**kornia is nearer to float64 here**"),
        (made(0.5, peer={"name": "torch", "version": "2", "call": "copy_"}), "a limit, not a peer"),
        (made(2.0, ahead=["prettier"]), "**kornia is prettier here**"),
    ],
)
def test_a_row_says_who_is_ahead(row: rows.Row, said: str) -> None:
    assert pages.words(row) == said


def content(*compared: rows.Row, **more: Any) -> dict[str, rows.Row]:
    """A made-up blend.json."""
    machine = {"cpu": "A CPU", "cores": 2, "threads": 1, "gpu": None, "python": "3.11", "load": 0.1}
    machine |= {"date": "2026-01-01", "command": "python benchmarks/blend.py"}
    versions = {"mixlab": "0.1.0", "torch": "2.14.1"}
    return {"blend": {"machine": machine, "versions": versions, "rows": [*compared], **more}}


def test_the_list_at_the_top_has_every_lead_of_a_peer() -> None:
    leads = [made(0.5, what="one"), made(0.8, what="two"), made(0.5, what="three"), made(0.25, what="four")]
    text = pages.page(content(made(2.0), *leads, made(3.0, error_ours=1.0, error_peer=0.5, what="five")))
    first, second = re.findall(r"^- blend: .*$", text.split("## Where a peer is ahead")[1], re.MULTILINE)
    called = "RandomMixUpV2"
    assert first == (
        "- blend: **kornia is faster** in 4 of 6 rows, up to 4.00 times as fast "
        f"(one: {called}; two: {called}; three: {called}; and 1 more)"
    )
    assert second == f"- blend: **kornia is nearer to float64** in 1 of 6 rows (five: {called})"
    assert "Nowhere in these figures." in pages.page(content(made(2.0), made(0.99)))


def test_a_row_has_its_columns() -> None:
    text = pages.page(content(made(0.5, error_ours=1e-9, error_peer="raises TypeError", seconds_peer={"median": 5e-4})))
    heads, _, cells = text.split("### Blend\n\n")[1].splitlines()[:3]
    assert heads == "| what | ours | peer | ratio (95%) | ours takes | peer takes | our error | its error | notes |"
    assert cells == (
        "| a case | `mixer(x, y)` | kornia 0.9.0 `RandomMixUpV2` | 0.5 (0.475 to 0.525) | 1 s | 500 µs | 1.0e-09 "
        "| raises TypeError | **kornia is faster here: 2.00 times as fast** |"
    )


def test_rows_of_any_other_kind_become_a_table_and_those_left_out_are_named() -> None:
    reading = {"group": "start-up", "what": "import", "unit": "s", "value": {"median": 0.25, "low": 0.2, "high": 2.0}}
    convention = {"group": pages.CONVENTIONS, "peer": {"name": "timm", "version": "1", "call": "Mixup"}, "folded": True}
    text = pages.page(content(readings=[reading], conventions=[convention], absent={"keras": "does not install"}))
    assert "### Start-up\n\n| what | value |\n| --- | --- |\n| import | 250 ms (200 ms to 2 s) |\n" in text
    assert text.endswith("## Conventions of λ\n\n| peer | folded |\n| --- | --- |\n| timm 1 `Mixup` | yes |\n")
    assert "- blend: keras does not install\n- laws: not measured yet\n" in text


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
    ],
)
def test_numbers_are_shown_to_three_digits(value: Any, unit: str, shown: str) -> None:
    assert pages._cell(value, unit) == shown


def test_the_energies_of_masks_are_with_their_times() -> None:
    gaps = [
        {"blocks": 4, "levels": 2, "problems": 1024, "share_above": 0.0, "share_below": 0.0},
        {"blocks": 4, "levels": 3, "problems": 1024, "share_above": 0.5, "share_below": 0.125},
    ]
    even, better, other = rows.comparisons(
        {
            "rows": [made(2.0, what=f"128 masks, 4 x 4 blocks, {levels} levels") for levels in (2, 3)]
            + [made(2.0, what="128 masks, 14 x 14 blocks, 2 levels")],
            "gaps": gaps,
        }
    )
    assert pages.words(even) == "its energy is above ours in 0.0% of 1,024 problems"
    assert pages.words(better) == (
        "**kornia is below our energy in 12.5% of the problems here**; "
        "its energy is above ours in 50.0% of 1,024 problems"
    )
    assert pages.words(other) == ""


def test_variance_and_memory_are_turned_into_columns() -> None:
    traces = [
        {"step": step, "batch_size": 32, "scheme": scheme, "ratio_to": {} if scheme == "mixup" else {"mixup": ratio}}
        for scheme in ("mixup", "K = 5")
        for step, ratio in ((0, [0.8, 0.7, 0.9]), (390, [0.6, 0.5, 0.7]))
    ]
    memory = [{"variant": "mixup", "shape": [128, 3, 32, 32], "k": k, "batches": k + 2.0} for k in (1, 5)]
    found = rows.tables({"rows": traces, "memory": memory})
    ratios = {"after 0 steps": {"mean": 0.8, "low": 0.7, "high": 0.9}}
    ratios |= {"after 390 steps": {"mean": 0.6, "low": 0.5, "high": 0.7}}
    assert found == {
        "variance over that of mixup, batches of 32": [{"scheme": "K = 5", **ratios}],
        "memory, in batches, the batch itself included": [{"variant": "mixup", "K = 1": 3.0, "K = 5": 7.0}],
    }
