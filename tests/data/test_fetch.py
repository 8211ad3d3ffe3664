"""Fetching CIFAR: both sources on a small set, every failure, and no broken cache after it. No network is asked."""

import errno
import hashlib
import io
import os
import pickle
import sys
import types
from dataclasses import replace

import numpy as np
import pytest
import torch
from official_layout import PER_BATCH, batches, holds, largest_file, packed, pickled, visible

from mixlab.data import cache, cifar
from mixlab.data import load as data
from mixlab.data.cache import DataError, FolderError
from mixlab.data.cifar_archive import _batch


@pytest.fixture
def official():
    """The files of the small set, its archive, and the tensors they hold."""
    parts = batches()
    files = {name: pickled(*part) for name, part in parts.items()}
    train = [parts[name] for name in cifar.CIFAR10.train_files]
    test = parts["test_batch"]
    tensors = {
        "train_images": torch.from_numpy(np.concatenate([images for images, _ in train])).view(-1, 3, 32, 32),
        "train_labels": torch.tensor([label for _, labels in train for label in labels], dtype=torch.uint8),
        "test_images": torch.from_numpy(test[0]).view(-1, 3, 32, 32),
        "test_labels": torch.tensor(test[1], dtype=torch.uint8),
    }
    return types.SimpleNamespace(files=files, archive=packed(files), tensors=tensors)


@pytest.fixture
def small(official, monkeypatch):
    """The small set in CIFAR-10's place."""
    plain = hashlib.sha256(b"".join(official.tensors[name].numpy().tobytes() for name in cifar.TENSORS))
    blocks = [official.tensors["train_images"][i : i + PER_BATCH] for i in range(0, 5 * PER_BATCH, PER_BATCH)]
    spec = replace(
        cifar.CIFAR10,
        sha256=plain.hexdigest(),
        train_count=5 * PER_BATCH,
        test_count=PER_BATCH,
        download_bytes=len(official.archive),
        train_blocks=tuple(hashlib.sha256(block.numpy().tobytes()).hexdigest()[:16] for block in blocks),
    )
    monkeypatch.setitem(cifar.SETS, "cifar10", spec)
    return spec


def hub_files(small, tensors, folder, order=(3, 2, 1, 4, 0)):
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
        (small.hub_train, tensors["train_images"][rows], tensors["train_labels"][rows]),
        (small.hub_test, tensors["test_images"], tensors["test_labels"]),
    ):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        table = pa.table({"img": [png(image) for image in images], "label": labels.tolist()})
        parquet.write_table(table, folder / file)


@pytest.fixture(autouse=True)
def hub(small, official, tmp_path_factory, monkeypatch):
    """A stand-in for the hub's client: it copies from a folder, and notes what was asked."""
    shelf = tmp_path_factory.mktemp("shelf")
    hub_files(small, official.tensors, shelf)
    asked = []

    def hf_hub_download(repo, file, *, repo_type, local_dir):
        asked.append((repo, file, repo_type))
        (local_dir / file).parent.mkdir(parents=True, exist_ok=True)
        (local_dir / file).write_bytes((shelf / file).read_bytes())
        return local_dir / file

    module = types.ModuleType("huggingface_hub")
    module.hf_hub_download = hf_hub_download
    module.constants = types.SimpleNamespace(ENDPOINT=f"file://{shelf}/{small.hub_test}")
    monkeypatch.setitem(sys.modules, "huggingface_hub", module)
    return types.SimpleNamespace(shelf=shelf, asked=asked, module=module)


def refused(root, *words, error=DataError, source=None):
    """The message of a load that fails, which holds these words."""
    with pytest.raises(error) as caught:
        data.load("cifar10", root=root, source=source)
    message = str(caught.value)
    assert not [word for word in words if word not in message], message
    return message


def test_the_hub_delivers_once_in_the_official_order_and_the_cache_afterwards(small, hub, official, tmp_path, capsys):
    assert holds(data.load("cifar10", root=tmp_path), official)
    assert hub.asked == [(small.hub_repo, file, "dataset") for file in (small.hub_train, small.hub_test)]
    assert visible(tmp_path) == ["cifar10.safetensors"]
    source, proof = capsys.readouterr().out.splitlines()
    assert small.hub_repo in source
    assert f"{tmp_path}/cifar10.safetensors" in proof
    assert holds(data.load("cifar10", root=tmp_path), official)
    assert len(hub.asked) == 2
    assert capsys.readouterr().out == ""
    assert data.verify("cifar10", tmp_path) == tmp_path / "cifar10.safetensors"


@pytest.mark.parametrize(
    ("trouble", "reason"),
    [
        ("truncated", "train-00000-of-00001.parquet cannot be decoded ("),
        ("shuffled", "its images or labels are not the official ones"),
        ("unreachable", "http://127.0.0.1:9/ cannot be reached ("),
        ("refused", "division by zero"),
        ("not installed", "pip install 'mixlab[hub]'"),
    ],
)
def test_when_the_hub_fails_the_message_says_why_and_the_way_out(
    trouble, reason, hub, small, official, tmp_path, monkeypatch
):
    with monkeypatch.context() as patch:
        if trouble == "truncated":
            path = hub.shelf / small.hub_train
            path.write_bytes(path.read_bytes()[:-40_000])
        elif trouble == "shuffled":
            tensors = {**official.tensors, "train_images": official.tensors["train_images"].roll(1, 0)}
            hub_files(small, tensors, hub.shelf)
        elif trouble == "unreachable":
            patch.setattr(hub.module.constants, "ENDPOINT", "http://127.0.0.1:9/")
        elif trouble == "refused":
            patch.setattr(hub.module, "hf_hub_download", lambda *_, **__: 1 / 0)
        else:
            patch.setitem(sys.modules, "huggingface_hub", None)
        refused(tmp_path, reason, "it is not there", small.url, small.folder, str(tmp_path), "source=")
    assert visible(tmp_path) == []
    hub_files(small, official.tensors, hub.shelf)
    assert holds(data.load("cifar10", root=tmp_path), official)


