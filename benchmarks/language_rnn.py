"""Recurrent networks beside PyTorch on the CPU: one training step, 2 threads each.

``SKML_THREADS=1`` takes one thread and its processor time instead, which others' load disturbs little. Needs torch.
Embedding -> recurrent layer -> linear layer -> cross-entropy -> Adam, from the same weights on the same batches. Ratios
above 1 are in our favour.
"""

import os
import subprocess
import sys
import time

import numpy as np
from _bench import compare, resident_growth, row
from threadpoolctl import threadpool_limits

from skml._kernels import blas_threads
from skml.network import Adam, EmbeddedRecurrent, Job, Linear, Plan, Program, SequenceCrossEntropy, Sequential
from skml.network.training import step

try:
    import torch
except ModuleNotFoundError:
    torch = None

THREADS = int(os.environ.get("SKML_THREADS", "2"))
CLOCK = time.process_time if THREADS == 1 else time.perf_counter
B, T, H, V = 32, 64, 256, 65
CELLS = sys.argv[1:] or ("rnn", "gru", "lstm")


def program_of(cell):
    """Return a network of characters with the weights of seed 0."""
    return Program(Sequential([EmbeddedRecurrent(V, H, H, cell), Linear(V)]), (T,), seed=0)


def peer_of(program, cell):
    """Return the same network in torch, with the same weights."""

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = torch.nn.Embedding(V, H)
            self.body = getattr(torch.nn, cell.upper())(H, H, batch_first=True)
            self.head = torch.nn.Linear(H, V)

        def forward(self, x):
            return self.head(self.body(self.embedding(x))[0])

    model, p = Model(), program.parameters
    names = ("embedding.weight", "0.embedding"), ("head.weight", "1.weight"), ("head.bias", "1.bias")
    of_body = [(f"body.{name}_l0", f"0.{name}") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
    with torch.no_grad():
        for theirs, ours in (*names, *of_body):
            value = p[ours] if ours.endswith("embedding") else p[ours].T
            model.get_parameter(theirs).copy_(torch.from_numpy(np.ascontiguousarray(value)))
    return model


def batches_of(n, rng):
    """Return n batches of codes that can be learnt: a walk with a habit."""
    habit, found = rng.permutation(V), []
    for _ in range(n):
        x = np.empty((B, T + 1), dtype=np.int32)
        x[:, 0] = rng.integers(V, size=B)
        for t in range(T):
            x[:, t + 1] = np.where(rng.random(B) < 0.8, habit[x[:, t]], rng.integers(V, size=B))
        found.append((x[:, :-1].copy(), x[:, 1:].copy()))
    return found


def our_trainer(program, batches):
    """Return a function that takes a step on each batch and returns the losses."""
    plan = Plan(SequenceCrossEntropy(), Adam(1e-3), n_threads=THREADS)
    job, moments, count = Job(program, None, plan), plan.optimizer.moments(program.parameters.flat), [0]

    @blas_threads(1)  # BLAS's own threads would spin beside those of the kernels
    def ours():
        losses = []
        for x, y in batches:
            total, n = step(job, (x, y, None), moments, (0, count[0], 10**9))
            count[0] += 1
            losses.append(total / n)
        return losses

    return ours


def their_trainer(model, batches):
    """Return the same for torch."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    tensors = [tuple(torch.from_numpy(a.astype(np.int64)) for a in batch) for batch in batches]

    def peer():
        losses = []
        for x, y in tensors:
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(model(x).view(-1, V), y.reshape(-1))
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return losses

    return peer


def recurrent_networks():
    """Print, for each cell, the distance between the loss curves, tokens per second, and memory."""
    torch.set_num_threads(THREADS)
    for cell in CELLS:
        rng, program = np.random.default_rng(0), program_of(cell)
        model, batches = peer_of(program, cell), batches_of(60, rng)
        ours, peer = our_trainer(program, batches)(), their_trainer(model, batches)()
        row(f"{cell} loss, last", ours[-1], peer[-1], float(np.abs(np.subtract(ours, peer)).max()))
        few = batches[:5]
        times = compare(our_trainer(program, few), their_trainer(model, few), repeat=9, clock=CLOCK)
        n = len(few) * B * T
        row(f"{cell} training", f"{n / times[0]:,.0f}/s", f"{n / times[1]:,.0f}/s", times[2])
        memory = [_in_process(cell, who) for who in ("ours", "peer")]
        row(f"{cell} memory of a step, MB", *(f"{m:.1f}" for m in memory), memory[1] / memory[0])


def _in_process(cell, who):
    """Return the megabytes that training adds to a process of its own."""
    found = subprocess.run([sys.executable, __file__, "memory", cell, who], capture_output=True, text=True, check=True)
    return float(found.stdout)


def memory(cell, who):
    """Print the MiB that ten steps add to what the weights and the optimizer hold."""
    program, batches = program_of(cell), batches_of(10, np.random.default_rng(0))
    if who == "ours":
        train = our_trainer(program, batches)
    else:
        torch.set_num_threads(THREADS)
        train = their_trainer(peer_of(program, cell), batches)
    print(resident_growth(train))


if __name__ == "__main__":
    if sys.argv[1:2] == ["memory"]:
        memory(*sys.argv[2:])
    elif torch is not None:
        row("what", "ours", "peer", "ratio")
        with threadpool_limits(THREADS):
            recurrent_networks()
