"""The peer of tensor-lm.ts: a decoder with learned positions and a tied head. Arguments: the data file, heads, depth."""
import sys

import torch
import torch.nn.functional as F
from _torch_peer import load, serve

p, given = load()
heads, depth = int(sys.argv[2]), int(sys.argv[3])
tokens, targets = given["tokens"].long(), given["targets"].long()
batch, n = tokens.shape
vocabulary, width = p["embedding.weight"].shape
later = torch.triu(torch.full((n, n), -1e9), 1)


def linear(name, x):
    return x @ p[f"{name}.weight"] + p[f"{name}.bias"]


def norm(name, x):
    return F.layer_norm(x, (width,), p[f"{name}.scale"], p[f"{name}.bias"], 1e-6)


def loss():
    x = F.embedding(tokens, p["embedding.weight"]) + p["positions"]
    for i in range(depth):
        at = f"blocks.{i}"
        h = norm(f"{at}.norm1", x)
        q, k, v = (
            linear(f"{at}.attention.{m}", h).view(batch, n, heads, -1).transpose(1, 2) for m in ("query", "key", "value")
        )
        a = torch.softmax(q @ k.transpose(-1, -2) * (width // heads) ** -0.5 + later, -1) @ v
        x = x + linear(f"{at}.attention.output", a.transpose(1, 2).reshape(batch, n, width))
        x = x + linear(f"{at}.mlp.fc2", F.gelu(linear(f"{at}.mlp.fc1", norm(f"{at}.norm2", x))))
    scores = F.linear(norm("norm", x), p["embedding.weight"])
    return F.cross_entropy(scores.view(-1, vocabulary), targets.view(-1))


serve(p, loss)
