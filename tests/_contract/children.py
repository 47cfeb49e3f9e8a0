"""Run a script in a child process: what could crash, hang or fork must not take pytest with it."""

import os
import pathlib
import signal
import subprocess
import sys

TESTS = pathlib.Path(__file__).parents[1]


def start(arguments, **environment):
    """Start a Python child with the tests' helpers on its path; give it environment variables."""
    env = {**os.environ, "SCIPY_ARRAY_API": "1", "PYTHONPATH": str(TESTS), "PYTHONWARNINGS": "ignore"}
    inherited = os.environ.get("PYTHONPATH")
    if inherited:
        env["PYTHONPATH"] += os.pathsep + inherited
    env.update({name: str(value) for name, value in environment.items()})
    return subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finish(child, timeout=120):
    """Wait for a child and return its exit code, output and errors; kill it and its own when the time is over."""
    try:
        out, err = child.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        if hasattr(os, "killpg"):
            os.killpg(child.pid, signal.SIGKILL)  # a grandchild that hangs would keep the pipes open
        else:
            child.kill()
        out, err = child.communicate()
        err += f"\nno end after {timeout} s"
    return child.returncode, out, err


def run(arguments, timeout=120, **environment):
    """Run a child to its end and return its output; raise an AssertionError with its errors if it failed."""
    code, out, err = finish(start(arguments, **environment), timeout)
    assert code == 0, f"child ended with {code}:\n{out[-2000:]}\n{err[-4000:]}"
    return out


def script(name):
    """Return the path of a script of this folder."""
    return TESTS / "_contract" / name
