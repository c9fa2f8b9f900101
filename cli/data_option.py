"""The option that names a data set, for every verb that measures."""

from __future__ import annotations

from pathlib import Path

import click

data_option = click.option(
    "--data",
    "data_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Data set for exits and accuracy: an .npz with x (N, then the shape of the model's input, images (H, W, C)) and, for the "
    "accuracy, y (N classes from 0). x is float32 in the range that the model was trained with, which is quantised by the input's scale "
    "and zero point; or uint8 pixels of 0 to 255, less 128; or int8, quantised already.",
)
