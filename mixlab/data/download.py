"""A download that shows its progress, goes on where it broke off, and does not wait for a silent server."""

import http.client
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from mixlab._files import first_line
from mixlab.data.cache import ELSEWHERE, DataError, FolderError

STALL_SECONDS = 30.0
"""How long a server may send nothing."""

PROGRESS_BYTES = 50_000
"""What a broken connection must have brought for another one to be tried."""

_BLOCK = 1 << 16


def download(url: str, target: Path) -> None:
    """Fetch `url` into `target`; what has come is kept beside it as `.partial`, for this call and for later ones.

    A connection that breaks is opened again, from the byte where it broke, as long as each brings something.

    Raises DataError when the server cannot be reached, refuses, or sends nothing for `STALL_SECONDS`, and FolderError
    when the bytes cannot be written (what had come is removed then).
    """
    from tqdm.auto import tqdm  # loads ipywidgets where it is installed

    if target.exists():
        return
    partial = target.with_name(target.name + ".partial")
    with tqdm(desc=target.name, unit="B", unit_scale=True) as bar:
        while True:
            before = _size(partial)
            try:
                if _go_on(url, partial, bar):
                    break
                reason = "the connection broke"
            except (OSError, http.client.HTTPException) as error:
                reason = _why(error)
                if getattr(error, "code", None) == 416 and before:
                    partial.unlink()  # longer than the file is now: begin again
                    continue
            if _size(partial) < before + PROGRESS_BYTES:
                kept = f"; {_size(partial) / 1e6:,.1f} MB are kept, and the next try goes on from there"
                raise DataError(reason + kept * (_size(partial) > 0))
    partial.replace(target)


def _go_on(url: str, partial: Path, bar: Any) -> bool:
    """Append what one connection brings to `partial`; True if the file is whole then."""
    have = _size(partial)
    headers = {"User-Agent": "mixlab"} | ({"Range": f"bytes={have}-"} if have else {})
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 (the addresses are those of _sets)
    with urllib.request.urlopen(request, timeout=STALL_SECONDS) as response:  # noqa: S310
        if response.status != 206:  # a server without ranges sends the whole file again
            have = 0
        length = response.headers["Content-Length"]
        total = None if length is None else have + int(length)
        bar.total, bar.n = total, have
        bar.refresh()
        mode = "ab" if have else "wb"
        while block := response.read1(_BLOCK):
            _append(partial, block, mode)
            mode = "ab"
            bar.update(len(block))
    return total is None or _size(partial) >= total


def _append(partial: Path, block: bytes, mode: str) -> None:
    """Write one block at once, so that what is counted as kept is in the file."""
    try:
        with partial.open(mode) as file:
            file.write(block)
    except OSError as error:
        partial.unlink(missing_ok=True)
        reason = error.strerror or first_line(error)
        raise FolderError(f"{partial} cannot be written: {reason}. The download was removed; {ELSEWHERE}") from None


def _why(error: Exception) -> str:
    reason = getattr(error, "reason", error)
    if isinstance(error, TimeoutError) or isinstance(reason, TimeoutError):
        return f"the server sent nothing for {STALL_SECONDS:g} s"
    if isinstance(error, urllib.error.HTTPError):
        return f"the server answered {error.code} ({error.reason})"
    return f"the connection failed ({reason})"


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
