"""Neural networks on NumPy: layers, each a pair of functions that go forward and backward; no estimators."""

import importlib

_HOMES = {
    "Activation": "skml.network.layers",
    "BatchNormalization": "skml.network.normalization",
    "Convolution": "skml.network.convolution",
    "Dropout": "skml.network.layers",
    "Embedding": "skml.network.layers",
    "Flatten": "skml.network.layers",
    "Geometry": "skml.network.geometry",
    "GlobalPooling": "skml.network.pooling",
    "Layer": "skml.network.layers",
    "LayerNormalization": "skml.network.normalization",
    "Linear": "skml.network.layers",
    "Mode": "skml.network.layers",
    "Parameters": "skml.network.parameters",
    "Pooling": "skml.network.pooling",
    "Program": "skml.network.program",
    "Residual": "skml.network.composition",
    "Row": "skml.network.composition",
    "Sequential": "skml.network.composition",
    "Space": "skml.network.layers",
    "Spec": "skml.network.parameters",
    "TransposedConvolution": "skml.network.transposed_convolution",
    "Upsampling": "skml.network.upsampling",
    "activation_backward": "skml.network.activations",
    "activation_forward": "skml.network.activations",
    "average_pooling_backward": "skml.network.pooling",
    "average_pooling_forward": "skml.network.pooling",
    "batch_normalization_backward": "skml.network.normalization",
    "batch_normalization_forward": "skml.network.normalization",
    "convolution_backward": "skml.network.convolution",
    "convolution_forward": "skml.network.convolution",
    "convolution_matrix": "skml.network.convolution",
    "convolution_output_size": "skml.network.geometry",
    "dropout_backward": "skml.network.layers",
    "dropout_forward": "skml.network.layers",
    "embedding_backward": "skml.network.layers",
    "embedding_forward": "skml.network.layers",
    "format_table": "skml.network.composition",
    "global_pooling_backward": "skml.network.pooling",
    "global_pooling_forward": "skml.network.pooling",
    "glorot_uniform": "skml.network.parameters",
    "he_normal": "skml.network.parameters",
    "he_uniform": "skml.network.parameters",
    "initialize": "skml.network.parameters",
    "interpolation_matrix": "skml.network.upsampling",
    "layer_normalization_backward": "skml.network.normalization",
    "layer_normalization_forward": "skml.network.normalization",
    "linear_backward": "skml.network.layers",
    "linear_forward": "skml.network.layers",
    "max_pooling_backward": "skml.network.pooling",
    "max_pooling_forward": "skml.network.pooling",
    "network_table": "skml.network.composition",
    "ones": "skml.network.parameters",
    "orthogonal": "skml.network.parameters",
    "softmax_backward": "skml.network.activations",
    "softmax_forward": "skml.network.activations",
    "transposed_convolution_backward": "skml.network.transposed_convolution",
    "transposed_convolution_forward": "skml.network.transposed_convolution",
    "upsampling_backward": "skml.network.upsampling",
    "upsampling_forward": "skml.network.upsampling",
    "zeros": "skml.network.parameters",
}

__all__ = sorted(_HOMES)


def __getattr__(name):
    """Import a public name on first use (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'skml.network' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__():
    return __all__
