"""Side by side: alternating runs, medians, ratios; absolute times mean nothing on a noisy machine."""

import gc
import os
import pathlib
import statistics
import time
import tracemalloc

import numpy as np


def compare(ours, peer, repeat=5, clock=time.perf_counter):
    """Run two callables in turn and return the medians of their times and the median ratio peer / ours."""
    times = {"ours": [], "peer": []}
    for _ in range(repeat):
        for name, function in (("ours", ours), ("peer", peer)):
            gc.collect()
            time.sleep(0.1)  # BLAS's threads spin for a while after the other's run
            start = clock()
            function()
            times[name].append(clock() - start)
    ratios = [p / o for o, p in zip(times["ours"], times["peer"])]
    return statistics.median(times["ours"]), statistics.median(times["peer"]), statistics.median(ratios)


def peak_memory(function):
    """Return the peak of traced bytes (NumPy's arrays included) that a call adds to what is there."""
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        function()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


def resident_growth(function):
    """Return the MiB of resident memory that a call adds at its peak (Linux); run it in a process of its own."""
    gc.collect()
    pathlib.Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before = _status("VmRSS")
    function()
    return (_status("VmHWM") - before) / 1024


def _status(what):
    """Return a line of what Linux says about the process's memory, in KiB."""
    status = pathlib.Path("/proc/self/status").read_text()
    return int(status.partition(f"{what}:")[2].split()[0])


def real_data(name):
    """Return the arrays of a file in the folder that SKML_DATA names, or None where it is absent."""
    folder = os.environ.get("SKML_DATA")
    path = pathlib.Path(folder, name) if folder else None
    return np.load(path, allow_pickle=False) if path is not None and path.exists() else None


def row(*cells, widths=(34, 12, 12, 9, 9)):
    """Print one line of a table, at once."""
    text = (f"{cell:.3g}" if isinstance(cell, float) else str(cell) for cell in cells)
    print("  ".join(cell.ljust(width) for cell, width in zip(text, widths)), flush=True)
