"""Benchmarks: ratios measured in one run against a named peer or ceiling (docs/benchmarks.md)."""
