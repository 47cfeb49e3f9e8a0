"""From prompts to texts: what :meth:`generate` does."""

from dataclasses import dataclass

import numpy as np
from sklearn.utils.validation import check_array

from skml import _kernels
from skml.base import chunk_slices, require_memory
from skml.language.decoding import Chooser, Continuation, beam_search, write
from skml.language.documents import Rows, holds_texts
from skml.language.scoring import begun
from skml.language.sessions import bytes_of_row, open_session
from skml.language.texts import check_documents


@dataclass(frozen=True)
class Request:
    """What is to be written, by whom and how.

    Attributes
    ----------
    reader : object
        The trained network.
    coder : Coder
        What tokens are.
    settings : Settings
        How to choose them.
    seed : int
        What draws depend on.
    use_cache : bool
        Whether what was read is kept.
    n_threads : int
        No result depends on it.
    """

    reader: object
    coder: object
    settings: object
    seed: int
    use_cache: bool
    n_threads: int

    def session(self, contexts):
        """Open a session of some rows."""
        return open_session(self.reader, contexts, self.use_cache, self.n_threads, self._capacity(contexts))

    def bytes_of_prompt(self, contexts):
        """Return about how much memory it takes to write the texts of one of some prompts."""
        n_moments = min(self._capacity(contexts), getattr(self.reader, "length", np.inf))
        row = bytes_of_row(self.reader, n_moments if np.isfinite(n_moments) else 0)
        return row * self.settings.n_samples

    def _capacity(self, contexts):
        return max(map(len, contexts)) + self.settings.max_new_tokens


def read_prompts(coder, prompts):
    """Return the tokens of prompts, and whether there was a single one.

    Parameters
    ----------
    coder : Coder
        What documents are.
    prompts : str, iterable of str, or array-like of one or two dimensions
        As :meth:`generate` takes them.

    Returns
    -------
    sequences : list of ndarray of shape (n,), int32
        With the token that begins documents.
    alone : bool
        Whether it was a prompt and no list of them.

    Raises
    ------
    ValueError
        If they are of another kind than the documents of fit.
    """
    if coder.kind == "texts":
        alone = isinstance(prompts, str)
        texts = check_documents([prompts] if alone else prompts)
        return begun(coder.read(Rows("texts", texts), "prompts"), coder), alone
    if holds_texts([prompts] if isinstance(prompts, str) else prompts) and len(prompts):
        raise ValueError("The language model was fitted on rows of numbers, but prompts holds texts.")
    if isinstance(prompts, (list, tuple)) and len({np.size(row) for row in prompts}) > 1:  # of different lengths
        return [sequence for row in prompts for sequence in read_prompts(coder, row)[0]], False
    nothing = isinstance(prompts, str) and not prompts
    values = np.empty((1, 0)) if nothing else np.asarray(prompts)
    alone = values.ndim == 1 or nothing
    values = values.reshape(1, -1) if values.ndim == 1 else values
    kind = "integers" if values.dtype.kind in "iub" else "numbers"
    checked = check_array(values, dtype=[np.float64, np.float32], ensure_min_features=0, input_name="prompts")
    kind = coder.kind if nothing or coder.tokenizer is not None and not checked.size else kind
    return begun(coder.read(Rows(kind, checked), "prompts"), coder), alone


def written_texts(request, prompts):
    """Return what follows each prompt.

    Parameters
    ----------
    request : Request
        What is asked.
    prompts : str, iterable of str, or array-like
        How documents begin.

    Returns
    -------
    texts : str, list of str, or list of lists
        See :meth:`generate`.
    """
    sequences, alone = read_prompts(request.coder, prompts)
    with _kernels.blas_threads(1):
        found = (_by_beams if request.settings.strategy == "beam" else _one_by_one)(request, sequences)
    several = request.settings.n_samples > 1
    found = found if several else [texts[0] for texts in found]
    return found[0] if alone else found


def _by_beams(request, sequences):
    found = []
    for context in sequences:
        best = beam_search(request.session, context, request.coder, request.settings)[: request.settings.n_samples]
        finished = [Continuation(request.coder, request.settings.stop, list(one.ids)) for one in best]
        found.append([one.document() for one in finished])
    return found


def _one_by_one(request, sequences):
    k, found = request.settings.n_samples, []
    for some in chunk_slices(len(sequences), request.bytes_of_prompt(sequences) if sequences else 0):
        continuations, steps = _opened(request, sequences[some])
        for _ in steps:
            pass
        documents = [one.document() for one in continuations]
        found += [documents[i : i + k] for i in range(0, len(documents), k)]
    return found


def _opened(request, sequences):
    """Return continuations of all prompts, `n_samples` for each, and the generator that writes them."""
    settings, k = request.settings, request.settings.n_samples
    if sequences:
        n = len(sequences)
        require_memory(n * request.bytes_of_prompt(sequences), f"Writing {n * k:,} texts at a time")
    contexts = [ids for ids in sequences for _ in range(k)]
    # a draw depends on the seed and on which sample of its prompt it is, not on the other prompts
    choose = Chooser(settings, [(request.seed, sample) for _ in sequences for sample in range(k)])
    continuations = [Continuation(request.coder, settings.stop) for _ in contexts]
    if not contexts or not settings.max_new_tokens:
        return continuations, iter(())
    steps = write(request.session(contexts), contexts, choose, continuations, settings.max_new_tokens)
    return continuations, steps


def stream_texts(request, prompts):
    """Return a generator of what is new after each token.

    Parameters
    ----------
    request : Request
        What is asked; not beam search, whose texts change until the end.
    prompts : str, iterable of str, or array-like
        How documents begin.

    Returns
    -------
    pieces : generator
        Of what :func:`written_texts` would return, in parts.

    Raises
    ------
    ValueError
        If the strategy is beam search.
    """
    if request.settings.strategy == "beam":
        raise ValueError("stream=True needs strategy='greedy' or 'sample': beams change until the end.")
    sequences, alone = read_prompts(request.coder, prompts)
    return _pieces(request, sequences, alone)


def _pieces(request, sequences, alone):
    k = request.settings.n_samples
    continuations, steps = _opened(request, sequences)
    while True:
        with _kernels.blas_threads(1):  # not while whoever reads the stream has its turn
            if next(steps, "over") == "over":
                return
        fresh = [one.fresh() for one in continuations]
        fresh = fresh if k == 1 else [fresh[i : i + k] for i in range(0, len(fresh), k)]
        yield fresh[0] if alone else fresh
