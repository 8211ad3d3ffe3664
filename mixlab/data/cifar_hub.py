"""The Hugging Face hub's copy of CIFAR: PNG pictures in parquet files, fetched by the hub's own client."""

import hashlib
import io
import urllib.error
import urllib.request
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mixlab._files import first_line
from mixlab.data.cache import DataError
from mixlab.data.cifar import SetSpec

REACH_SECONDS = 10.0
"""How long the hub may take to answer at all."""


def download_hub(spec: SetSpec, folder: Path) -> tuple[Path, Path]:
    """Download the training and the test file into `folder` and return their paths; the client resumes by itself.

    Raises DataError if the client is not installed (an extra of mixlab) or does not deliver.
    """
    try:
        import_module("pyarrow.parquet")  # checked first: without it the download would be in vain
        from huggingface_hub import constants, hf_hub_download
    except ImportError as error:
        raise DataError(f"it needs another package ({error}): pip install 'mixlab[hub]'") from None
    try:
        # The client tries for 23 s where there is no network; one question first, to which any answer will do.
        with suppress(urllib.error.HTTPError):
            urllib.request.urlopen(constants.ENDPOINT, timeout=REACH_SECONDS).close()  # noqa: S310
    except OSError as error:
        raise DataError(f"{constants.ENDPOINT} cannot be reached ({getattr(error, 'reason', error)})") from None
    try:
        train, test = (
            hf_hub_download(spec.hub_repo, file, repo_type="dataset", local_dir=folder)
            for file in (spec.hub_train, spec.hub_test)
        )
    except Exception as error:  # noqa: BLE001 (the client lets its HTTP library's exceptions through)
        raise DataError(first_line(error)) from None
    return Path(train), Path(test)


def read_hub(spec: SetSpec, train: Path, test: Path) -> dict[str, Tensor]:
    """Decode the two parquet files into the four uint8 tensors, in the official order.

    Raises DataError if a file is damaged or does not hold the expected columns.
    """
    from tqdm.auto import tqdm  # loads ipywidgets where it is installed

    with tqdm(desc=f"decoding {spec.title}", total=spec.train_count + spec.test_count, unit=" images") as bar:
        train_images, train_labels = _decode(spec, train, bar)
        test_images, test_labels = _decode(spec, test, bar)
    order = _official_order(spec, train_images)
    return {
        "train_images": train_images[order],
        "train_labels": train_labels[order],
        "test_images": test_images,
        "test_labels": test_labels,
    }


def _decode(spec: SetSpec, path: Path, bar: Any) -> tuple[Tensor, Tensor]:
    from PIL import Image

    parquet = import_module("pyarrow.parquet")
    images: list[np.ndarray[Any, Any]] = []
    labels: list[int] = []
    try:
        with parquet.ParquetFile(path) as file:
            for rows in file.iter_batches(batch_size=1000, columns=["img", spec.hub_label]):
                for content in rows.column("img").field("bytes").to_pylist():
                    with Image.open(io.BytesIO(content)) as picture:
                        images.append(np.asarray(picture.convert("RGB")).transpose(2, 0, 1))
                labels += rows.column(spec.hub_label).to_pylist()
                bar.update(rows.num_rows)
        return torch.from_numpy(np.ascontiguousarray(np.stack(images))), torch.from_numpy(np.array(labels, np.uint8))
    except Exception as error:  # noqa: BLE001 (a damaged file may fail in any way, in three libraries)
        raise DataError(f"{path.name} cannot be decoded ({first_line(error)})") from None


def _official_order(spec: SetSpec, images: Tensor) -> Tensor:
    """Return the indices that put the training batches in the official order.

    Copies made by walking through the official archive hold the batches as they lie there (4, 3, 2, 5, 1), so each
    batch is recognized by its digest. Where one is not, the order stays, and the set's digest
    will not match.
    """
    indices = torch.arange(len(images), device="cpu")
    if len(images) % len(spec.train_blocks):
        return indices
    blocks = indices.view(len(spec.train_blocks), -1)
    by_digest = {hashlib.sha256(images[block].numpy().data).hexdigest()[:16]: block for block in blocks}
    if set(by_digest) != set(spec.train_blocks):
        return indices
    return torch.cat([by_digest[name] for name in spec.train_blocks])
