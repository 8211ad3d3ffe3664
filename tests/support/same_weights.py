"""Whether two models, or two mappings of tensors, are the same to the bit."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn


def differing(one: nn.Module | Mapping[str, Tensor], two: nn.Module | Mapping[str, Tensor]) -> list[str]:
    """Names of the tensors that are not equal; both must have the same names."""
    ones, twos = (part.state_dict() if isinstance(part, nn.Module) else part for part in (one, two))
    assert ones.keys() == twos.keys()
    return [name for name, tensor in ones.items() if not torch.equal(tensor, twos[name])]
