"""Time without a board: the timing model, ELFs timed with it, its micro-benchmarks and its calibration."""
