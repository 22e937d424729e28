"""The peer of ../gpu.ts: training steps with AdamW on one GPU. Arguments: the data file, the device, fp32 or tf32, the
model (vit or lm), heads, depth, patch size (vit).

Each input line is a number of steps; the answer is the mean wall milliseconds of one, and the losses.
"""
import sys
import time

import torch
import torch.nn.functional as F
from _torch_peer import load

_, _, device, precision, kind, heads, depth, patch = sys.argv
heads, depth, patch = int(heads), int(depth), int(patch)
torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
torch.backends.cudnn.allow_tf32 = precision == "tf32"

params, batch = load()
p = {name: tensor.detach().to(device).requires_grad_() for name, tensor in params.items()}
given = {name: tensor.to(device) for name, tensor in batch.items()}


def linear(name, x):
    return x @ p[f"{name}.weight"] + p[f"{name}.bias"]


def norm(name, x, epsilon):
    return F.layer_norm(x, x.shape[-1:], p[f"{name}.scale"], p[f"{name}.bias"], epsilon)


def blocks(x, epsilon, bias=None):
    n, tokens, width = x.shape
    for i in range(depth):
        at = f"blocks.{i}"
        h = norm(f"{at}.norm1", x, epsilon)
        q, k, v = (
            linear(f"{at}.attention.{m}", h).view(n, tokens, heads, -1).transpose(1, 2) for m in ("query", "key", "value")
        )
        scores = q @ k.transpose(-1, -2) * (width // heads) ** -0.5
        a = torch.softmax(scores if bias is None else scores + bias, -1) @ v
        x = x + linear(f"{at}.attention.output", a.transpose(1, 2).reshape(n, tokens, width))
        x = x + linear(f"{at}.mlp.fc2", F.gelu(linear(f"{at}.mlp.fc1", norm(f"{at}.norm2", x, epsilon))))
    return x


def vit():
    images, labels = given["images"], given["labels"].long()
    n, size, _, channels = images.shape
    side = size // patch
    pixels = images.reshape(n, side, patch, side, patch, channels).permute(0, 1, 3, 2, 4, 5)
    x = linear("patch", pixels.reshape(n, side * side, patch * patch * channels))
    x = torch.cat([p["cls"].expand(n, 1, -1), x], 1) + p["positions"]
    x = blocks(x, 1e-6)
    return F.cross_entropy(linear("head", norm("norm", x[:, 0], 1e-6)), labels)


def lm():
    tokens, targets = given["tokens"].long(), given["targets"].long()
    n = tokens.shape[1]
    later = torch.triu(torch.full((n, n), -1e9, device=device), 1)
    x = blocks(F.embedding(tokens, p["embedding.weight"]) + p["positions"], 1e-6, later)
    scores = F.linear(norm("norm", x, 1e-6), p["embedding.weight"])
    return F.cross_entropy(scores.flatten(0, 1), targets.flatten())


def wait():
    if device.startswith("cuda"):
        torch.cuda.synchronize()


loss_of = {"vit": vit, "lm": lm}[kind]
optimizer = torch.optim.AdamW(p.values(), lr=1e-3, weight_decay=0.0)
for line in sys.stdin:
    steps, losses = int(line), []
    wait()
    wall = time.perf_counter()
    for _ in range(steps):
        optimizer.zero_grad()
        loss = loss_of()
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    wait()
    wall = time.perf_counter() - wall
    print(wall * 1e3 / steps, *(float(x) for x in losses), flush=True)
