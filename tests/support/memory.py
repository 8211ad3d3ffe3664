"""How much memory torch takes, counted tensor by tensor."""

import weakref

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Live(TorchDispatchMode):
    """Bytes of the storages that live now and were made inside, and the most there were at one time."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self.views: dict[int, int] = {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        given_in = {t.untyped_storage()._cdata for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)}
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if not isinstance(tensor, Tensor):
                continue
            storage = tensor.untyped_storage()
            key, size = storage._cdata, storage.nbytes()
            if key not in self.views:
                if key in given_in:  # was there before
                    continue
                self.views[key], self.now = 0, self.now + size
            self.views[key] += 1
            weakref.finalize(tensor, self.gone, key, size)
        self.peak = max(self.peak, self.now)
        return result

    def gone(self, key: int, size: int) -> None:
        self.views[key] -= 1
        if self.views[key] == 0:
            del self.views[key]
            self.now -= size
