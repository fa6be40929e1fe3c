"""Aggregates: what a province pushes to the national hub, and the privacy budget it pays with."""
