"""The files of runs: whole or absent, told from damaged ones, and nothing that can run code."""

import errno
import io
import json
import os
import pickle
import stat
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save
from tiny_runs import contents, leave_after, plain_records, raising, tiny_run

import mixlab as mx
from mixlab import _files
from mixlab.runs import locks
from mixlab.runs.store import CHECKPOINT, PREDICTIONS, RUN, WEIGHTS, Store, StoreError, _sealed


def names(root):
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if not path.name.endswith(".lock"))


def refuse(*_, **__):
    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


# Damage.


class Bomb:
    """Writes a file where it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def in_header(content):
    """A changed digit of the header."""
    place = content.index(b"step_count") if b"step_count" in content else content.index(b"data_offsets")
    place = next(i for i in range(place, len(content)) if chr(content[i]).isdigit())
    return content[:place] + (b"1" if content[place : place + 1] != b"1" else b"2") + content[place + 1 :]


def of_other_shape(content):
    tensors = {name: torch.zeros(2, 2) for name in json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])}
    tensors.pop("__metadata__", None)
    return save(tensors)


DAMAGE = {
    "empty": lambda _: b"",
    "cut by a byte": lambda content: content[:-1],
    "grown": lambda content: content + b"x",
    "a flipped bit of a tensor": lambda content: content[:-20] + bytes([content[-20] ^ 1]) + content[-19:],
    "a changed digit of the header": in_header,
    "another shape": of_other_shape,
    "zeros": lambda content: bytes(len(content)),
    "a huge header": lambda content: (2**62).to_bytes(8, "little") + content[8:],
}


@pytest.mark.parametrize("how", DAMAGE)
@pytest.mark.parametrize("name", [CHECKPOINT, WEIGHTS, PREDICTIONS])
def test_damaged_tensors_are_set_aside_with_a_message_and_trained_again(name, how, tmp_path, capsys, wanted):
    run = leave_after(tmp_path, 2).id if name == CHECKPOINT else tiny_run(tmp_path).id
    path = tmp_path / run / name
    damaged = DAMAGE[how](path.read_bytes())
    path.write_bytes(damaged)
    again = tiny_run(tmp_path)
    assert contents(again) == wanted
    assert again.sessions[0]["epochs"] == [0, 3]
    aside = tmp_path / f"{run}.damaged-1"
    assert (aside / name).read_bytes() == damaged
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"mixlab: run {run} is damaged ({name} ")
    assert str(aside) in line


def edited(change, seal=True):
    """What a mistaken program writes, with the right digest; or a careless editor, with the old one."""

    def apply(content):
        document = json.loads(content)
        if not seal:
            change(document)
            return json.dumps(document)
        document.pop("sha256")
        change(document)
        return json.dumps(_sealed(document))

    return apply


@pytest.mark.parametrize(
    "change",
    [
        lambda _: "",
        lambda content: content[: len(content) // 2],
        lambda _: "[" * 100_000,
        lambda _: "null",
        lambda _: "\ud800".encode("utf-8", "surrogatepass").decode("latin-1"),
        edited(lambda document: document.pop("sha256"), seal=False),
        edited(lambda document: document["records"][0].update(test_accuracy=0.99), seal=False),
        edited(lambda document: document.pop("records")),
        edited(lambda document: document.pop("files")),
        edited(lambda document: document["records"].pop()),
        edited(lambda document: document["records"][0].pop("epoch")),
        edited(lambda document: document.update(id="0" * 16)),
        edited(lambda document: document.update(saved=3)),
        edited(lambda document: document.update(identity=[])),
    ],
)
def test_damaged_json_is_listed_and_then_set_aside(change, tmp_path, capsys, wanted):
    run = tiny_run(tmp_path).id
    path = tmp_path / run / RUN
    path.write_text(change(path.read_text()), encoding="latin-1")
    assert run in repr(mx.runs(tmp_path))
    assert contents(tiny_run(tmp_path)) == wanted
    assert f"run {run} is damaged (" in capsys.readouterr().err


@pytest.mark.parametrize("name", [CHECKPOINT, WEIGHTS, PREDICTIONS, RUN])
def test_pickle_in_place_of_a_file_is_not_run(name, tmp_path, wanted):
    run = leave_after(tmp_path, 2).id if name == CHECKPOINT else tiny_run(tmp_path).id
    bomb, buffer = tmp_path / "went off", io.BytesIO()
    torch.save(Bomb(bomb), buffer)
    for content in (pickle.dumps(Bomb(bomb)), buffer.getvalue()):
        (tmp_path / run / name).write_bytes(content)
        mx.runs(tmp_path)
        assert contents(tiny_run(tmp_path)) == wanted
    assert not bomb.exists()
    assert len(mx.runs(tmp_path)) == 1, "what was set aside is not listed"


def test_checkpoint_of_another_training_is_set_aside(tmp_path, capsys, wanted):
    """Whole, but under a name that is not its own; and one that is whole and does not fit."""
    run, other = leave_after(tmp_path, 2).id, leave_after(tmp_path, 2, learning_rate=0.1).id
    (tmp_path / run / CHECKPOINT).write_bytes((tmp_path / other / CHECKPOINT).read_bytes())
    assert contents(tiny_run(tmp_path)) == wanted
    assert f"run {run} is damaged ({CHECKPOINT} is not what was written" in capsys.readouterr().err

    store = Store(tmp_path / "b")
    leave_after(store.root, 2)
    document, tensors = store.checkpoint(run)
    tensors["model.head.bias"] = torch.zeros(4)
    store.write_checkpoint(run, document, tensors)
    assert contents(tiny_run(store.root)) == wanted
    assert f"({CHECKPOINT} is not of this run: " in capsys.readouterr().err


def test_run_of_a_newer_mixlab_is_named_as_such_and_left_alone(tmp_path):
    run, store = leave_after(tmp_path, 2).id, Store(tmp_path)
    document, tensors = store.checkpoint(run)
    document["identity"]["format"] = 99
    store.write_checkpoint(run, document, tensors)
    for ask in (lambda: mx.runs(tmp_path)[0].history, lambda: tiny_run(tmp_path)):
        with raising(StoreError, f"run {run} has format 99", "update mixlab"):
            ask()
    assert names(tmp_path) == [run, f"{run}/{CHECKPOINT}"]


# What a crash leaves.


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_names_are_on_disk_before_anything_is_removed(tmp_path, monkeypatch):
    """After a power cut either run.json or the checkpoint is there: each new name is flushed before the next step."""
    steps, real = [], os.fsync

    def fsync(file):
        steps.append(f"flush {Path(f'/proc/self/fd/{file}').readlink().name}")
        real(file)

    def noted(word, act):
        def wrapped(path, *rest, **named):
            there = path.exists()
            result = act(path, *rest, **named)
            if there is (word != "make"):
                steps.append(f"{word} {(rest[0] if rest else path).name}")
            return result

        return wrapped

    monkeypatch.setattr(_files.os, "fsync", fsync)
    for name, word in (("replace", "name"), ("unlink", "remove"), ("mkdir", "make")):
        monkeypatch.setattr(Path, name, noted(word, getattr(Path, name)))
    run = tiny_run(tmp_path / "runs", epochs=1).id
    written = [
        (f"flush .{name}.partial", f"name {name}", f"flush {run}") for name in (CHECKPOINT, WEIGHTS, PREDICTIONS, RUN)
    ]
    assert names(tmp_path) == ["runs", f"runs/{run}", *(f"runs/{run}/{name}" for name in (PREDICTIONS, RUN, WEIGHTS))]
    assert [step for step in steps if not step.endswith(".lock")] == [
        *("make runs", f"flush {tmp_path.name}", f"make {run}", "flush runs"),
        *(step for file in written for step in file),
        f"remove {CHECKPOINT}",
    ]


def test_what_a_killed_process_left_does_no_harm_and_is_removed(tmp_path, capsys, wanted):
    folder = tmp_path / wanted["id"]
    folder.mkdir()
    (folder / f".{CHECKPOINT}.partial").write_bytes(b"half")
    assert len(mx.runs(tmp_path)) == 0
    assert contents(tiny_run(tmp_path)) == wanted
    for name in (f".{RUN}.partial", CHECKPOINT):
        (folder / name).write_bytes(b"half")
    assert contents(tiny_run(tmp_path)) == wanted
    (folder / RUN).unlink()
    assert len(mx.runs(tmp_path)) == 0, "weights without run.json are no run"
    assert contents(tiny_run(tmp_path)) == wanted
    assert names(folder) == [PREDICTIONS, RUN, WEIGHTS]
    assert capsys.readouterr().err == ""


# A folder that takes nothing.


def test_full_disk_in_the_middle_of_a_write_leaves_the_earlier_checkpoint_whole(tmp_path, monkeypatch, wanted):
    real, written = os.fsync, []

    def fsync(file):
        written.extend([file] * stat.S_ISREG(os.fstat(file).st_mode))
        if len(written) == 2:  # of the second epoch
            os.ftruncate(file, 100)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(file)

    path = tmp_path / wanted["id"] / CHECKPOINT
    full = raising(StoreError, f"{path} cannot be written: No space left on device", "MIXLAB_RUNS")
    with monkeypatch.context() as patch, full:
        patch.setattr(_files.os, "fsync", fsync)
        tiny_run(tmp_path)
    assert names(path.parent) == [CHECKPOINT]
    (run,) = mx.runs(tmp_path)
    assert plain_records(run.history) == wanted["history"][:1]
    again = tiny_run(tmp_path)
    assert contents(again) == wanted
    assert [session["epochs"] for session in again.sessions] == [[0, 1], [1, 3]]


def test_file_in_the_way_of_the_folder(tmp_path):
    (tmp_path / "file").write_text("")
    for root, reason in ((tmp_path / "file", "File exists"), (tmp_path / "file" / "runs", "Not a directory")):
        with raising(StoreError, f"{root} cannot be written", reason):
            tiny_run(root)
    with raising(StoreError, f"{tmp_path / 'file'} cannot be read", "Not a directory"):
        mx.runs(tmp_path / "file")


@pytest.mark.parametrize(("patched", "name"), [(locks.FileLock, "acquire"), (Path, "mkdir"), (Path, "rename")])
def test_refused_lock_and_refused_folder_are_store_errors(patched, name, tmp_path, monkeypatch):
    run = tiny_run(tmp_path).id
    (tmp_path / run / WEIGHTS).unlink()
    monkeypatch.setattr(patched, name, refuse)
    with raising(StoreError, str(tmp_path), "cannot be written: Permission denied"):
        tiny_run(tmp_path / "new" if name == "mkdir" else tmp_path)


def test_whole_run_is_read_from_a_folder_that_takes_nothing(root, monkeypatch, wanted):
    for name in ("mkdir", "write_text", "write_bytes", "rename", "unlink", "replace"):
        monkeypatch.setattr(Path, name, refuse)
    monkeypatch.setattr(locks.FileLock, "acquire", refuse)
    assert contents(tiny_run(root)) == wanted


def test_root_comes_from_the_argument_then_the_environment_then_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MIXLAB_RUNS", str(tmp_path / "named"))
    assert Store().root == tmp_path / "named"
    assert Store(tmp_path / "given").root == tmp_path / "given"
    monkeypatch.delenv("MIXLAB_RUNS")
    monkeypatch.setattr("platformdirs.user_cache_path", lambda name: tmp_path / name)
    assert Store().root == tmp_path / "mixlab" / "runs"
    for root, error in ((3, TypeError), ("~nobody-of-this-name/x", ValueError)):
        with raising(error, "root must be a path", repr(root)):
            mx.runs(root)
