"""The transformer beside PyTorch: training steps and their memory, and decoding with a cache beside a loop without.

``python benchmarks/language_transformer.py [training] [memory] [decoding]``; all but the last need torch. Two threads,
float32, AdamW, the same weights and batches. Ratios above 1 are in our favour, but that of memory below 1.
"""

import os
import subprocess
import sys
from functools import partial

import numpy as np
from _bench import compare, resident_growth, row

from skml._kernels import blas_threads
from skml.network import AdamW, Decoder, Mode, Program, cross_entropy, transformer

try:
    import torch
    from torch.nn import functional as F
except ModuleNotFoundError:
    torch = None

THREADS, V, N_NEW = int(os.environ.get("SKML_THREADS", "2")), 65, 256
# layers, heads, channels, moments, sequences
CASES = {"4 x 128 x 64": (4, 4, 128, 64, 12), "6 x 256 x 256": (6, 8, 256, 256, 8)}


def program_of(case):
    """Return the network of a case."""
    n_layers, n_heads, width, T, _ = case
    return Program(transformer(V, T, n_layers=n_layers, n_heads=n_heads, width=width), (T,), seed=0)


def batches_of(case, n, seed=0):
    """Return n batches of tokens and of those that follow them, which can be learnt in part."""
    rng = np.random.default_rng(seed)
    follows = rng.integers(V, size=V)
    _, _, _, T, B = case
    found = []
    for _ in range(n):
        tokens = rng.integers(V, size=(B, T + 1))
        for t in range(T):
            known = rng.random(B) < 0.7
            tokens[known, t + 1] = follows[tokens[known, t]]
        found.append((tokens[:, :-1].astype(np.int32), tokens[:, 1:].astype(np.int32)))
    return found


def trainer(program, batches):
    """Return a function that takes a step on each batch and returns the losses."""
    optimizer, mode = AdamW(1e-3, weight_decay=0.01), Mode(train=True, n_threads=THREADS)
    moments, count, dz = optimizer.moments(program.parameters.flat), [0], [None]

    @blas_threads(1)
    def run():
        losses = []
        for x, y in batches:
            z = program.forward(x, mode)
            dz[0] = np.empty_like(z) if dz[0] is None else dz[0]
            given = z.reshape(-1, V), y.reshape(-1)
            loss, _ = cross_entropy(*given, out=dz[0].reshape(-1, V), n_threads=THREADS)
            program.backward(dz[0], mode)
            count[0] += 1
            optimizer.update(program.parameters.flat, program.gradients.flat, moments, count[0], n_threads=THREADS)
            losses.append(loss.mean())
        return losses

    return run


# ----------------------------------------------------------------------------------------------- torch


