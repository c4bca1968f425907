"""Seeded worlds of contacts for judging detection, with what real life brings: clock changes, paydays, new topics.

`python -m support.worlds make OUT SEED...` writes them; `python -m support.worlds judge OUT SEED...` says what a
back-test's scores found in them (PYTHONPATH=tests).
"""
