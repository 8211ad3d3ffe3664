"""What this machine can do: threads from the CPUs that joblib counts, and features read from a made-up file."""

import importlib.metadata
import os
import platform
import sys
from pathlib import Path

import joblib
import pytest
import torch

from mixlab import __main__, doctor, machine


@pytest.mark.parametrize(
    ("environment", "usable", "load", "threads", "why"),
    [
        ({}, 8, 8, 4, "one for each core"),
        ({}, 8, 30, 4, "one for each core; busy: 30 programs want 8 CPUs, so OMP_NUM_THREADS=1 would be faster"),
        ({}, 3, 0, 3, "this process may use 3 of 8 CPUs"),
        ({}, 1, 30, 1, "this process may use 1 of 8 CPUs"),
        ({"OMP_NUM_THREADS": "5"}, 3, 30, 5, "set by OMP_NUM_THREADS"),
        ({"OMP_NUM_THREADS": " 6,2"}, 3, 0, 6, "set by OMP_NUM_THREADS"),
        *[({"OMP_NUM_THREADS": text}, 3, 0, 3, "this process may use 3 of 8 CPUs") for text in ("0", "many", "")],
    ],
)
def test_threads_follow_the_usable_cpus_unless_named(monkeypatch, environment, usable, load, threads, why):
    monkeypatch.setattr(os, "getloadavg", lambda: (load, 0.0, 0.0), raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    counts = {False: usable, True: 4}  # all CPUs; physical cores
    monkeypatch.setattr(joblib, "cpu_count", lambda only_physical_cores=False: counts[only_physical_cores])
    assert machine.torch_threads() == (threads, why)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="affinity is Linux's")
def test_threads_follow_the_affinity_of_a_process(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, [min(before)])
        assert machine.torch_threads()[0] == 1
    finally:
        os.sched_setaffinity(0, before)


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
        (None, {}, torch.float32, "the CPU has no bfloat16"),  # a system without /proc/cpuinfo
        ("amx_bf16", {"ONEDNN_MAX_CPU_ISA": " "}, torch.bfloat16, "amx_bf16"),
        *[("amx_bf16", {name: "AVX2"}, torch.float32, name) for name in machine._LIMITS],
    ],
)
def test_cpu_features_and_their_limits_decide(cpuinfo, monkeypatch, flags, limits, picked, why):
    if flags is not None:
        cpuinfo(flags)
    for name, value in limits.items():
        monkeypatch.setenv(name, value)
    dtype, reason = machine.precision(torch.device("cpu"))
    assert dtype is picked
    assert why in reason


def test_threads_are_set_for_a_while():
    before = torch.get_num_threads()
    with machine.using_threads(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before
    with pytest.raises(ZeroDivisionError), machine.using_threads(before + 1):
        raise ZeroDivisionError
    assert torch.get_num_threads() == before


@pytest.mark.parametrize(
    ("device", "supported", "picked"),
    [
        ("cuda", True, (torch.bfloat16, "the GPU has bfloat16")),
        ("cuda", False, (torch.float32, "the GPU has no bfloat16")),
        ("mps", True, (torch.float32, "bfloat16 is not tried on mps")),
    ],
)
def test_a_gpu_is_asked_and_other_devices_stay_in_float32(monkeypatch, device, supported, picked):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: supported)
    assert machine.precision(device) == picked


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


@pytest.mark.parametrize("arguments", [[], ["doctor"], ["docter"], ["--help"]])
def test_command_prints_the_report_or_says_how(monkeypatch, capsys, arguments):
    monkeypatch.setattr(sys, "argv", ["mixlab", *arguments])
    if arguments in ([], ["doctor"]):
        assert __main__.main() == 0
        assert capsys.readouterr() == (doctor.report() + "\n", "")
    else:
        with pytest.raises(SystemExit, match="0" if arguments == ["--help"] else "2"):
            __main__.main()
        assert "usage: mixlab" in "".join(capsys.readouterr())


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
