"""Neural networks on NumPy: layers, each a pair of functions that go forward and backward; no estimators."""

import importlib

_HOMES = {
    "Activation": "skml.network.layers",
    "Adam": "skml.network.optimizers",
    "AdamW": "skml.network.optimizers",
    "BatchNormalization": "skml.network.normalization",
    "BinaryCrossEntropy": "skml.network.losses",
    "Convolution": "skml.network.convolution",
    "CrossEntropy": "skml.network.losses",
    "Data": "skml.network.training",
    "Dropout": "skml.network.layers",
    "Embedding": "skml.network.layers",
    "Flatten": "skml.network.layers",
    "Geometry": "skml.network.geometry",
    "GlobalPooling": "skml.network.pooling",
    "Huber": "skml.network.losses",
    "Job": "skml.network.training",
    "Layer": "skml.network.layers",
    "LayerNormalization": "skml.network.normalization",
    "Linear": "skml.network.layers",
    "Loss": "skml.network.losses",
    "Mode": "skml.network.layers",
    "Parameters": "skml.network.parameters",
    "Plan": "skml.network.training",
    "Pooling": "skml.network.pooling",
    "Program": "skml.network.program",
    "Residual": "skml.network.composition",
    "Row": "skml.network.composition",
    "SCHEDULES": "skml.network.schedules",
    "SGD": "skml.network.optimizers",
    "Sequential": "skml.network.composition",
    "Space": "skml.network.layers",
    "Spec": "skml.network.parameters",
    "Squared": "skml.network.losses",
    "Training": "skml.network.training",
    "TransposedConvolution": "skml.network.transposed_convolution",
    "Upsampling": "skml.network.upsampling",
    "activation_backward": "skml.network.activations",
    "activation_forward": "skml.network.activations",
    "average_pooling_backward": "skml.network.pooling",
    "average_pooling_forward": "skml.network.pooling",
    "batch_normalization_backward": "skml.network.normalization",
    "batch_normalization_forward": "skml.network.normalization",
    "binary_cross_entropy": "skml.network.losses",
    "clip_gradient": "skml.network.optimizers",
    "constant": "skml.network.schedules",
    "convolution_backward": "skml.network.convolution",
    "convolution_forward": "skml.network.convolution",
    "convolution_matrix": "skml.network.convolution",
    "convolution_output_size": "skml.network.geometry",
    "cosine": "skml.network.schedules",
    "cross_entropy": "skml.network.losses",
    "dropout_backward": "skml.network.layers",
    "dropout_forward": "skml.network.layers",
    "embedding_backward": "skml.network.layers",
    "embedding_forward": "skml.network.layers",
    "evaluate": "skml.network.training",
    "format_table": "skml.network.composition",
    "global_pooling_backward": "skml.network.pooling",
    "global_pooling_forward": "skml.network.pooling",
    "glorot_uniform": "skml.network.parameters",
    "he_normal": "skml.network.parameters",
    "he_uniform": "skml.network.parameters",
    "huber": "skml.network.losses",
    "initialize": "skml.network.parameters",
    "interpolation_matrix": "skml.network.upsampling",
    "layer_normalization_backward": "skml.network.normalization",
    "layer_normalization_forward": "skml.network.normalization",
    "linear_backward": "skml.network.layers",
    "linear_forward": "skml.network.layers",
    "max_pooling_backward": "skml.network.pooling",
    "max_pooling_forward": "skml.network.pooling",
    "network_table": "skml.network.composition",
    "one_cycle": "skml.network.schedules",
    "ones": "skml.network.parameters",
    "orthogonal": "skml.network.parameters",
    "schedule": "skml.network.schedules",
    "softmax_backward": "skml.network.activations",
    "softmax_forward": "skml.network.activations",
    "split_rows": "skml.network.training",
    "squared": "skml.network.losses",
    "start_training": "skml.network.training",
    "stepwise": "skml.network.schedules",
    "training_outcome": "skml.network.training",
    "training_steps": "skml.network.training",
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
