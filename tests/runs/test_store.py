"""The files of runs: whole or absent, told from damaged ones, and nothing that can run code."""

import ast
import errno
import io
import json
import os
import pickle
import stat
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch
from paths import SUPPORT
from safetensors.torch import load_file, save
from tiny_runs import contents, dataset, leave_after, net, plain_records, tiny_run

import mixlab as mx
from mixlab import _files
from mixlab.runs import locks as _locks
from mixlab.runs.store import CHECKPOINT, PREDICTIONS, RUN, WEIGHTS, Store, StoreError, _sealed

ROOT = Path(mx.__file__).parent


@pytest.fixture(scope="module")
def wanted(tmp_path_factory):
    """What the tiny run comes to."""
    return contents(tiny_run(tmp_path_factory.mktemp("never")))


def names(root):
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if not path.name.endswith(".lock"))


# Layout.


def test_a_finished_run_is_four_files_and_a_broken_off_one_a_checkpoint(tmp_path):
    run = leave_after(tmp_path, 2).id
    assert names(tmp_path) == [run, f"{run}/{CHECKPOINT}", "store.json"]
    assert tiny_run(tmp_path).id == run
    assert names(tmp_path) == [run, *(f"{run}/{name}" for name in (PREDICTIONS, RUN, WEIGHTS)), "store.json"]
    assert json.loads((tmp_path / "store.json").read_text()) == {"format": 1}


def test_files_hold_what_they_say(tmp_path, wanted):
    run = tiny_run(tmp_path)
    folder = tmp_path / run.id
    model = net()
    model.load_state_dict(load_file(folder / WEIGHTS))
    tables = load_file(folder / PREDICTIONS)
    data = dataset()
    told = mx.predict(model, data.test, data.normalization)
    assert torch.equal(tables["logits"], told.logits)
    assert torch.equal(tables["labels"], data.test.labels)
    document = json.loads((folder / RUN).read_text())
    assert [record["test_accuracy"] for record in document["records"]] == [
        row["test_accuracy"] for row in wanted["history"]
    ]
    assert document["identity"]["training"]["epochs"] == 3


def test_modules_that_read_can_run_nothing_that_they_read():
    sweeps = {"sweep.py", "cluster.py"}  # these send what they were given to other processes, and read no file
    for path in (ROOT / "_files.py", ROOT / "data" / "cache.py", *(ROOT / "runs").glob("*.py")):
        if path.name in sweeps:
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        imported |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        assert not imported & {"pickle", "marshal", "shelve", "joblib", "dill", "cloudpickle", "numpy"}, path
        called = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
        assert not called & {"torch.load", "eval", "exec", "compile", "__import__"}, path


# Damage.


