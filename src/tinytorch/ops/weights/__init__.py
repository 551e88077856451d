"""Weights laid out for `ops.linear`, a class for each way to keep and multiply them.

`base` says what they have in common, and brings any of them back from its arrays and its form: floats, int8
that meets rows brought to int8, int8 and int4 that meet floats, what pruning leaves, and two thin factors.
"""
