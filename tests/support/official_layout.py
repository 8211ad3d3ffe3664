"""A small set in the official layout."""

import io
import pickle
import resource
import tarfile
from contextlib import contextmanager

import numpy as np
import torch

from mixlab.data import cifar

PER_BATCH = 20


def batches():
    rng = np.random.default_rng(3)
    names = (*cifar.CIFAR10.train_files, *cifar.CIFAR10.test_files)
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
