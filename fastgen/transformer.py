"""A small decoder-only transformer in plain PyTorch, for the recipe: to read, to change, to take apart.

Pre-norm, learned positions, GELU, heads of 32, and an embedding that is the output too. Its weights are tensors by
name, `{layer}.qkv` and so on, and all sizes follow from their shapes: whoever has the tensors has the model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

HEAD = 32
"""Width of an attention head; the model's is a multiple of it."""


def weights(vocabulary: int, longest: int, width: int, layers: int, seed: int) -> dict[str, Tensor]:
    """Fresh float32 weights for `vocabulary` tokens and texts of up to `longest` of them.

    Matrices are normal, scaled so that the variance stays; what is added to the stream is smaller the more layers add.
    """
    import torch

    random = torch.Generator().manual_seed(seed)

    def normal(rows: int, columns: int, scale: float) -> Tensor:
        return torch.randn(rows, columns, generator=random) * scale

    add, small = (2 * layers * width) ** -0.5, 0.02
    found = {"token": normal(vocabulary, width, small), "position": normal(longest, width, small)}
    for layer in range(layers):
        found |= {
            f"{layer}.attention_norm": torch.ones(width),
            f"{layer}.qkv": normal(width, 3 * width, width**-0.5),
            f"{layer}.out": normal(width, width, add),
            f"{layer}.mlp_norm": torch.ones(width),
            f"{layer}.up": normal(width, 4 * width, width**-0.5),
            f"{layer}.down": normal(4 * width, width, add / 2),
        }
    return {name: weight.requires_grad_() for name, weight in (found | {"norm": torch.ones(width)}).items()}


def logits(weights: dict[str, Tensor], ids: Tensor, past: list[Tensor] | None = None) -> Tensor:
    """float32[row, position, token] of the next token at every position of `ids`: int64[row, position].

    `past` holds keys and values, [2, row, head, position, 32] of each layer, of the tokens before `ids`, and afterwards
    those of `ids` as well; an empty list at the beginning of a text. Then `ids` is one token, or the first ones.
    """
    import torch
    import torch.nn.functional as F

    rows, count = ids.shape
    start = past[0].shape[3] if past else 0
    x = weights["token"][ids] + weights["position"][start : start + count]
    width = x.shape[-1]
    for layer in range(sum(name.endswith(".qkv") for name in weights)):
        w = {name: weights[f"{layer}.{name}"] for name in ("attention_norm", "qkv", "out", "mlp_norm", "up", "down")}
        heads = (F.layer_norm(x, (width,), w["attention_norm"]) @ w["qkv"]).view(rows, count, 3, width // HEAD, HEAD)
        q, k, v = heads.permute(2, 0, 3, 1, 4)
        if past is not None:
            known = torch.stack([k, v])
            past[layer:] = [torch.cat([past[layer], known], 3) if start else known, *past[layer + 1 :]]
            k, v = past[layer]
        seen = F.scaled_dot_product_attention(q, k, v, is_causal=not start)
        x = x + seen.transpose(1, 2).reshape(rows, count, width) @ w["out"]
        x = x + F.gelu(F.layer_norm(x, (width,), w["mlp_norm"]) @ w["up"]) @ w["down"]
    return F.layer_norm(x, (width,), weights["norm"]) @ weights["token"].T


def generate(weights: dict[str, Tensor], prompts: Tensor, end: int) -> Tensor:
    """int64[row, position]: what follows the prompts, int64[row, position], always the likeliest token.

    It goes on until every row has said `end`, or the texts are as long as the model knows positions.
    """
    import torch

    past: list[Tensor] = []
    said = [prompts]
    ended = torch.zeros(len(prompts), dtype=torch.bool)
    with torch.no_grad():
        for _ in range(len(weights["position"]) - prompts.shape[1]):
            said.append(logits(weights, said[-1], past)[:, -1:].argmax(-1))
            ended |= said[-1][:, 0] == end
            if ended.all():
                break
    return torch.cat(said[1:], 1)
