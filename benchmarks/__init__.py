"""Measurements behind every number in the README: ``python -m benchmarks NAME [--json]``.

Times on a shared machine mean little, so each benchmark compares with bare training (or another
floor) in the same run, in interleaved blocks, and prints medians and quartiles.
"""
