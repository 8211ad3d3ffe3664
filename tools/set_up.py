"""Make the virtual environment that the Makefile works in: `python3 tools/set_up.py lab|test|bench`.

A stamp in the environment holds a digest of the files that it was made from. While they are unchanged there is nothing
to do, offline too. The code runs on Python 3.6 and newer, so that an old Python gets a sentence and not a traceback.
"""

import hashlib
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from threading import Thread
from urllib.request import urlopen

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
BENCH_VENV = ROOT / ".bench-venv"
CONSTRAINTS = ROOT / "constraints.txt"
PEERS = ROOT / "benchmarks" / "requirements.txt"
OVERRIDES = ROOT / "binder" / "overrides.json"
MADE_FROM = {
    "lab": [ROOT / "pyproject.toml", CONSTRAINTS, OVERRIDES],
    "test": [ROOT / "pyproject.toml", CONSTRAINTS, OVERRIDES],
    "bench": [CONSTRAINTS, PEERS],
}
NEWEST = bool(os.environ.get("MIXLAB_NEWEST"))  # take what is newest, not what was tested
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
PROBE_SECONDS = 4
PAIRED = "import torch, torchvision; print('torch', torch.__version__, 'and torchvision', torchvision.__version__)"


def main(what):
    """Bring the environment for `what` up to date."""
    if what == "bench":
        set_up_bench()
    elif not (ready(VENV, "test") or ready(VENV, what)):
        set_up(what)


def set_up(what):
    """Install mixlab with the tested versions of what the lessons need and, for `test`, of what the tests need."""
    stamps = [stamp(VENV, name) for name in ("lab", "test")]
    finished = {path: path.read_text() for path in stamps if path.exists()}
    in_place = all(text.startswith(f"{VENV}\n") for text in finished.values())
    if not (finished and in_place and python(VENV).exists()):
        make_venv(VENV, sys.executable)  # there is none, or half of one, or it was moved
        finished = {}
    for path in finished:
        path.unlink()
    extras = "lab,hub,cluster" if what == "lab" else "test"
    if not pip(VENV, *torch_choice(), "--editable", f".[{extras}]"):
        for path, text in finished.items():  # pip changes nothing before it has everything, so the old one works
            path.write_text(text)
        sys.exit("The set-up did not finish. Run the same command again; what was downloaded is kept by pip.")
    if not worked([str(python(VENV)), "-c", PAIRED]):
        sys.exit("torch and torchvision do not fit each other. Remove the folder .venv and run the same command again.")
    settings = VENV / "share" / "jupyter" / "lab" / "settings"
    settings.mkdir(parents=True, exist_ok=True)
    shutil.copy(str(OVERRIDES), str(settings / "overrides.json"))
    stamp(VENV, what).write_text(digest(VENV, what))


def set_up_bench():
    """Install the peers into their own environment, which sees all of .venv: one torch, and no peer in the lessons."""
    main("test")
    if ready(BENCH_VENV, "bench"):
        return
    make_venv(BENCH_VENV, str(python(VENV)))
    query = "import sysconfig; print(sysconfig.get_path('purelib'))"
    ours, theirs = (
        subprocess.check_output([str(python(venv)), "-c", query], universal_newlines=True).strip()
        for venv in (VENV, BENCH_VENV)
    )
    line = f"import site; site.addsitedir({ours!r})\n"  # unlike a bare path, this reads mixlab's own .pth too
    Path(theirs, "mixlab-venv.pth").write_text(line)
    if not pip(BENCH_VENV, "--requirement", str(PEERS)):
        sys.exit("The peers could not be installed. Run the same command again.")
    stamp(BENCH_VENV, "bench").write_text(digest(BENCH_VENV, "bench"))


def make_venv(venv, interpreter):
    """Make an empty environment, and replace an old one."""
    if sys.version_info < (3, 10):
        sys.exit(
            f"mixlab needs Python 3.10 or newer, and {sys.executable} is {platform.python_version()}.\n"
            "Name a newer one, for instance: make lab PYTHON=python3.12"
        )
    print(f"Making {venv} with {interpreter}", flush=True)
    if not worked([interpreter, "-m", "venv", "--clear", str(venv)]):
        sys.exit(f"{interpreter} could not make {venv}. On Debian and Ubuntu: apt install python3-venv")


def pip(venv, *what):
    """Install `what` by the constraints; say whether it worked."""
    pip_install = [str(python(venv)), "-m", "pip", "install", "--disable-pip-version-check"]
    tested = [] if NEWEST else ["--constraint", str(CONSTRAINTS)]
    return worked([*pip_install, *tested, *what])


def worked(command):
    """Run a command in the repository and show its output; say whether it worked."""
    return subprocess.run(command, cwd=str(ROOT), check=False).returncode == 0


def torch_choice():
    """Say which builds of PyTorch are installed and how large they are; return the arguments for pip."""
    pins = [line for line in CONSTRAINTS.read_text().splitlines() if line.startswith(("torch==", "torchvision=="))]
    if NEWEST:
        return ["torch", "torchvision"]
    wheels = pins[0].replace("==", "-")
    if sys.platform != "linux":
        print("PyTorch: the ordinary wheels (about 100 MB to download).", flush=True)
    elif shutil.which("nvidia-smi") or Path("/proc/driver/nvidia/version").exists():
        print("PyTorch: an NVIDIA driver is here, so the ordinary wheels with CUDA (3 GB to download).", flush=True)
    elif answers(CPU_INDEX + "/torch/", wheels):
        print("PyTorch: no NVIDIA driver is here, so the CPU builds (200 MB to download).", flush=True)
        return ["--extra-index-url", CPU_INDEX, *(pin + "+cpu" for pin in pins)]
    else:
        print(f"PyTorch: no NVIDIA driver is here, but {CPU_INDEX} did not answer within {PROBE_SECONDS} s,")
        print("so the ordinary wheels with CUDA (3 GB to download, 6 GB on disk).", flush=True)
    return pins


def answers(url, wanted):
    """Say whether `url` serves a page that contains `wanted` within PROBE_SECONDS."""
    answer = []  # filled by a thread, since no timeout bounds the lookup of a host name

    def ask():
        try:
            with urlopen(url, timeout=PROBE_SECONDS) as page:
                answer.append(wanted in page.read().decode())
        except (OSError, ValueError):
            answer.append(False)

    thread = Thread(target=ask, daemon=True)
    thread.start()
    thread.join(PROBE_SECONDS)
    return bool(answer and answer[0])


def python(venv):
    """The interpreter of an environment."""
    return venv / "bin" / "python"


def stamp(venv, what):
    """The file that says that the environment is finished, and from what it was made."""
    return venv / f"mixlab-{what}.stamp"


def digest(venv, what):
    """The path of the environment, which cannot be moved, and a digest of the files that it was made from."""
    content = hashlib.sha256(b"\0".join(path.read_bytes() for path in MADE_FROM[what]))
    return f"{venv}\n{content.hexdigest()}\n"


def ready(venv, what):
    """Say whether the environment is finished and made from the files as they are now."""
    path = stamp(venv, what)
    return python(venv).exists() and path.exists() and path.read_text() == digest(venv, what)


if __name__ == "__main__":
    main(sys.argv[1])
