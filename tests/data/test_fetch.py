"""Fetching CIFAR: every source on a small set in the official layout, every failure, and no broken cache after it."""

import errno
import hashlib
import http.server
import io
import os
import pickle
import re
import shutil
import sys
import threading
import time
import types
from dataclasses import replace

import numpy as np
import pytest
import torch
from official_layout import PER_BATCH, Server, batches, holds, largest_file, packed, pickled, visible

from mixlab.data import cache as _cache
from mixlab.data import cifar as _sets
from mixlab.data import download as _download
from mixlab.data import fetch as sources
from mixlab.data import hub as _hub
from mixlab.data import load as data
from mixlab.data.cache import DataError, FolderError


@pytest.fixture
def official():
    """The files of the small set, its archive, and the tensors they hold."""
    parts = batches()
    files = {name: pickled(*part) for name, part in parts.items()}
    train = [parts[name] for name in _sets.CIFAR10.train_files]
    test = parts["test_batch"]
    tensors = {
        "train_images": torch.from_numpy(np.concatenate([images for images, _ in train])).view(-1, 3, 32, 32),
        "train_labels": torch.tensor([label for _, labels in train for label in labels], dtype=torch.uint8),
        "test_images": torch.from_numpy(test[0]).view(-1, 3, 32, 32),
        "test_labels": torch.tensor(test[1], dtype=torch.uint8),
    }
    return types.SimpleNamespace(files=files, archive=packed(files), tensors=tensors)


@pytest.fixture
def server(official):
    handler = type(
        "Handler", (Server,), {"content": official.archive, "cuts": [], "log": [], "hang": threading.Event()}
    )
    http_server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=http_server.serve_forever, args=(0.01,))  # looks for the end every 10 ms
    thread.start()
    handler.url = f"http://127.0.0.1:{http_server.server_address[1]}/cifar-10-python.tar.gz"
    yield handler
    handler.hang.set()
    http_server.shutdown()
    http_server.server_close()
    thread.join()


@pytest.fixture
def small(official, server, monkeypatch):
    """The small set in CIFAR-10's place, the server in the official one's, and a hub that says no."""
    plain = hashlib.sha256(b"".join(official.tensors[name].numpy().tobytes() for name in _sets.TENSORS))
    blocks = [official.tensors["train_images"][i : i + PER_BATCH] for i in range(0, 5 * PER_BATCH, PER_BATCH)]
    spec = replace(
        _sets.CIFAR10,
        sha256=plain.hexdigest(),
        train_count=5 * PER_BATCH,
        test_count=PER_BATCH,
        url=server.url,
        archive_bytes=len(official.archive),
        train_blocks=tuple(hashlib.sha256(block.numpy().tobytes()).hexdigest()[:16] for block in blocks),
    )
    monkeypatch.setitem(_sets.SETS, "cifar10", spec)

    def no_hub(*_):
        raise DataError("no hub in this test")

    monkeypatch.setattr(sources, "download_hub", no_hub)
    return spec


def test_the_server_delivers_once_and_the_cache_afterwards(small, server, official, tmp_path, capsys):
    assert holds(data.load("cifar10", root=tmp_path), official)
    assert visible(tmp_path) == ["cifar10.safetensors"]
    assert capsys.readouterr().out.splitlines() == [
        "mixlab: CIFAR-10 from the Hugging Face hub, uoft-cs/cifar10",
        "mixlab: no hub in this test",
        f"mixlab: CIFAR-10 from {server.url}",
        f"mixlab: CIFAR-10 is proven equal to the official data and kept in {tmp_path}/cifar10.safetensors",
    ]
    assert holds(data.load("cifar10", root=tmp_path), official)
    assert server.log == [0]
    assert capsys.readouterr().out == ""
    assert data.verify("cifar10", tmp_path) == tmp_path / "cifar10.safetensors"


@pytest.mark.parametrize("layout", ["archive in root", "folder in root", "archive", "folder", "parent"])
def test_an_archive_or_folder_already_here_needs_no_network(layout, small, server, official, tmp_path):
    root, here = tmp_path / "root", tmp_path / "here"
    place = root if layout.endswith("root") else here
    place.mkdir()
    if "folder" in layout:
        (place / small.folder).mkdir()
        for name, content in official.files.items():
            (place / small.folder / name).write_bytes(content)
    else:
        (place / small.archive).write_bytes(official.archive)
    source = {"archive": here / small.archive, "folder": here / small.folder, "parent": here}.get(layout)
    assert holds(data.load("cifar10", root=root, source=source), official)
    assert server.log == []