@pytest.mark.parametrize("layout", ["archive in root", "folder in root", "archive", "folder", "parent"])
def test_an_archive_or_folder_already_here_needs_no_network(layout, small, hub, official, tmp_path):
    root, elsewhere = tmp_path / "root", tmp_path / "elsewhere"
    place = root if layout.endswith("root") else elsewhere
    place.mkdir()
    if "folder" in layout:
        (place / small.folder).mkdir()
        for name, content in official.files.items():
            (place / small.folder / name).write_bytes(content)
    else:
        (place / small.archive).write_bytes(official.archive)
    source = {"archive": elsewhere / small.archive, "folder": elsewhere / small.folder, "parent": elsewhere}.get(layout)
    assert holds(data.load("cifar10", root=root, source=source), official)
    assert hub.asked == []


def test_a_truncated_archive_of_the_users_is_reported_and_left_alone(official, tmp_path, capsys):
    mine = tmp_path / "mine.tar.gz"
    mine.write_bytes(official.archive[:-5_000])
    assert holds(data.load("cifar10", root=tmp_path, source=mine), official)
    assert f"mixlab: CIFAR-10 from {mine}\nmixlab: it is cut short or damaged" in capsys.readouterr().out
    assert mine.stat().st_size == len(official.archive) - 5_000


class Evil:
    def __reduce__(self):
        return os.mkdir, ("owned",)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("test_batch", "data_batch_1", "its images or labels are not the official ones: sha256 "),
        ("data_batch_3", pickle.dumps({b"data": Evil(), b"labels": []}, protocol=2), "it asks for posix.mkdir"),
        ("data_batch_2", None, "it lacks data_batch_2"),
        ("test_batch", pickled(np.zeros((3, 3072), np.uint8), [0, 1, 2]), "[3, 3, 32, 32], not [20, 3, 32, 32]"),
    ],
)
def test_a_wrong_archive_is_refused(name, content, reason, hub, official, tmp_path, monkeypatch):
    """Other bytes, a pickle that calls a function, a missing batch, a short one."""
    monkeypatch.chdir(tmp_path)
    hub.module.hf_hub_download = lambda *_, **__: 1 / 0
    files = {**official.files, name: official.files.get(content, content)}
    mine = tmp_path / "mine.tar.gz"
    mine.write_bytes(packed({name: content for name, content in files.items() if content is not None}))
    message = refused(tmp_path, source=mine)
    assert reason in next(line for line in message.splitlines() if f"{mine}: " in line)
    assert visible(tmp_path) == ["mine.tar.gz"]
    assert not (tmp_path / "owned").exists()


def test_batches_written_by_python_2_are_read(small):
    images = np.arange(6144, dtype=np.uint8).reshape(2, 3072)
    raw = images.tobytes()
    # The opcodes that Python 2 and its numpy wrote: byte strings as SHORT_BINSTRING and BINSTRING, old module names.
    state = b"(K\x01K\x02M\x00\x0c\x86cnumpy\ndtype\n(U\x02u1K\x00K\x01tR"
    state += b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    array = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85U\x01btR"
    array += state + b"\x89T" + len(raw).to_bytes(4, "little") + raw + b"tb"
    content = b"\x80\x02}(U\x04data" + array + b"U\x06labels](K\x06K\x09eu."
    decoded, labels = _batch(small, "data_batch_1", content)
    assert torch.equal(decoded, torch.from_numpy(images).view(2, 3, 32, 32))
    assert labels.tolist() == [6, 9]


def test_a_full_disk_is_seen_before_anything_is_fetched(hub, tmp_path, monkeypatch):
    usage = types.SimpleNamespace(free=100_000)
    monkeypatch.setattr(cache.shutil, "disk_usage", lambda _: usage)
    refused(tmp_path, str(tmp_path), "0 MB free", "root=", "MIXLAB_DATA", error=FolderError)
    assert hub.asked == []
    assert visible(tmp_path) == []


def test_a_disk_that_fills_midway_leaves_nothing_behind(small, official, tmp_path):
    root, mine = tmp_path / "root", tmp_path / small.archive
    mine.write_bytes(official.archive)
    with largest_file(200_000):
        refused(root, os.strerror(errno.EFBIG), error=FolderError, source=mine)
    assert visible(root) == []
    assert holds(data.load("cifar10", root=root, source=mine), official)


def test_a_folder_that_cannot_be_made_is_named(small, tmp_path):
    (tmp_path / "file").write_text("in the way")
    deeper = tmp_path / "file" / "deeper"
    refused(deeper, str(deeper), "Not a directory", "root=", error=FolderError)


@pytest.mark.parametrize("damage", ["truncated", "empty", "text", "other digest", "other tensors"])
def test_a_damaged_cache_is_never_used_and_is_replaced(damage, small, official, tmp_path, capsys):
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

    with FileLock(tmp_path / ".cifar10.lock"):
        refused(tmp_path, "CIFAR-10 is being fetched")
