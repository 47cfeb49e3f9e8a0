"""The numbers by which kernels know criteria."""

GINI, ENTROPY, SQUARED, POISSON, ABSOLUTE = range(5)
