"""hilnas finds neural networks for microcontrollers and proves them on the device."""

__version__ = "0.1.0"
