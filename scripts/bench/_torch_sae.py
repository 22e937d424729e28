"""The peer of tensor-sae.ts. Arguments: the data file, k, "dense" or "bag".

"dense" scatters the k values into a matrix of codes and multiplies, the common way; "bag" sums the k decoder rows with
`embedding_bag`.
"""
import sys

import torch
import torch.nn.functional as F
from _torch_peer import load, serve

p, given = load()
k, kind = int(sys.argv[2]), sys.argv[3]
x = given["x"]


def loss():
    scores = F.linear(x - p["decoder.bias"], p["encoder.weight"], p["encoder.bias"])
    values, chosen = scores.topk(k, dim=-1, sorted=False)
    values = values.relu()
    if kind == "dense":
        codes = torch.zeros_like(scores).scatter(-1, chosen, values)
        y = codes @ p["decoder.weight"]
    else:
        y = F.embedding_bag(chosen, p["decoder.weight"], per_sample_weights=values, mode="sum")
    return ((y + p["decoder.bias"] - x) ** 2).sum(-1).mean()


serve(p, loss)
