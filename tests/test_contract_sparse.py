"""Broken sparse matrices: always an error in a sentence, never a crash, whatever the format, fault and method."""

import numpy as np
import pytest
from _contract import broken_sparse
from _contract.cases import classes
from _contract.children import finish, script, start

MOST_CRASHES = 5


def outcomes(program, names):
    """Return {class: {case: outcome}} of all cases, starting a new process after each crash."""
    said, first = {}, 0
    for _ in range(MOST_CRASHES):
        code, out, err = finish(start([program, first, *names]), timeout=300)
        for line in out.splitlines():
            number, name, case, outcome = line.split("\t", 3)
            said.setdefault(name, {})[case] = outcome or f"the process ended with {code}: {err[-300:]}"
            first = int(number) + 1
        if code == 0:
            return said
        assert out, f"the process ended with {code} before the first case:\n{err[-3000:]}"
    return said


# One process has many classes to try: most of its time is the import.
@pytest.mark.parametrize("half", [0, 1])
def test_broken_sparse_is_refused(half):
    tried = classes()[half::2]
    said = outcomes(script("broken_sparse.py"), [cls.__name__ for cls in tried])
    for cls in tried:
        wrong = {case: outcome for case, outcome in said[cls.__name__].items() if outcome != "refused"}
        assert wrong == {}, cls
        assert len(said[cls.__name__]) == len(broken_sparse.cases(cls)) >= 140, cls


def test_a_crash_is_seen_and_the_rest_goes_on(tmp_path):
    program = tmp_path / "crash.py"
    program.write_text(
        "import os, sys\n"
        "for number in range(int(sys.argv[1]), 4):\n"
        "    print(number, sys.argv[2], f'case {number}', '', sep='\\t', end='', flush=True)\n"
        "    if number == 1:\n"
        "        os.abort()\n"
        "    print('refused', flush=True)\n"
    )
    said = outcomes(program, ["Nobody"])["Nobody"]
    assert [said[f"case {number}"] for number in (0, 2, 3)] == ["refused"] * 3
    assert "ended with -6" in said["case 1"]


@pytest.mark.parametrize("form", ["csr", "csc", "bsr", "coo"])
def test_the_matrix_that_is_broken_was_sound(form):
    # Otherwise every fault would be "refused" for some other reason.
    matrix = broken_sparse.sound(form, np.int64)
    assert matrix.nnz > 50
    (matrix if form == "coo" else matrix.copy()).tocsr().check_format(full_check=True)
