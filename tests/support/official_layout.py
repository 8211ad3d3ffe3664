"""A small set in the official layout, and a server for it that can misbehave."""

import http.server
import io
import pickle
import re
import resource
import tarfile
from contextlib import contextmanager

import numpy as np
import torch

from mixlab.data import cifar as _sets

PER_BATCH = 20


def batches():
    rng = np.random.default_rng(3)
    names = (*_sets.CIFAR10.train_files, *_sets.CIFAR10.test_files)
    return {
        name: (rng.integers(0, 256, (PER_BATCH, 3072), dtype=np.uint8), [int(i) % 10 for i in rng.permutation(20)])
        for name in names
    }


def pickled(images, labels):
    return pickle.dumps({b"data": images, b"labels": labels, b"batch_label": b"some"}, protocol=2)


def packed(files):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


class Server(http.server.BaseHTTPRequestHandler):
    """Serves `content`; `cuts` says after how many bytes each connection breaks, `stall` after how many it hangs."""

    content, cuts, stall, ranges, log = b"", [], None, True, []

    def do_GET(self):
        kind = type(self)
        asked = self.headers.get("Range")
        start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1]) if asked and kind.ranges else 0
        kind.log.append(start)
        if start and start >= len(kind.content):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(kind.content) - start))
        self.end_headers()
        part = kind.content[start:]
        if kind.stall is not None:
            self.wfile.write(part[: kind.stall])
            self.wfile.flush()
            kind.hang.wait(5)
        else:
            self.wfile.write(part[: kind.cuts.pop(0)] if kind.cuts else part)

    def log_message(self, *_):
        pass


def holds(dataset, official):
    return (
        torch.equal(dataset.train.images, official.tensors["train_images"])
        and torch.equal(dataset.train.labels, official.tensors["train_labels"].long())
        and torch.equal(dataset.test.images, official.tensors["test_images"])
        and torch.equal(dataset.test.labels, official.tensors["test_labels"].long())
    )


def visible(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock")


@contextmanager
def largest_file(size):
    """The operating system lets no file grow beyond `size` bytes, as on a full disk."""
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, old[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
