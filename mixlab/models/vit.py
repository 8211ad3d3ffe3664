"""A small vision transformer (Dosovitskiy et al., "An Image is Worth 16x16 Words", ICLR 2021), and where it looks."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from mixlab import _check

_EPS = 1e-6  # of the normalizations, as in ViT


class ViT(nn.Module):
    """Patches and a class token, pre-normalized blocks, and a read-out of the class token.

    Positions are fixed sines and cosines, and nothing is dropped; see `mixlab.models.vit_tiny`, whose sizes are the
    defaults. DeiT-Ti (Touvron et al., ICML 2021) has width 192, depth 12 and 3 heads.

    Args:
        num_classes: is the number of logits.
        channels: is the number of channels of the images.
        patch: is the side of a patch in pixels.
        width: is how many numbers a token has, a multiple of 4 and of heads.
        depth: counts the blocks, which are named "stage1", "stage2" and so on.
        heads: counts the heads of each block.
    """

    def __init__(
        self, num_classes: int, channels: int = 3, *, patch: int = 8, width: int = 64, depth: int = 4, heads: int = 4
    ) -> None:
        super().__init__()
        num_classes, channels = _check.integer("num_classes", num_classes, 2), _check.integer("channels", channels, 1)
        self.patch = _check.integer("patch", patch, 1)
        width, depth = _check.integer("width", width, 8), _check.integer("depth", depth, 1)
        if width % 4 or width % _check.integer("heads", heads, 1):
            raise ValueError(f"width must be a multiple of 4 and of heads={heads}, got {width}")
        self.stages = tuple(f"stage{i + 1}" for i in range(depth))
        self.mixing_points = ("input", *self.stages)
        self.embed = nn.Conv2d(channels, width, patch, patch)
        self.token = nn.Parameter(torch.zeros(width))
        for stage in self.stages:
            self.add_module(stage, Block(width, heads))
        self.norm = nn.LayerNorm(width, eps=_EPS)
        self.head = nn.Linear(width, num_classes)
        for module in self.modules():
            if isinstance(module, (nn.Linear, nn.Conv2d)):
                nn.init.xavier_uniform_(module.weight.flatten(1))
                nn.init.zeros_(module.get_parameter("bias"))

    def forward(self, x: Tensor) -> Tensor:
        """Logits [B, num_classes] of normalized images [B, channels, H, W]; H and W are multiples of the patch's side.

        Raises ValueError for other sides.
        """
        x = self._tokens(x)
        for stage in self.stages:
            x = self.get_submodule(stage)(x)
        logits: Tensor = self.head(self.norm(x[:, 0]))
        return logits

    def attention(self, x: Tensor) -> Tensor:
        """How each token of each block attends to all tokens: [B, blocks, heads, T, T], each row sums to 1.

        Token 0 is the class token, from which the answer is read; token 1 + i is patch i, row by row. Images as for
        `forward`.
        """
        x, weights = self._tokens(x), []
        for block in map(self.get_submodule, self.stages):
            assert isinstance(block, Block)
            weights.append(block.weights(x))
            x = block(x)
        return torch.stack(weights, 1)

    def _tokens(self, x: Tensor) -> Tensor:
        """The class token and the patches of these images with their positions, [B, 1 + patches, width]."""
        if x.ndim != 4 or any(side == 0 or side % self.patch for side in x.shape[2:]):
            wanted = f"images [B, channels, H, W] whose sides are multiples of {self.patch} pixels"
            raise ValueError(f"x must be {wanted}, got {list(x.shape)}")
        patches = self.embed(x)
        place = positions(patches.shape[2], patches.shape[3], patches.shape[1]).to(patches)
        tokens = patches.flatten(2).transpose(1, 2) + place
        return torch.cat([self.token.to(tokens).expand(len(x), 1, -1), tokens], 1)


class Block(nn.Module):
    """Attention, then two layers for each token; each takes normalized tokens, and is added to them as they are."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(width, eps=_EPS)
        self.qkv = nn.Linear(width, 3 * width)
        self.project = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width, eps=_EPS)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        """[B, T, width] of tokens [B, T, width]."""
        attended = functional.scaled_dot_product_attention(*self._parts(x))
        x = x + self.project(attended.transpose(1, 2).flatten(2))
        out: Tensor = x + self.mlp(self.norm2(x))
        return out

    def weights(self, x: Tensor) -> Tensor:
        """softmax(q kᵀ / √d) of tokens [B, T, width]: [B, heads, T, T], queries before keys."""
        query, key, _ = self._parts(x)
        shares: Tensor = (query @ key.transpose(2, 3) / query.shape[3] ** 0.5).softmax(3)
        return shares

    def _parts(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values, [B, heads, T, width / heads] each."""
        parts = self.qkv(self.norm1(x)).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        query, key, value = parts.unbind(0)
        return query, key, value


def positions(rows: int, columns: int, width: int) -> Tensor:
    """Sines and cosines of each patch's row and column, float32 [rows · columns, width], for a grid of any size.

    Source: Beyer et al., "Better plain ViT baselines for ImageNet-1k", 2022: frequencies fall from 1 to 1/10,000.
    """
    quarter = width // 4
    frequency = 10_000.0 ** -(torch.arange(quarter, dtype=torch.float64, device="cpu") / (quarter - 1))
    row, column = (torch.arange(n, dtype=torch.float64, device="cpu")[:, None] * frequency for n in (rows, columns))
    row, column = row.repeat_interleave(columns, 0), column.repeat(rows, 1)
    return torch.cat([column.sin(), column.cos(), row.sin(), row.cos()], 1).float()
