"""What the message about a wrong argument says: its name, what is allowed, what came; not in which sentence."""

from collections.abc import Callable

import pytest


def refuses(call: Callable[[], object], error: type[Exception], argument: str, *words: str) -> None:
    """The call raises exactly `error`, and its message begins with the argument and holds all the words."""
    with pytest.raises(error) as caught:
        call()
    message = str(caught.value)
    assert type(caught.value) is error
    assert message.startswith(f"{argument} "), message
    assert not [word for word in words if word not in message], message


def each_refused(*rows: tuple[Callable[[], object], str]) -> Callable[..., None]:
    """A test for each of these calls: it raises TypeError or ValueError, whose message begins with the pattern."""

    @pytest.mark.parametrize(("call", "message"), rows)
    def test(call: Callable[[], object], message: str) -> None:
        with pytest.raises((TypeError, ValueError), match=f"^{message}"):
            call()

    return test
