"""Simulation in the manner of TigerBeetle: the services' own pipelines, on virtual time, a log in memory and bad luck.

A seed decides everything: what is sent, what delays, who crashes. `python -m support.simulation --seed N` repeats it.
"""
