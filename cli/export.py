"""`hilnas export`: a network of a supernet to ONNX and int8 TensorFlow Lite."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from hilnas.cli.output import json_option, print_json, print_table


@click.command()
@click.argument("supernet", type=click.Path(path_type=Path))
@click.option("--architecture", required=True, help="`smallest`, `largest`, or a JSON file with the list of choice indices.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for model.onnx and model.tflite.")
@json_option
def command(supernet: Path, architecture: str, out: Path, as_json: bool) -> None:
    """Exports a network of SUPERNET to .onnx and int8 .tflite and compares both with it.

    Example: hilnas export supernet.pt --architecture smallest --out exported
    """
    from hilnas.export.supernet import export_architecture

    exported = export_architecture(supernet, architecture, out)
    checked = exported.model.verification
    if as_json:
        document = {
            "tflite": str(exported.model.tflite),
            "onnx": str(exported.model.onnx),
            "architecture": exported.architecture,
            "macs": exported.macs,
            "weights": exported.weights,
            "exit_thresholds": exported.thresholds,
            "float_accuracy": exported.float_accuracy.accuracy,
            "int8_accuracy": exported.int8_accuracy,
            "exit_rates": exported.float_accuracy.exit_rates,
            "verification": {**asdict(checked), "onnx_error": exported.model.onnx_error},
        }
        print_json(document)
        return
    rows = (
        ("files", f"{exported.model.tflite}, {exported.model.onnx}"),
        ("MACs", f"{exported.macs:,}"),
        ("weights", f"{exported.weights:,}"),
        ("accuracy (test), float", f"{exported.float_accuracy.accuracy:.4f}"),
        ("accuracy (test), int8", f"{exported.int8_accuracy:.4f}"),
        ("exits taken", " ".join(f"{rate:.2f}" for rate in exported.float_accuracy.exit_rates)),
        ("int8 against float, SNR", " ".join(f"{snr:.1f}" for snr in checked.snr_db) + " dB"),
        ("int8 against float, same class", " ".join(f"{share:.3f}" for share in checked.agreement)),
        ("ONNX against torch", f"{exported.model.onnx_error:.1e}"),
    )
    print_table("hilnas export", ("", ""), rows)
