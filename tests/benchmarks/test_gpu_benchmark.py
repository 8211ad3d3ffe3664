"""What the benchmark for GPUs keeps, and what it says of parts that it could not measure."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import bench_gpu
import gpu_recipes
import pytest
import results
from gpu_scene import Scene


@pytest.fixture
def saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where figures go, with an earlier session's in it."""
    monkeypatch.setattr(results, "FOLDER", tmp_path)
    monkeypatch.setattr(bench_gpu, "torch", SimpleNamespace(cuda=SimpleNamespace(is_available=lambda: True)))
    failed, taken = {"lam": "RuntimeError: lost"}, {"blend": {"seconds": 7}}
    content = {"lam": [{"name": "old"}], "blend": [{"name": "old"}], "failed": failed, "taken": taken}
    (tmp_path / "gpu.json").write_text(json.dumps(content))
    return tmp_path / "gpu.json"


def ran(monkeypatch: pytest.MonkeyPatch, *arguments: str, **parts: Any) -> int:
    """The exit status with these parts."""
    monkeypatch.setattr(bench_gpu, "Scene", lambda minutes, **_: SimpleNamespace(left=60 * minutes))
    monkeypatch.setattr(bench_gpu, "PARTS", parts)
    monkeypatch.setattr(sys, "argv", ["bench_gpu.py", *arguments])
    with pytest.raises(SystemExit) as ended:
        bench_gpu.main()
    return int(ended.value.code)


def test_parts_for_which_no_time_is_left_are_named_in_the_file(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ran(monkeypatch, "--minutes", "-1", "--parts", "blend", blend=lambda _: [{"name": "new"}]) == 1
    content = json.loads(saved.read_text())
    assert content["failed"] == {"lam": "RuntimeError: lost", "blend": "no time was left"}
    assert (content["blend"], content["taken"]["blend"]) == ([{"name": "old"}], {"seconds": 7})


def test_a_part_that_fails_costs_the_others_nothing(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = {"blend": lambda _: 1 / 0, "lam": lambda _: [{"name": "new"}]}
    assert ran(monkeypatch, "--parts", "blend", "lam", **parts) == 1
    content = json.loads(saved.read_text())
    assert content["failed"] == {"blend": "ZeroDivisionError: division by zero"}
    assert (content["blend"], content["lam"]) == ([{"name": "old"}], [{"name": "new"}])
    assert content["taken"]["blend"] == {"seconds": 7}, "of what is there"
    assert content["taken"]["lam"].keys() > {"seconds", "date"}
    assert ran(monkeypatch, "--parts", "blend", blend=lambda _: [{"name": "new"}]) == 0
    assert json.loads(saved.read_text())["failed"] == {}


def test_training_seconds_of_the_table_leave_evaluations_and_pauses_out(monkeypatch: pytest.MonkeyPatch) -> None:
    last = SimpleNamespace(step=30, images_per_second=100.0, seconds=1e6, test_accuracy=0.95, epoch=200.0)
    run = SimpleNamespace(history=[last], id="0" * 16, settings={"batch_size": 50})
    monkeypatch.setattr(gpu_recipes.mx, "run", lambda *_, **__: run)
    rows = gpu_recipes.reproduce(Scene(1, rehearsed=True), 1.0, None)
    assert {row["training_seconds"] for row in rows} == {15}
