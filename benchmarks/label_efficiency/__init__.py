"""Benchmark: what each method makes of few labels and many unlabeled scans."""
