"""Benchmark: what it is worth to choose the cases that are annotated next."""
