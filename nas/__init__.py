"""Neural architecture search: spaces, networks, predictors, objectives, searches. Knows no hardware."""

import sys
from types import ModuleType

# TensorBoard looks for a module of this name before it imports TensorFlow, which takes seconds and prints warnings: with it,
# TensorBoard's own writer is used.
sys.modules.setdefault("tensorboard.compat.notf", ModuleType("tensorboard.compat.notf"))
