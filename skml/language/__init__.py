"""Language: a row of X is a document."""

import importlib

_HOMES = {
    "AttentionDisplay": "skml.language.displays",
    "BPETokenizer": "skml.language.tokenizers",
    "CharTokenizer": "skml.language.tokenizers",
    "FewShotClassifier": "skml.language.few_shot",
    "FineTunedClassifier": "skml.language.fine_tuned",
    "QuantileTokenizer": "skml.language.quantile_tokenizer",
    "RNNLanguageModel": "skml.language.rnn",
    "Tokenizer": "skml.language.tokenizers",
    "TransformerLanguageModel": "skml.language.transformer",
    "WordTokenizer": "skml.language.tokenizers",
    "pad_sequences": "skml.language.padding",
}

__all__ = sorted(_HOMES)


def __getattr__(name):
    """Import a model, a tokenizer, a display or a function on first use (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'skml.language' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__():
    return __all__
