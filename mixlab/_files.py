"""Files that are either whole or absent, even after a crash."""

import os
from contextlib import suppress
from pathlib import Path


def write_whole(path: Path, content: bytes) -> None:
    """Replace a file as a whole: write a temporary file beside it, flush that to disk, then rename it.

    The name is on disk, too, when this returns. A killed process leaves `partial_of(path)`; the next write replaces it.
    Raises OSError if the file cannot be written; the temporary file is removed.
    """
    partial = partial_of(path)
    try:
        # A plain file, not one of tempfile: it gets the user's usual permissions, so a class can share it.
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        flush_folder(path.parent)
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def flush_folder(folder: Path) -> None:
    """Flush the names in a folder to disk, so that no later change reaches the disk before them."""
    with suppress(OSError):  # not every system can flush a folder
        file = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(file)
        finally:
            os.close(file)


def partial_of(path: Path) -> Path:
    """The temporary file that `write_whole` renames."""
    return path.with_name(f".{path.name}.partial")


def first_line(error: BaseException) -> str:
    """The first line of an exception's message, or its type if it has none."""
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
