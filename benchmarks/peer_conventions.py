"""What each peer calls λ, for whom it draws one, from what source, and whether it leaves its input as it was.

Found by running it on images that tell λ and partner, float32 on the CPU; see `peers.py`.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
import peers
import torch
from torch import Tensor

MIXES = 24  # what is seen of a convention; that so many λs lie above 0.5 by chance is 1 in 2^24


def convention(peer: peers.Peer, count: int = 64) -> dict[str, Any]:
    """One row, from some mixes of images that tell.

    Raises:
        ValueError: the peer changes its input and `peers.py` does not say so, or the other way about.
    """
    y = torch.arange(count) % peers.CLASSES
    shares, partners, changed = [], [], False
    numpy_state, torch_state = np.random.get_state()[1:3], torch.get_rng_state()  # noqa: NPY002 - whether it is drawn from
    for _ in range(MIXES):
        images = peers.probe(count, torch.float32) if peer.kind == "mixup" else peers.coded(count, 32)
        before = images.clone()
        mixed, given = peer.mix(images, y)
        share, partner = peers.read(mixed) if peer.kind == "mixup" else peers.pasted(mixed)
        shares.append(share)
        partners.append(partner)
        changed |= not torch.equal(images, before)
    if changed != peer.in_place:
        raise ValueError(f"{peer.name} {peer.call} {'changes' if changed else 'leaves'} its input: see peers.py")
    sources = {
        "NumPy, global": not _same(numpy_state, np.random.get_state()[1:3]),  # noqa: NPY002
        "torch, global": not torch.equal(torch_state, torch.get_rng_state()),
    }
    weights = "none is handed back"
    if peer.given is not None:
        lam = peer.given(given).double()
        others = partner != torch.arange(count)  # with oneself any λ is right
        own, other = (float((lam - part).abs()[others].max()) for part in (share, 1 - share))
        weights = "the example" if own < 1e-3 else "the partner" if other < 1e-3 else "neither"
    apart = partners[0] != torch.arange(count)
    return {
        "name": peer.name,
        "call": peer.call,
        "kind": peer.kind,
        "lam_weights": weights,
        "one_lam_for": "each pair" if len({round(float(part), 4) for part in shares[0][apart]}) > 1 else "the batch",
        "lam_is": "max(λ, 1 − λ)" if float(torch.cat(shares).min()) >= 0.5 and peer.kind == "mixup" else "as drawn",
        "partners": _pairing(partners),
        "source": " and ".join(name for name, used in sources.items() if used) or "its own",
        "input": "changed" if changed else "left as it was",
    }


def _same(one: Iterable[Any], other: Iterable[Any]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def _pairing(partners: list[Tensor]) -> str:
    """How the partners of two calls lie."""
    own = torch.arange(len(partners[0]))
    for name, fixed in (("the one before", own.roll(1)), ("the batch reversed", own.flip(0))):
        if all(bool(((part == fixed) | (part == own)).all()) for part in partners):
            return name
    return "random"
