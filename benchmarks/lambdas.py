"""What the page says of each library's λ: its law at each α, and whose weight it is."""

from collections.abc import Iterable
from typing import Any

from rows import Row

LAWS, CONVENTIONS = "λ, law", "λ, convention"
KEPT = "none is handed back"
RIGHT = "as Beta"  # what `laws.py` calls a sample of the law that was asked for


def table_of_laws(rows: list[Row]) -> list[Row]:
    """A line for each sampler, a column for each α."""
    return [{"by": by, **{f"α = {alpha:g}": law for alpha, law in laws.items()}} for by, laws in _samplers(rows)]


def told(name: str, content: Row) -> str:
    """The law of a library's λ in a few words, and whose weight that λ is, where it hands one back."""
    weights = (row["lam_weights"] for row in content.get("conventions", ()) if row["peer"]["name"] == name)
    whose = " or ".join(dict.fromkeys(words.removeprefix("the ") for words in weights if words != KEPT))
    return ", of ".join(filter(None, [_law(name, content.get("laws", ())), whose]))


def _law(name: str, rows: Iterable[Row]) -> str:
    """What all samplers of a library have at the largest α, and down to which."""
    found = [laws for by, laws in _samplers(rows) if by["name"] == name]
    if not found:
        return ""
    alphas = sorted(found[0], reverse=True)
    law, least = found[0][alphas[0]], alphas[0]
    for alpha in alphas:
        if any(laws[alpha] not in (law, RIGHT) for laws in found):
            break
        least = alpha
    law = law.removeprefix("as ")
    return law if least == alphas[-1] else f"{law} from {least:g}"


def _samplers(rows: Iterable[Row]) -> list[tuple[Row, dict[float, str]]]:
    """Each sampler with its law at each α."""
    found: dict[Any, tuple[Row, dict[float, str]]] = {}
    for row in rows:
        _, laws = found.setdefault(tuple(row["by"].values()), (row["by"], {}))
        laws[row["alpha"]] = row.get("verdict", "")
    return list(found.values())
