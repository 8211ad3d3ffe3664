"""What this machine can do: CPU shares and features read from made-up files."""

import importlib.metadata
import platform
import subprocess
import sys
from pathlib import Path

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
def cpuinfo(tmp_path, monkeypatch):
    """Say what the CPU's features are: `cpuinfo(flags)`; nothing limits them."""

    def write(flags):
        (tmp_path / "cpuinfo").write_text(f"model name : Some CPU amx_bf16\nflags\t\t: {flags}\npower management:\n")

    for name in machine._LIMITS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(machine, "_CPUINFO", tmp_path / "cpuinfo")
    return write


@pytest.mark.parametrize(
    ("flags", "limits", "picked", "why"),
    [
        ("fpu avx2 avx512_bf16 lm", {}, torch.bfloat16, "avx512_bf16"),
        ("fpu avx512_bf16 amx_bf16", {}, torch.bfloat16, "amx_bf16"),
        ("fpu avx2 avx512_bf16x", {}, torch.float32, "no bfloat16"),
        ("", {}, torch.float32, "no bfloat16"),
        ("amx_bf16", {"ONEDNN_MAX_CPU_ISA": " "}, torch.bfloat16, "amx_bf16"),
        *[("amx_bf16", {name: "AVX2"}, torch.float32, name) for name in machine._LIMITS],
    ],
)
def test_cpu_features_and_their_limits_decide(cpuinfo, monkeypatch, flags, limits, picked, why):
    cpuinfo(flags)
    for name, value in limits.items():
        monkeypatch.setenv(name, value)
    dtype, reason = machine.precision("cpu")
    assert dtype is picked
    assert why in reason


def test_a_system_without_cpuinfo_stays_in_float32(cpuinfo):
    assert machine.precision(torch.device("cpu")) == (torch.float32, "the CPU has no bfloat16")


def test_threads_are_set_for_a_while():
    before = torch.get_num_threads()
    with machine.using_threads(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before
    with pytest.raises(ZeroDivisionError), machine.using_threads(before + 1):
        raise ZeroDivisionError
    assert torch.get_num_threads() == before


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


def test_report_is_ten_lines_or_fewer_and_names_what_it_found(cpuinfo, monkeypatch, tmp_path):
    monkeypatch.setenv("MIXLAB_DATA", str(tmp_path))
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    cpuinfo("amx_bf16")
    lines = {line[:9].strip(): line[9:] for line in doctor.report().splitlines()}
    assert len(lines) <= 10
    assert lines["torch"].startswith(torch.__version__)
    assert f"ipykernel {importlib.metadata.version('ipykernel')}" in lines["Jupyter"]
    assert lines["device"].startswith("CPU (torch ")
    assert lines["threads"] == "3, set by OMP_NUM_THREADS"
    assert lines["training"] == "bfloat16, the CPU has amx_bf16"
    assert lines["data"] == 'no cifar10 (mx.load("cifar10") fetches it); no cifar100 (mx.load("cifar100") fetches it)'
    assert lines["runs"].endswith("runs")
    assert lines["folder"] == str(tmp_path)


@pytest.mark.parametrize("arguments", [[], ["doctor"]])
def test_command_prints_the_report(monkeypatch, capsys, arguments):
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