class Bomb:
    """Writes a file where it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def flipped(content):
    """One bit of a tensor, which are at the end."""
    return content[:-20] + bytes([content[-20] ^ 1]) + content[-19:]


def in_header(content):
    """A digit of the header."""
    place = content.index(b"step_count") if b"step_count" in content else content.index(b"data_offsets")
    place = next(i for i in range(place, len(content)) if chr(content[i]).isdigit())
    return content[:place] + (b"1" if content[place : place + 1] != b"1" else b"2") + content[place + 1 :]


def of_other_shape(content):
    tensors = {name: torch.zeros(2, 2) for name in json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])}
    tensors.pop("__metadata__", None)
    return save(tensors)


DAMAGE = {
    "empty": lambda _: b"",
    "cut short": lambda content: content[: len(content) // 2],
    "cut by a byte": lambda content: content[:-1],
    "grown": lambda content: content + b"x",
    "a flipped bit": flipped,
    "a flipped digit of the header": in_header,
    "another shape": of_other_shape,
    "zeros": lambda content: bytes(len(content)),
    "a huge header": lambda content: (2**62).to_bytes(8, "little") + content[8:],
    "JSON": lambda _: b'{"a": 1}',
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
    aside = tmp_path / f"{run}.damaged"
    assert (aside / name).read_bytes() == damaged
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"mixlab: run {run} is damaged ({name} ")
    assert line.endswith(f"); it is set aside as {aside} and trained again")


def without(key):
    return lambda content: json.dumps({name: value for name, value in json.loads(content).items() if name != key})


def with_changed_score(content):
    document = json.loads(content)
    document["records"][0]["test_accuracy"] = 0.99
    return json.dumps(document)


def resealed(change):
    """What a mistaken program might write: wrong, and with the right digest."""

    def apply(content):
        document = json.loads(content)
        document.pop("sha256")
        change(document)
        return json.dumps(_sealed(document))

    return apply


@pytest.mark.parametrize(
    "change",
    [
        lambda _: "nonsense",
        lambda _: "",
        lambda content: content[: len(content) // 2],
        lambda _: "[" * 100_000,
        lambda _: "null",
        lambda _: "\ud800".encode("utf-8", "surrogatepass").decode("latin-1"),
        without("records"),
        without("sha256"),
        without("files"),
        with_changed_score,
        resealed(lambda document: document.pop("records")),
        resealed(lambda document: document.pop("files")),
        resealed(lambda document: document["records"].pop()),
        resealed(lambda document: document["records"][0].pop("epoch")),
        resealed(lambda document: document.update(id="0" * 16)),
        resealed(lambda document: document["files"][WEIGHTS].update(bytes="many")),
        resealed(lambda document: document.update(saved=3)),
        resealed(lambda document: document.pop("saved")),
        resealed(lambda document: document.pop("sessions")),
        resealed(lambda document: document.pop("epochs")),
        resealed(lambda document: document.update(identity=[])),
    ],
)
def test_damaged_json_is_set_aside_and_listed_as_damaged_before(change, tmp_path, capsys, wanted):
    run = tiny_run(tmp_path).id
    path = tmp_path / run / RUN
    path.write_text(change(path.read_text()), encoding="latin-1")
    assert run in repr(mx.runs(tmp_path))
    assert run in mx.runs(tmp_path)._repr_html_()
    again = tiny_run(tmp_path)
    assert contents(again) == wanted
    assert f"run {run} is damaged (" in capsys.readouterr().err


@pytest.mark.parametrize("name", [CHECKPOINT, WEIGHTS, PREDICTIONS, RUN, "store.json"])
def test_pickle_in_place_of_a_file_is_not_run(name, tmp_path, wanted):
    run = leave_after(tmp_path, 2).id if name == CHECKPOINT else tiny_run(tmp_path).id
    path = tmp_path / name if name == "store.json" else tmp_path / run / name
    bomb = tmp_path / "went off"
    buffer = io.BytesIO()
    torch.save(Bomb(bomb), buffer)
    for content in (pickle.dumps(Bomb(bomb)), buffer.getvalue()):
        path.write_bytes(content)
        mx.runs(tmp_path)
        assert contents(tiny_run(tmp_path)) == wanted
    assert not bomb.exists()


def test_checkpoint_of_another_training_is_set_aside(tmp_path, capsys, wanted):
    """Whole, but under a name that is not its own; and one that is whole and does not fit."""
    run, other = leave_after(tmp_path, 2).id, leave_after(tmp_path, 2, learning_rate=0.1).id
    (tmp_path / run / CHECKPOINT).write_bytes((tmp_path / other / CHECKPOINT).read_bytes())
    assert contents(tiny_run(tmp_path)) == wanted
    assert f"run {run} is damaged ({CHECKPOINT} is not what was written for this run)" in capsys.readouterr().err

    store = Store(tmp_path / "b")
    leave_after(store.root, 2)
    document, tensors = store.checkpoint(run)
    tensors["model.head.bias"] = torch.zeros(4)
    del document["tensors"]
    store.write_checkpoint(run, document, tensors)
    assert contents(tiny_run(store.root)) == wanted
    assert (
        f"({CHECKPOINT} is not of this run: state must be of a training with 'model.head.bias' "
        in capsys.readouterr().err
    )


def test_checkpoint_that_does_not_tell_its_epochs_is_listed_as_damaged(tmp_path):
    run, store = leave_after(tmp_path, 2).id, Store(tmp_path)
    document, tensors = store.checkpoint(run)
    for name in ("epochs", "tensors"):
        del document[name]
    store.write_checkpoint(run, document, tensors)
    assert f"damaged: {CHECKPOINT} is not what was written for this run" in repr(mx.runs(tmp_path))


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_names_are_on_disk_before_anything_is_removed(tmp_path, monkeypatch):
    """After a power cut either run.json or the checkpoint is there: each new name is flushed before the next step."""
    told, real, replace, unlink, mkdir = [], os.fsync, Path.replace, Path.unlink, Path.mkdir

    def fsync(file):
        told.append(f"flush {Path(f'/proc/self/fd/{file}').readlink().name}")
        real(file)

    def noted(word, act):
        def wrapped(path, *rest, **named):
            there = path.exists()
            result = act(path, *rest, **named)
            if there is (word != "make"):
                told.append(f"{word} {(rest[0] if rest else path).name}")
            return result

        return wrapped

    monkeypatch.setattr(_files.os, "fsync", fsync)
    for name, word, act in (("replace", "name", replace), ("unlink", "remove", unlink), ("mkdir", "make", mkdir)):
        monkeypatch.setattr(Path, name, noted(word, act))
    run = tiny_run(tmp_path / "runs", epochs=1).id
    steps = [step for step in told if not step.endswith((".lock", ".owner"))]

    def written(name, folder):
        return [f"flush .{name}.partial", f"name {name}", f"flush {folder}"]

    assert steps == [
        *("make runs", f"flush {tmp_path.name}", *written("store.json", "runs")),
        *(f"make {run}", "flush runs", *written(CHECKPOINT, run)),
        *(step for name in (WEIGHTS, PREDICTIONS, RUN) for step in written(name, run)),
        f"remove {CHECKPOINT}",
    ]


def test_several_damaged_runs_are_kept(tmp_path):
    for expected in ("", "-2", "-3"):
        run = tiny_run(tmp_path).id
        (tmp_path / run / WEIGHTS).unlink()
        tiny_run(tmp_path)
        assert (tmp_path / f"{run}.damaged{expected}").is_dir()
    assert len(mx.runs(tmp_path)) == 1


def test_half_made_folder_does_no_harm(tmp_path, capsys, wanted):
    run = wanted["id"]
    (tmp_path / run).mkdir()
    (tmp_path / run / f".{CHECKPOINT}.partial").write_bytes(b"half")
    (tmp_path / f"{run}.owner").write_text("{")
    assert len(mx.runs(tmp_path)) == 0
    assert contents(tiny_run(tmp_path)) == wanted
    assert capsys.readouterr().err == ""
    assert not list(tmp_path.rglob("*.partial"))


def test_weights_without_run_json_are_no_run(tmp_path, wanted):
    run = tiny_run(tmp_path)
    (tmp_path / run.id / RUN).unlink()
    assert len(mx.runs(tmp_path)) == 0
    assert contents(tiny_run(tmp_path)) == wanted


# A folder that takes nothing.


def test_full_disk_in_the_middle_of_a_write_leaves_the_earlier_checkpoint_whole(tmp_path, monkeypatch, wanted):
    real, written = os.fsync, []

    def fsync(file):
        written.extend([file] * stat.S_ISREG(os.fstat(file).st_mode))
        if len(written) == 3:  # store.json, the first epoch, the second
            os.ftruncate(file, 100)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(file)

    with monkeypatch.context() as patch:
        patch.setattr(_files.os, "fsync", fsync)
        with pytest.raises(StoreError) as caught:
            tiny_run(tmp_path)
    path = tmp_path / wanted["id"] / CHECKPOINT
    assert str(caught.value) == (
        f"{path} cannot be written: No space left on device. What was stored before is whole; make room there, or name "
        "another folder by root= or the environment variable MIXLAB_RUNS"
    )
    assert names(tmp_path / wanted["id"]) == [CHECKPOINT]
    (run,) = mx.runs(tmp_path)
    assert plain_records(run.history) == wanted["history"][:1]
    again = tiny_run(tmp_path)
    assert contents(again) == wanted
    assert [session["epochs"] for session in again.sessions] == [[0, 1], [1, 3]]


@pytest.mark.skipif(sys.platform == "win32", reason="there is no RLIMIT_FSIZE")
def test_file_that_may_not_grow_is_a_store_error(tmp_path):
    code = """
    import resource, sys
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))
    from tiny_runs import tiny_run
    from mixlab.runs.store import StoreError
    try:
        tiny_run(sys.argv[1])
    except StoreError as error:
        print(error)
    """
    command = [sys.executable, "-c", textwrap.dedent(code), str(tmp_path)]
    run = subprocess.run(command, cwd=SUPPORT, capture_output=True, text=True, check=True)
    assert f"{CHECKPOINT} cannot be written: File too large. What was stored before is whole" in run.stdout
    assert not list(tmp_path.rglob("*.partial"))
    assert tiny_run(tmp_path).finished


def test_file_in_the_way_of_the_folder(tmp_path):
    (tmp_path / "file").write_text("")
    for root, reason in ((tmp_path / "file", "File exists"), (tmp_path / "file" / "runs", "Not a directory")):
        with pytest.raises(StoreError) as caught:
            tiny_run(root)
        assert str(caught.value) == (
            f"{root} cannot be written: {reason}. What was stored before is whole; make room there, or name another "
            "folder by root= or the environment variable MIXLAB_RUNS"
        )


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_folder_without_the_right_to_write(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(StoreError, match="cannot be written: Permission denied"):
        tiny_run(tmp_path / "runs")


def test_refused_lock_and_refused_folder_are_store_errors(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    for patched, name in ((_locks, "_acquire"), (Path, "mkdir"), (Path, "rename")):
        run = tiny_run(tmp_path).id
        (tmp_path / run / WEIGHTS).unlink()
        with monkeypatch.context() as patch:
            patch.setattr(patched, name, refuse)
            with pytest.raises(StoreError, match=r"cannot be written: Permission denied\. What was"):
                tiny_run(tmp_path)
    tiny_run(tmp_path)


def test_whole_run_is_read_from_a_folder_that_takes_nothing(tmp_path, monkeypatch, wanted):
    tiny_run(tmp_path)

    def refuse(*_, **__):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    for name in ("mkdir", "write_text", "write_bytes", "rename", "unlink", "replace"):
        monkeypatch.setattr(Path, name, refuse)
    monkeypatch.setattr(_locks, "_acquire", refuse)
    assert contents(tiny_run(tmp_path)) == wanted


def test_newer_format_says_both_and_what_to_do(tmp_path):
    tiny_run(tmp_path)
    (tmp_path / "store.json").write_text('{"format": 2}')
    for ask in (tiny_run, mx.runs):
        with pytest.raises(StoreError) as caught:
            ask(tmp_path)
        assert str(caught.value) == (
            f"the run store {tmp_path} has format 2, and this mixlab reads formats up to 1: update mixlab, or name "
            "another folder by root= or the environment variable MIXLAB_RUNS"
        )


@pytest.mark.parametrize("content", ["", "nonsense", "[]", "{}", '{"format": "1"}'])
def test_damaged_store_json_is_set_aside_and_the_runs_stay(content, tmp_path, capsys):
    run = tiny_run(tmp_path)
    (tmp_path / "store.json").write_text(content)
    assert [listed.id for listed in mx.runs(tmp_path)] == [run.id]
    path = tmp_path / "store.json"
    assert (capsys.readouterr().err, path.read_text()) == ("", content), "a listing changes nothing"
    tiny_run(tmp_path, epochs=1)
    assert (
        capsys.readouterr().err
        == f"mixlab: {path} is damaged and set aside as store.json.damaged; it is written anew\n"
    )
    assert json.loads(path.read_text()) == {"format": 1}
    assert path.with_name("store.json.damaged").read_text() == content


def test_root_comes_from_the_argument_then_the_environment_then_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MIXLAB_RUNS", str(tmp_path / "named"))
    assert Store().root == tmp_path / "named"
    assert Store(tmp_path / "given").root == tmp_path / "given"
    monkeypatch.delenv("MIXLAB_RUNS")
    monkeypatch.setattr("platformdirs.user_cache_path", lambda name: tmp_path / name)
    assert Store().root == tmp_path / "mixlab" / "runs"
    with pytest.raises(TypeError, match=r"^root must be a path, got 3$"):
        mx.runs(3)
