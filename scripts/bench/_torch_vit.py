"""The peer of tensor-vit.ts: the same vision transformer and AdamW in PyTorch, one thread, steps timed on request.

Arguments: width, batch. Each input line is a number of steps; the answer is the mean wall and CPU milliseconds of one.
"""
import sys
import time

import torch
import torch.nn.functional as F

torch.set_num_threads(1)
torch.manual_seed(0)
width, batch = int(sys.argv[1]), int(sys.argv[2])
depth, heads, hidden, tokens, pixels, classes = 4, 4, 4 * width, 17, 49, 10


def weight(*shape):
    return (0.02 * torch.randn(*shape)).requires_grad_()


def zeros(*shape):
    return torch.zeros(*shape, requires_grad=True)


p = {"patch.w": weight(pixels, width), "patch.b": zeros(width), "cls": weight(width), "pos": weight(tokens, width)}
for i in range(depth):
    for n in ("n1", "n2"):
        p[f"{i}.{n}.s"] = torch.ones(width, requires_grad=True)
        p[f"{i}.{n}.b"] = zeros(width)
    for n in "qkvo":
        p[f"{i}.{n}.w"], p[f"{i}.{n}.b"] = weight(width, width), zeros(width)
    p[f"{i}.f1.w"], p[f"{i}.f1.b"] = weight(width, hidden), zeros(hidden)
    p[f"{i}.f2.w"], p[f"{i}.f2.b"] = weight(hidden, width), zeros(width)
p["n.s"], p["n.b"] = torch.ones(width, requires_grad=True), zeros(width)
p["head.w"], p["head.b"] = weight(width, classes), zeros(classes)
optimizer = torch.optim.AdamW(p.values(), lr=1e-3, weight_decay=0.0)
images = torch.randn(batch, 4, 7, 4, 7)
labels = torch.arange(batch) % classes


def forward():
    x = images.permute(0, 1, 3, 2, 4).reshape(batch, 16, 49) @ p["patch.w"] + p["patch.b"]
    x = torch.cat([p["cls"].expand(batch, 1, width), x], 1) + p["pos"]
    for i in range(depth):
        h = F.layer_norm(x, (width,), p[f"{i}.n1.s"], p[f"{i}.n1.b"], 1e-6)
        q, k, v = ((h @ p[f"{i}.{n}.w"] + p[f"{i}.{n}.b"]).view(batch, tokens, heads, -1).transpose(1, 2) for n in "qkv")
        a = torch.softmax(q @ k.transpose(-1, -2) * (width // heads) ** -0.5, -1) @ v
        a = a.transpose(1, 2).reshape(batch, tokens, width)
        x = x + a @ p[f"{i}.o.w"] + p[f"{i}.o.b"]
        h = F.layer_norm(x, (width,), p[f"{i}.n2.s"], p[f"{i}.n2.b"], 1e-6)
        x = x + F.gelu(h @ p[f"{i}.f1.w"] + p[f"{i}.f1.b"]) @ p[f"{i}.f2.w"] + p[f"{i}.f2.b"]
    return F.layer_norm(x[:, 0], (width,), p["n.s"], p["n.b"], 1e-6) @ p["head.w"] + p["head.b"]


for line in sys.stdin:
    steps = int(line)
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(steps):
        optimizer.zero_grad()
        F.cross_entropy(forward(), labels).backward()
        optimizer.step()
    print((time.perf_counter() - wall) * 1e3 / steps, (time.process_time() - cpu) * 1e3 / steps, flush=True)
