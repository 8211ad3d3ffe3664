"""What the message about a wrong argument says: its name, what is allowed, what came; not in which sentence."""

from collections.abc import Callable
from typing import Any

import pytest


def refuses(call: Callable[[], object], error: type[Exception], argument: str, *words: str) -> None:
    """The call raises exactly `error`, and its message begins with the argument and holds all the words."""
    with pytest.raises(error) as caught:
        call()
    message = str(caught.value)
    assert type(caught.value) is error
    assert message.startswith(f"{argument} "), message
    assert not [word for word in words if word not in message], message


def each_refused(*rows: tuple[Any, ...]) -> Callable[..., None]:
    """A test for each row: a call, and what `refuses` takes after it, or how the message of its refusal begins.

    Such a pattern is for a TypeError or a ValueError.
    """

    @pytest.mark.parametrize("row", rows)
    def test(row: tuple[Any, ...]) -> None:
        call, *said = row
        if len(said) > 1:
            refuses(call, *said)
        else:
            with pytest.raises((TypeError, ValueError), match=f"^{said[0]}"):
                call()

    return test