def test_a_broken_connection_is_taken_up_where_it_broke(small, server, official, tmp_path, monkeypatch):
    server.cuts[:] = [150_000, 100_000]
    assert holds(data.load("cifar10", root=tmp_path), official)
    assert server.log == [0, 150_000, 250_000]


def test_a_later_call_goes_on_from_what_an_earlier_one_brought(small, server, official, tmp_path):
    server.cuts[:] = [100_000, 0]
    with pytest.raises(DataError, match=r"the connection broke; 0\.1 MB are kept, and the next try goes on from there"):
        data.load("cifar10", root=tmp_path)
    assert not (tmp_path / "cifar10.safetensors").exists()
    assert holds(data.load("cifar10", root=tmp_path), official)
    assert server.log == [0, 100_000, 100_000]
    assert visible(tmp_path) == ["cifar10.safetensors"]


def test_a_server_without_ranges_sends_everything_again(small, server, official, tmp_path):
    server.ranges = False
    server.cuts[:] = [100_000]
    assert holds(data.load("cifar10", root=tmp_path), official)
    assert server.log == [0, 0]


def test_a_partial_file_longer_than_the_archive_is_begun_again(small, server, official, tmp_path):
    workshop = tmp_path / ".cifar10.fetching"
    workshop.mkdir()
    (workshop / (small.archive + ".partial")).write_bytes(bytes(len(official.archive) + 5))
    assert holds(data.load("cifar10", root=tmp_path), official)
    assert server.log == [len(official.archive) + 5, 0]


def test_a_server_that_stalls_is_given_up_and_the_next_try_works(small, server, official, tmp_path, monkeypatch):
    monkeypatch.setattr(_download, "STALL_SECONDS", 0.3)
    server.stall = 1_000
    begin = time.monotonic()
    with pytest.raises(DataError, match=r"the server sent nothing for 0\.3 s; 0\.0 MB are kept"):
        data.load("cifar10", root=tmp_path)
    assert time.monotonic() - begin < 4
    assert not (tmp_path / "cifar10.safetensors").exists()
    server.stall = None
    assert holds(data.load("cifar10", root=tmp_path), official)
    assert server.log == [0, 1_000]


def test_a_truncated_archive_from_the_server_is_thrown_away(small, server, official, tmp_path):
    server.content = official.archive[: len(official.archive) // 2]
    with pytest.raises(DataError, match="it is cut short or damaged"):
        data.load("cifar10", root=tmp_path)
    assert visible(tmp_path) == []
    server.content = official.archive
    assert holds(data.load("cifar10", root=tmp_path), official)


def test_a_truncated_archive_of_the_users_is_reported_and_left_alone(small, server, official, tmp_path, capsys):
    mine = tmp_path / "mine.tar.gz"
    mine.write_bytes(official.archive[:-5_000])
    assert holds(data.load("cifar10", root=tmp_path, source=mine), official)
    assert f"mixlab: CIFAR-10 from {mine}\nmixlab: it is cut short or damaged" in capsys.readouterr().out
    assert mine.stat().st_size == len(official.archive) - 5_000


def test_a_wrong_digest_is_refused_and_every_source_is_listed(small, server, official, tmp_path):
    wrong = {**official.files, "test_batch": official.files["data_batch_1"]}
    server.content = packed(wrong)
    with pytest.raises(DataError) as caught:
        data.load("cifar10", root=tmp_path)
    lines = str(caught.value).splitlines()
    assert lines[0] == "CIFAR-10 could not be had. Tried, in this order:"
    assert lines[1] == f"  - the cache {tmp_path}/cifar10.safetensors: it is not there"
    assert lines[2] == "  - the Hugging Face hub, uoft-cs/cifar10: no hub in this test"
    assert re.fullmatch(
        rf"  - {re.escape(server.url)}: its images or labels are not the official ones: "
        rf"sha256 [0-9a-f]{{64}}, not {small.sha256}",
        lines[3],
    )
    assert lines[4] == (
        "What helps: a network and another try; or cifar-10-python.tar.gz (or the folder cifar-10-batches-py) put into "
        f"{tmp_path} or named by source=. load('shapes') needs neither."
    )
    assert visible(tmp_path) == []
    server.content = official.archive
    assert holds(data.load("cifar10", root=tmp_path), official)


def test_missing_batches_and_pickles_that_call_functions_are_refused(small, server, official, tmp_path):
    def reason(files):
        server.content = packed(files)
        with pytest.raises(DataError) as caught:
            data.load("cifar10", root=tmp_path)
        return str(caught.value).splitlines()[3].removeprefix(f"  - {server.url}: ")

    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "owned"),)

    evil = pickle.dumps({b"data": Evil(), b"labels": []}, protocol=2)
    assert reason({**official.files, "data_batch_3": evil}) == (
        "its data_batch_3 is no CIFAR batch (it asks for posix.mkdir, which no CIFAR batch needs)"
    )
    assert not (tmp_path / "owned").exists()
    assert reason({n: c for n, c in official.files.items() if n != "data_batch_2"}) == "it lacks data_batch_2"
    short = pickled(np.zeros((3, 3072), np.uint8), [0, 1, 2])
    assert reason({**official.files, "test_batch": short}) == (
        "its test_images have shape [3, 3, 32, 32], not [20, 3, 32, 32]"
    )


