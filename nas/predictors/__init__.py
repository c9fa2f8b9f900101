"""Predictors of metrics."""
