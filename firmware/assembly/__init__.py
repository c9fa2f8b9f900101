"""Kernels in assembly for cores with the DSP extension, generated for the layers of a model and shared by shape."""