def peer_of(program, case):
    """Return the same network in torch, with the same weights."""
    n_layers, n_heads, width, T, _ = case

    class Block(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.ln_1, self.ln_2 = torch.nn.LayerNorm(width), torch.nn.LayerNorm(width)
            self.c_attn, self.c_proj = torch.nn.Linear(width, 3 * width), torch.nn.Linear(width, width)
            self.c_fc, self.c_out = torch.nn.Linear(width, 4 * width), torch.nn.Linear(4 * width, width)

        def forward(self, x):
            b, t, _ = x.shape
            q, k, v = (
                part.view(b, t, n_heads, -1).transpose(1, 2) for part in self.c_attn(self.ln_1(x)).split(width, 2)
            )
            a = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.c_proj(a.transpose(1, 2).reshape(b, t, width))
            return x + self.c_out(F.gelu(self.c_fc(self.ln_2(x))))

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.wte, self.wpe = torch.nn.Embedding(V, width), torch.nn.Embedding(T, width)
            self.h = torch.nn.ModuleList([Block() for _ in range(n_layers)])
            self.ln_f = torch.nn.LayerNorm(width)

        def forward(self, x):
            x = self.wte(x) + self.wpe.weight[: x.shape[1]]
            for block in self.h:
                x = block(x)
            return self.ln_f(x) @ self.wte.weight.T

    model = Model()
    names = {"mlp.c_proj": "c_out", "mlp.c_fc": "c_fc", ".attn.": "."}
    with torch.no_grad():
        own = dict(model.named_parameters())
        for name, value in program.parameters.items():
            for ours, theirs in names.items():
                name = name.replace(ours, theirs)
            value = value.T if ".c_" in name and value.ndim == 2 else value
            own[name].copy_(torch.from_numpy(np.ascontiguousarray(value)))
    return model


def peer_trainer(model, batches):
    """Return the same as `trainer`, in torch."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01, fused=True)
    tensors = [(torch.from_numpy(x.astype(np.int64)), torch.from_numpy(y.astype(np.int64))) for x, y in batches]

    def run():
        losses = []
        for x, y in tensors:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x).view(-1, V), y.view(-1))
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return losses

    return run


def training():
    """Print tokens per second of both, and how far the loss curves are apart."""
    torch.set_num_threads(THREADS)
    for name, case in CASES.items():
        n = 40 if case[2] == 128 else 4
        program, tokens = program_of(case), case[3] * case[4]
        model = peer_of(program, case)
        batches = batches_of(case, n)
        ours, peer = trainer(program, batches), peer_trainer(model, batches)
        apart = np.abs(np.subtract(ours(), peer()))
        row(f"{name}: loss curves apart", float(apart.max()), "", "")
        mine, theirs, ratio = compare(ours, peer, repeat=5)
        row(f"{name}: tokens per second", tokens * n / mine, tokens * n / theirs, ratio)


# ---------------------------------------------------------------------------------------------- memory


def peak_of(what, name):
    """Return how far the peak of the process's memory rises in training steps, in MB; in this process."""
    case = CASES[name]
    program, batches = program_of(case), batches_of(case, 3)
    small = (1, 1, 8, 4, 1)  # so that libraries are loaded and their threads there
    tiny = program_of(small)
    if what == "ours":
        trainer(tiny, batches_of(small, 1))()
        run = lambda: trainer(program, batches)()  # noqa: E731
    else:
        torch.set_num_threads(THREADS)
        peer_trainer(peer_of(tiny, small), batches_of(small, 1))()
        model = peer_of(program, case)
        del program
        run = lambda: peer_trainer(model, batches)()  # noqa: E731
    return resident_growth(run)


def memory():
    """Print how much memory a step takes beyond the weights, each in a process of its own."""
    for name in CASES:
        found = [
            float(subprocess.check_output([sys.executable, __file__, "peak", what, name])) for what in ("ours", "peer")
        ]
        row(f"{name}: MB of a step", *found, found[0] / found[1])


# -------------------------------------------------------------------------------------------- decoding


def decoding():
    """Print tokens per second of greedy decoding with the cache, and of loops that read all from the start."""
    for name, (n_layers, n_heads, width, _, _) in CASES.items():
        case = n_layers, n_heads, width, N_NEW, 1
        program = program_of(case)
        loops = {"ours": partial(without_cache, program)}
        if torch is not None:
            torch.set_num_threads(THREADS)
            model = peer_of(program, case)
            loops["torch's"] = partial(peer_without_cache, model)
        for whose, loop in loops.items():
            mine, theirs, ratio = compare(partial(with_cache, program), loop, repeat=3)
            row(f"{name}: decoding, {whose} loop", N_NEW / mine, N_NEW / theirs, ratio)


def with_cache(program):
    """Return tokens that follow the first one."""
    decoder, token = Decoder(program.network, program.parameters, B=1), np.zeros(1, dtype=np.int32)
    found = []
    for _ in range(N_NEW):
        token = decoder.step(token, THREADS).argmax(axis=1)
        found.append(int(token[0]))
    return found


def without_cache(program):
    """Return the same, with the whole sequence as input of each."""
    tokens, mode = np.zeros((1, N_NEW + 1), dtype=np.int32), Mode(n_threads=THREADS)
    p = program.parameters.tree()
    for t in range(1, N_NEW + 1):
        space = program.network.workspace((t,), 1, program.dtype)
        tokens[0, t] = program.network.forward(tokens[:, :t].copy(), p, space, mode)[0, -1].argmax()
    return tokens[0, 1:].tolist()


def peer_without_cache(model):
    """Return the same, in torch."""
    tokens = torch.zeros((1, N_NEW + 1), dtype=torch.int64)
    with torch.inference_mode():
        for t in range(1, N_NEW + 1):
            tokens[0, t] = model(tokens[:, :t])[0, -1].argmax()
    return tokens[0, 1:].tolist()


def main(wanted):
    """Print what is asked for."""
    if wanted[:1] == ["peak"]:
        print(peak_of(*wanted[1:]))
        return
    row("", "ours", "peer", "ratio")
    for name in wanted or ["training", "memory", "decoding"]:
        if name == "decoding" or torch is not None:
            globals()[name]()


if __name__ == "__main__":
    main(sys.argv[1:])
