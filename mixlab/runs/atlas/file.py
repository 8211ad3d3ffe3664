"""The file of the atlas: one safetensors file, read without running code."""

import json
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from mixlab._files import first_line, write_whole
from mixlab.calibration.reliability import Reliability
from mixlab.runs.atlas.atlas_run import AtlasRun

HERE = Path(__file__).parent / "atlas.safetensors"
_FORMAT = 3
_FAULTS = 4  # the last numbers of a Reliability's state, which count rows that cannot be read: here there are none


class AtlasError(RuntimeError):
    """A file that is no atlas, or is damaged; the message names it."""


def write(path: Path, runs: Sequence[AtlasRun]) -> None:
    """Replace the file by one that holds these runs, in the order of their ids."""
    ordered = sorted(runs, key=lambda run: run.id)
    rows = [
        {"id": run.id, **run.settings, "temperature": run.temperature, "seconds": round(run.seconds, 2)}
        | {"forwards": run.forwards, "records": len(run.curve), "made": dict(run.made)}
        for run in ordered
    ]
    tensors = {
        "curve": torch.cat([run.curve for run in ordered]),
        "raw": torch.stack([_state(run.raw) for run in ordered]),
        "tempered": torch.stack([_state(run.tempered) for run in ordered]),
    }
    text = json.dumps(rows, ensure_ascii=False, separators=(",", ":"))
    metadata = {"format": str(_FORMAT), "runs": text, "digest": _digest(text, tensors)}
    write_whole(path, save(tensors, metadata=metadata))


def read(path: Path) -> list[AtlasRun]:
    """The runs of a file.

    Raises:
        FileNotFoundError: there is none.
        AtlasError: it is no atlas, or damaged.
    """
    if not path.exists():
        raise FileNotFoundError(f"no atlas at {path}")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != str(_FORMAT):
                raise AtlasError(f"{path} is no atlas of format {_FORMAT}, which this mixlab reads")
            tensors = {name: file.get_tensor(name) for name in ("curve", "raw", "tempered")}
        if metadata["digest"] != _digest(metadata["runs"], tensors):
            raise AtlasError(f"{path} is damaged: its bytes are not those that were written")
        rows: list[dict[str, Any]] = json.loads(metadata["runs"])
        curves = tensors["curve"].split([row.pop("records") for row in rows])
        parts = zip(rows, curves, tensors["raw"], tensors["tempered"], strict=True)
        return [AtlasRun(**row, curve=c, raw=_reliability(r), tempered=_reliability(t)) for row, c, r, t in parts]
    except (SafetensorError, OSError, KeyError, AttributeError, TypeError, ValueError, RuntimeError) as error:
        if isinstance(error, AtlasError):
            raise
        raise AtlasError(f"{path} is damaged: {first_line(error)}") from None


def _digest(text: str, tensors: Mapping[str, Tensor]) -> str:
    """What any change of the file's content changes."""
    digest = blake2b(text.encode(), digest_size=16)
    for tensor in tensors.values():
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()


def _state(held: Reliability) -> Tensor:
    return held.state[:-_FAULTS].float()


def _reliability(state: Tensor) -> Reliability:
    return Reliability.from_state(torch.cat([state.double(), torch.zeros(_FAULTS, dtype=torch.float64, device="cpu")]))