def test_batches_written_by_python_2_are_read(small):
    from mixlab.data.official_layout import _batch

    images = np.arange(6144, dtype=np.uint8).reshape(2, 3072)
    raw = images.tobytes()
    # The opcodes that Python 2 and its numpy wrote: byte strings as SHORT_BINSTRING and BINSTRING, old module names.
    state = b"(K\x01K\x02M\x00\x0c\x86cnumpy\ndtype\n(U\x02u1K\x00K\x01tR"
    state += b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    array = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85U\x01btR"
    array += state + b"\x89T" + len(raw).to_bytes(4, "little") + raw + b"tb"
    content = b"\x80\x02}(U\x04data" + array + b"U\x06labels](K\x06K\x09eu."
    found, labels = _batch(small, "data_batch_1", content)
    assert torch.equal(found, torch.from_numpy(images).view(2, 3, 32, 32))
    assert labels.tolist() == [6, 9]


def test_a_full_disk_is_seen_before_anything_is_fetched(small, server, official, tmp_path, monkeypatch):
    usage = types.SimpleNamespace(free=100_000)
    monkeypatch.setattr(_cache.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(FolderError) as caught:
        data.load("cifar10", root=tmp_path)
    assert str(caught.value) == (
        f"the data folder {tmp_path} has 0 MB free, and 0 MB are needed; free some space, or name another folder by "
        "root= or the environment variable MIXLAB_DATA"
    )
    assert server.log == []
    assert visible(tmp_path) == []


@pytest.mark.parametrize("what", ["download", "cache"])
def test_a_disk_that_fills_midway_leaves_nothing_behind(what, small, server, official, tmp_path):
    root, here = tmp_path / "root", tmp_path / small.archive
    here.write_bytes(official.archive)
    source = here if what == "cache" else None
    with largest_file(200_000), pytest.raises(FolderError) as caught:
        data.load("cifar10", root=root, source=source)
    assert os.strerror(errno.EFBIG) in str(caught.value)
    assert visible(root) == []
    assert holds(data.load("cifar10", root=root, source=source), official)


def test_a_folder_that_cannot_be_made_is_named(small, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(FolderError) as caught:
        data.load("cifar10", root=tmp_path / "file" / "deeper")
    assert str(caught.value) == (
        f"the data folder {tmp_path}/file/deeper cannot be written: Not a directory; free some space, or name another "
        "folder by root= or the environment variable MIXLAB_DATA"
    )


@pytest.mark.parametrize("damage", ["truncated", "empty", "text", "other digest", "other tensors"])
def test_a_damaged_cache_is_never_used_and_is_replaced(damage, small, server, official, tmp_path, capsys):
    data.load("cifar10", root=tmp_path)
    path = tmp_path / "cifar10.safetensors"
    whole = path.read_bytes()
    if damage == "other digest":
        path.write_bytes(whole.replace(small.sha256.encode(), b"0" * 64))
    elif damage == "other tensors":
        from safetensors.torch import save_file

        save_file({"images": torch.zeros(3)}, path, {"sha256": small.sha256})
    else:
        path.write_bytes({"truncated": whole[:-100], "empty": b"", "text": b"not a cache" * 9}[damage])
    assert not data.is_cached("cifar10", tmp_path)
    with pytest.raises(DataError, match=rf"^{path} is damaged: .* Delete it; the next load fetches it again$"):
        data.verify("cifar10", tmp_path)
    capsys.readouterr()
    assert data._choose(tmp_path) == "shapes"
    assert f"because {path} is damaged" in capsys.readouterr().out
    assert holds(data.load("cifar10", root=tmp_path), official)
    assert "it will be replaced" in capsys.readouterr().out
    assert data.verify("cifar10", tmp_path) == path


def test_flipped_bytes_are_found_by_verify(small, tmp_path):
    data.load("cifar10", root=tmp_path)
    path = tmp_path / "cifar10.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\xff")
    with pytest.raises(DataError, match="is damaged: its sha256 is"):
        data.verify("cifar10", tmp_path)


def test_a_second_process_does_not_fetch_at_the_same_time(small, tmp_path):
    from filelock import FileLock

    with FileLock(tmp_path / ".cifar10.lock"), pytest.raises(DataError) as caught:
        data.load("cifar10", root=tmp_path)
    assert str(caught.value) == f"CIFAR-10 is being fetched into {tmp_path} by another process; wait for it"


def hub_files(small, official, folder, order=(3, 2, 1, 4, 0)):
    """The small set as the hub keeps it: PNG pictures in parquet, training batches in the archive's order."""
    import pyarrow as pa
    import pyarrow.parquet as parquet
    from PIL import Image

    def png(image):
        buffer = io.BytesIO()
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(buffer, format="PNG")
        return {"bytes": buffer.getvalue(), "path": None}

    rows = torch.cat([torch.arange(PER_BATCH) + PER_BATCH * i for i in order])
    for file, images, labels in (
        (small.hub_train, official.tensors["train_images"][rows], official.tensors["train_labels"][rows]),
        (small.hub_test, official.tensors["test_images"], official.tensors["test_labels"]),
    ):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        table = pa.table({"img": [png(image) for image in images], "label": labels.tolist()})
        parquet.write_table(table, folder / file)


@pytest.fixture
def hub(small, official, tmp_path, monkeypatch):
    """A stand-in for the hub's client that copies from a folder."""
    shelf = tmp_path / "shelf"
    hub_files(small, official, shelf)
    asked = []

    def hf_hub_download(repo, file, *, repo_type, local_dir):
        asked.append((repo, file, repo_type))
        (local_dir / file).parent.mkdir(parents=True, exist_ok=True)
        return shutil.copy(shelf / file, local_dir / file)

    module = types.ModuleType("huggingface_hub")
    module.hf_hub_download = hf_hub_download
    module.constants = types.SimpleNamespace(ENDPOINT=small.url)
    monkeypatch.setitem(sys.modules, "huggingface_hub", module)
    monkeypatch.setattr(sources, "download_hub", _hub.download_hub)
    return types.SimpleNamespace(shelf=shelf, asked=asked, module=module)


def test_the_hubs_copy_is_put_into_the_official_order(hub, small, official, server, tmp_path):
    assert holds(data.load("cifar10", root=tmp_path / "root"), official)
    assert hub.asked == [(small.hub_repo, file, "dataset") for file in (small.hub_train, small.hub_test)]
    assert visible(tmp_path / "root") == ["cifar10.safetensors"]


@pytest.mark.parametrize("trouble", ["truncated", "shuffled", "unreachable", "refused", "not installed"])
def test_when_the_hub_fails_the_server_is_next(trouble, hub, small, official, tmp_path, monkeypatch, capsys):
    if trouble == "truncated":
        path = hub.shelf / small.hub_train
        path.write_bytes(path.read_bytes()[:-40_000])
    elif trouble == "shuffled":
        hub_files(small, replace_images(official), hub.shelf)
    elif trouble == "unreachable":
        hub.module.constants.ENDPOINT = "http://127.0.0.1:9/"
    elif trouble == "refused":
        hub.module.hf_hub_download = lambda *_, **__: 1 / 0
    else:
        monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert holds(data.load("cifar10", root=tmp_path / "root"), official)
    said = capsys.readouterr().out.splitlines()[1]
    assert said.startswith(
        {
            "truncated": "mixlab: train-00000-of-00001.parquet cannot be decoded (",
            "shuffled": "mixlab: its images or labels are not the official ones",
            "unreachable": "mixlab: http://127.0.0.1:9/ cannot be reached (",
            "refused": "mixlab: division by zero",
            "not installed": "mixlab: it needs another package (",
        }[trouble]
    )
    assert visible(tmp_path / "root") == ["cifar10.safetensors"]


def replace_images(official):
    return types.SimpleNamespace(
        tensors={**official.tensors, "train_images": official.tensors["train_images"].roll(1, 0)}
    )
