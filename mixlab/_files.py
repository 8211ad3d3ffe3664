"""Files that are whole or absent, also after a crash."""

import os
from contextlib import suppress
from pathlib import Path


def write_whole(path: Path, content: bytes) -> None:
    """Write a file that is either whole or as it was: a temporary file beside it, flushed to disk, then renamed.

    Its name is on disk when this returns.
    What is left of one whose process was killed is `partial_of(path)`, and the next write goes over it.
    Raises OSError if the file cannot be written; the temporary file is removed.
    """
    partial = partial_of(path)
    try:
        # Bytes first and a plain file then: the file gets the user's usual permissions, so a class can share it.
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
    """Have the names in a folder on disk, so that what is renamed, made or removed later is so later there too."""
    with suppress(OSError):  # not every system takes this of a folder
        file = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(file)
        finally:
            os.close(file)


def partial_of(path: Path) -> Path:
    """Where `write_whole` writes before it renames."""
    return path.with_name(f".{path.name}.partial")


def first_line(error: BaseException) -> str:
    """What an exception says, in one line."""
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
