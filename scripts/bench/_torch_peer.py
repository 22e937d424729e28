"""What the PyTorch peers share: the initial parameters and the batch from a safetensors file, and timing on request.

Each input line is a number of steps; the answer is the mean wall and CPU milliseconds of one, and the losses.
"""
import json
import struct
import sys
import time

import numpy as np
import torch

torch.set_num_threads(1)


def load(path=None):
    """Parameters (leaves that require gradients) and batch, by name."""
    with open(path or sys.argv[1], "rb") as file:
        (size,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(size))
        data = file.read()
    params, batch = {}, {}
    types = {"F32": np.float32, "I32": np.int32, "BOOL": np.bool_}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        begin, end = entry["data_offsets"]
        array = np.frombuffer(data[begin:end], types[entry["dtype"]]).reshape(entry["shape"]).copy()
        kind, _, key = name.partition(".")
        tensor = torch.from_numpy(array) if array.shape else torch.tensor(array.item())
        if kind == "params":
            params[key] = tensor.requires_grad_()
        else:
            batch[key] = tensor
    return params, batch


def serve(params, loss_of, rate=1e-3):
    """Trains with AdamW without decay; `loss_of()` is the forward pass."""
    optimizer = torch.optim.AdamW(params.values(), lr=rate, weight_decay=0.0)
    for line in sys.stdin:
        steps, losses = int(line), []
        wall, cpu = time.perf_counter(), time.process_time()
        for _ in range(steps):
            optimizer.zero_grad()
            loss = loss_of()
            loss.backward()
            optimizer.step()
            losses.append(loss.detach())
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        print(wall * 1e3 / steps, cpu * 1e3 / steps, *(float(x) for x in losses), flush=True)
