"""What this machine can do: CPU shares read from made-up control groups, and a measurement that is kept."""

import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import platformdirs
import pytest
import torch
from paths import ROOT

from mixlab import __main__, doctor, machine


@pytest.fixture
def groups(tmp_path, monkeypatch):
    """Write control groups: `groups(membership, {path: text})`; the process may run on CPUs 0 to 7."""

    def write(membership, files):
        (tmp_path / "membership").write_text(membership)
        for path, text in files.items():
            (tmp_path / "cgroup" / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "cgroup" / path).write_text(text)

    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(machine, "_MEMBERSHIP", tmp_path / "membership")
    monkeypatch.setattr(machine, "_CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(machine, "_CPUS", tmp_path / "cpus")
    monkeypatch.setattr(machine, "_cpus", lambda: set(range(8)))
    return write


def version_1(folder, quota, period):
    return {f"{folder}/cpu.cfs_quota_us": f"{quota}\n", f"{folder}/cpu.cfs_period_us": f"{period}\n"}


@pytest.mark.parametrize(
    ("membership", "files", "quota"),
    [
        ("0::/\n", {}, 8),
        ("0::/\n", {"cpu.max": "max 100000\n"}, 8),
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 1.5),
        ("0::/a/b\n", {"a/cpu.max": "300000 100000\n", "a/b/cpu.max": "max 100000\n"}, 3),
        ("0::/a/b\n", {"a/cpu.max": "300000 100000\n", "a/b/cpu.max": "50000 100000\n"}, 0.5),
        ("0::/\n", {"cpu.max": "6400000 100000\n"}, 8),
        (
            "4:cpu,cpuacct:/docker/x\n",
            {"cpu,cpuacct/cpu.cfs_quota_us": "200000", "cpu,cpuacct/cpu.cfs_period_us": "100000"},
            2,
        ),
        (
            "4:cpu,cpuacct:/docker/x\n",
            {"cpu/docker/x/cpu.cfs_quota_us": "50000", "cpu/docker/x/cpu.cfs_period_us": "20000"},
            2.5,
        ),
        ("1:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 8),
        ("3:cpuset:/\n", {"cpuset/cpu.cfs_quota_us": "100000", "cpuset/cpu.cfs_period_us": "100000"}, 8),
        ("0::/\n", {"cpu.max": "nonsense\n"}, 8),
    ],
)
def test_quota_is_the_least_share_on_the_way_up(groups, membership, files, quota):
    groups(membership, files)
    assert machine.cpu_quota() == quota


def test_quota_without_control_groups_is_the_cpus_of_this_process(groups):
    assert machine.cpu_quota() == 8.0


def test_quota_of_this_machine_is_no_more_than_its_cpus():
    assert 0 < machine.cpu_quota() <= os.cpu_count()


@pytest.mark.parametrize(
    ("wish", "threads", "why"),
    [
        (None, 3, "this process may use 3.5 CPUs"),
        ("5", 5, "set by OMP_NUM_THREADS"),
        (" 6,2", 6, "set by OMP_NUM_THREADS"),
        ("0", 3, "this process may use 3.5 CPUs"),
        ("many", 3, "this process may use 3.5 CPUs"),
        ("", 3, "this process may use 3.5 CPUs"),
    ],
)
def test_threads_follow_the_quota_unless_named(groups, monkeypatch, wish, threads, why):
    groups("0::/\n", {"cpu.max": "350000 100000\n"})
    if wish is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", wish)
    assert machine.torch_threads() == (threads, why)


def test_threads_are_at_least_one(groups):
    groups("0::/\n", {"cpu.max": "20000 100000\n"})
    assert machine.torch_threads() == (1, "this process may use 0.2 CPUs")


def test_two_hyperthreads_count_as_one_core(groups, tmp_path):
    groups("0::/\n", {})
    assert machine.torch_threads() == (8, "one for each core")
    for cpu in range(8):
        topology = tmp_path / "cpus" / f"cpu{cpu}" / "topology"
        topology.mkdir(parents=True)
        (topology / "thread_siblings_list").write_text(f"{cpu % 4},{cpu % 4 + 4}\n")
    assert machine.torch_threads() == (4, "one for each core")


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A user cache folder of our own, nothing remembered, and a measurement that counts its calls and says 2.0."""
    calls = []
    monkeypatch.setattr(platformdirs, "user_cache_dir", lambda *_, **__: str(tmp_path / "cache"))
    monkeypatch.setattr(machine, "_measure", lambda threads: (calls.append(threads) or 2.0, True))
    machine._bfloat16_speedup.cache_clear()
    yield tmp_path / "cache" / "machine.json", calls
    machine._bfloat16_speedup.cache_clear()


def test_measurement_is_made_once_and_kept(cache):
    path, calls = cache
    for _ in range(2):
        machine._bfloat16_speedup.cache_clear()  # as a new process would find it
        assert machine.precision("cpu") == (torch.bfloat16, "2.00 times as fast as float32 on this CPU")
    assert calls == [machine.torch_threads()[0]]
    (key,) = json.loads(path.read_text())
    assert key.endswith(f", torch {torch.__version__}, {calls[0]} threads")
    assert list(path.parent.iterdir()) == [path]


def test_another_thread_count_is_measured_anew(cache, monkeypatch):
    path, calls = cache
    for threads in ("1", "3"):
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
        machine.precision(torch.device("cpu"))
    assert calls == [1, 3]
    assert len(json.loads(path.read_text())) == 2


def test_a_limit_to_the_instructions_is_measured_anew(cache, monkeypatch):
    path, calls = cache
    for name in machine._LIMITS:
        monkeypatch.delenv(name, raising=False)
    speedups = iter([2.0, 0.5, 0.2, 1.5])
    monkeypatch.setattr(machine, "_measure", lambda threads: (calls.append(threads) or next(speedups), True))
    picks = []
    for limit in (None, "AVX512_CORE", "AVX2", "avx2 ", None):
        if limit is not None:
            monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", limit)
        else:
            monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)
        machine._bfloat16_speedup.cache_clear()  # as a new process would find it
        picks.append(machine.precision("cpu")[0])
    assert picks == [torch.bfloat16, torch.float32, torch.float32, torch.float32, torch.bfloat16]
    monkeypatch.setenv("ATEN_CPU_CAPABILITY", "avx2")
    assert machine.precision("cpu")[0] is torch.bfloat16
    assert len(calls) == 4
    keys = list(json.loads(path.read_text()))
    assert [("=AVX512_CORE" in key, "=AVX2" in key) for key in keys] == [
        (False, False),
        (True, False),
        (False, True),
        (False, True),
    ]
    assert "ATEN_CPU_CAPABILITY=AVX2, torch" in keys[3]


@pytest.mark.parametrize(
    ("flags", "limit", "picked"),
    [
        ("avx2 avx512_bf16", "", torch.bfloat16),
        ("avx2 amx_bf16", "", torch.bfloat16),
        ("avx2", "", torch.float32),
        ("avx2 avx512_bf16", "AVX2", torch.float32),
    ],
)
def test_where_a_measurement_is_disturbed_the_instructions_decide_and_nothing_is_kept(
    cache, monkeypatch, tmp_path, flags, limit, picked
):
    path, calls = cache
    info = tmp_path / "cpuinfo"
    info.write_text(f"model name : Some CPU\nflags : {flags}\n")
    monkeypatch.setattr(machine, "_CPUINFO", info)
    for name in machine._LIMITS:
        monkeypatch.setenv(name, limit)
    ratios = iter([0.2, 8.0])
    monkeypatch.setattr(machine, "_measure", lambda threads: (calls.append(threads) or next(ratios), False))
    for _ in range(2):
        machine._bfloat16_speedup.cache_clear()  # as a new process would find it
        told = "by the CPU's instructions, as other processes kept it from being measured"
        assert machine.precision("cpu") == (picked, told)
    assert len(calls) == 2
    assert not path.exists()


@pytest.mark.parametrize(("share", "undisturbed"), [(1.0, True), (0.92, True), (0.8, False)])
def test_a_thread_that_was_taken_from_the_cpu_was_disturbed(monkeypatch, share, undisturbed):
    now = 0.0

    def step(_x, _weights, reduced):
        nonlocal now
        now += 0.01
        return 1.0 if reduced else 3.0

    monkeypatch.setattr(machine, "_step", step)
    monkeypatch.setattr(machine.time, "perf_counter", lambda: now)
    monkeypatch.setattr(machine.time, "thread_time", lambda: share * now)
    assert machine._measure(1) == (3.0, undisturbed)


@pytest.mark.parametrize("content", ["", "{", "[1]", "3", '{"a": "b"}', "\x00\xff"])
def test_damaged_cache_is_replaced(cache, content):
    path, calls = cache
    path.parent.mkdir()
    path.write_text(content)
    assert machine.precision("cpu")[0] is torch.bfloat16
    assert len(calls) == 1
    assert list(json.loads(path.read_text()).values()) == [2.0]


@pytest.mark.parametrize("value", [0.0, -1.0, float("inf"), float("nan"), "2", None])
def test_impossible_entry_is_measured_anew(cache, value):
    path, calls = cache
    machine.precision("cpu")
    path.write_text(json.dumps(dict.fromkeys(json.loads(path.read_text()), value)))
    machine._bfloat16_speedup.cache_clear()
    assert machine.precision("cpu")[0] is torch.bfloat16
    assert len(calls) == 2


def test_cache_that_cannot_be_written_is_done_without(cache):
    path, calls = cache
    path.parent.write_text("a file where the folder would be")
    assert machine.precision("cpu")[0] is torch.bfloat16
    assert machine.precision("cpu")[0] is torch.bfloat16
    assert len(calls) == 1


@pytest.mark.parametrize(
    ("speedup", "picked"),
    [
        (1.26, (torch.bfloat16, "1.26 times as fast as float32 on this CPU")),
        (1.24, (torch.float32, "bfloat16 is 1.24 times as fast on this CPU")),
        (0.1, (torch.float32, "bfloat16 is 0.10 times as fast on this CPU")),
    ],
)
def test_bfloat16_only_where_it_is_clearly_faster(cache, monkeypatch, speedup, picked):
    monkeypatch.setattr(machine, "_measure", lambda _: (speedup, True))
    assert machine.precision("cpu") == picked


def test_threads_are_set_for_a_while():
    before = torch.get_num_threads()
    with machine.using_threads(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before
    with pytest.raises(ZeroDivisionError), machine.using_threads(before + 1):
        raise ZeroDivisionError
    assert torch.get_num_threads() == before


def test_a_real_measurement_leaves_nothing_changed():
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    with torch.inference_mode():
        ratio, undisturbed = machine._measure(1)
    assert 0.001 < ratio < 1000
    assert isinstance(undisturbed, bool)
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("supported", "picked"),
    [(True, (torch.bfloat16, "the GPU has bfloat16")), (False, (torch.float32, "the GPU has no bfloat16"))],
)
def test_cuda_is_asked(monkeypatch, supported, picked):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: supported)
    assert machine.precision("cuda") == picked


def test_other_devices_stay_in_float32():
    assert machine.precision("mps") == (torch.float32, "bfloat16 is not tried on mps")


def test_unknown_device_raises():
    with pytest.raises(RuntimeError, match="Expected one of cpu, cuda"):
        machine.precision("abacus")


@pytest.mark.parametrize(
    ("cpuinfo", "name"),
    [
        (
            "model name\t: Some CPU @ 2 GHz\nflags\t\t: fpu avx2 avx512_bf16 amx_bf16\n",
            "Some CPU @ 2 GHz avx2 avx512_bf16 amx_bf16",
        ),
        ("model name : Some CPU\nflags : fpu\nmodel name : Some CPU\n", "Some CPU"),
    ],
)
def test_cpu_name_tells_cpus_apart_that_differ_in_bfloat16(tmp_path, monkeypatch, cpuinfo, name):
    (tmp_path / "cpuinfo").write_text(cpuinfo)
    monkeypatch.setattr(machine, "_CPUINFO", tmp_path / "cpuinfo")
    assert machine._cpu_name() == name


def test_cpu_name_without_proc(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "_CPUINFO", tmp_path / "none")
    assert machine._cpu_name()


def test_report_is_ten_lines_or_fewer_and_names_what_it_found(cache, monkeypatch, tmp_path):
    monkeypatch.setenv("MIXLAB_DATA", str(tmp_path))
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    lines = {line[:9].strip(): line[9:] for line in doctor.report().splitlines()}
    assert len(lines) <= 10
    assert lines["torch"].startswith(torch.__version__)
    assert f"ipykernel {importlib.metadata.version('ipykernel')}" in lines["Jupyter"]
    assert lines["device"].startswith("CPU (torch ")
    assert lines["threads"] == "3, set by OMP_NUM_THREADS"
    assert lines["training"] == "bfloat16, 2.00 times as fast as float32 on this CPU"
    assert lines["data"] == 'no cifar10 (mx.load("cifar10") fetches it); no cifar100 (mx.load("cifar100") fetches it)'
    assert lines["runs"].endswith("runs")
    assert lines["folder"] == str(tmp_path)


def test_report_says_what_is_missing(cache, monkeypatch):
    def absent(package):
        raise importlib.metadata.PackageNotFoundError(package)

    monkeypatch.setattr(doctor, "version", absent)
    assert "jupyterlab missing" in doctor.report()


def test_report_names_the_gpu(cache, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "A GPU")
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
    assert "\ndevice   A GPU\n" in doctor.report()


@pytest.mark.parametrize("arguments", [[], ["doctor"]])
def test_command_prints_the_report(cache, monkeypatch, capsys, arguments):
    monkeypatch.setattr(sys, "argv", ["mixlab", *arguments])
    assert __main__.main() == 0
    assert capsys.readouterr().out == doctor.report() + "\n"


def test_command_with_anything_else_says_how(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["mixlab", "docter"])
    assert __main__.main() == 2
    assert capsys.readouterr() == ("", "usage: mixlab [doctor]\n")


def test_report_imports_nothing_heavy():
    code = "import sys, mixlab.doctor; print(*{'torchvision', 'matplotlib', 'scipy', 'ipywidgets'} & set(sys.modules))"
    root = ROOT
    assert subprocess.check_output([sys.executable, "-c", code], cwd=root, text=True) == "\n"


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_freed_memory_goes_back_to_the_system():
    def held() -> int:
        line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS:"))
        return int(line.split()[1]) // 1024

    blocks = [torch.ones(12_000) for _ in range(2_000)]  # 96 MB in pieces that glibc keeps for itself
    last = blocks.pop()  # so that the heap cannot shrink from its end
    del blocks
    before = held()
    machine.release_memory()
    assert before - held() >= 40
    assert last.sum() == 12_000
