"""The peer of tensor-vit.ts. Arguments: the data file, width."""
import sys

import torch
import torch.nn.functional as F
from _torch_peer import load, serve

p, given = load()
width, depth, heads = int(sys.argv[2]), 4, 4
images, labels = given["images"], given["labels"].long()
batch = images.shape[0]


def linear(name, x):
    return x @ p[f"{name}.weight"] + p[f"{name}.bias"]


def norm(name, x):
    return F.layer_norm(x, (width,), p[f"{name}.scale"], p[f"{name}.bias"], 1e-6)


def loss():
    pixels = images.reshape(batch, 4, 7, 4, 7).permute(0, 1, 3, 2, 4).reshape(batch, 16, 49)
    x = torch.cat([p["cls"].expand(batch, 1, width), linear("patch", pixels)], 1) + p["positions"]
    for i in range(depth):
        at = f"blocks.{i}"
        h = norm(f"{at}.norm1", x)
        q, k, v = (
            linear(f"{at}.attention.{n}", h).view(batch, 17, heads, -1).transpose(1, 2) for n in ("query", "key", "value")
        )
        a = torch.softmax(q @ k.transpose(-1, -2) * (width // heads) ** -0.5, -1) @ v
        x = x + linear(f"{at}.attention.output", a.transpose(1, 2).reshape(batch, 17, width))
        x = x + linear(f"{at}.mlp.fc2", F.gelu(linear(f"{at}.mlp.fc1", norm(f"{at}.norm2", x))))
    return F.cross_entropy(linear("head", norm("norm", x[:, 0])), labels)


serve(p, loss)
