"""The experiments of the thesis (chapters 5 and 6) as commands, one for a table: ``python -m tools.experiments.NAME``.

Each writes to the folder of ``--out`` its figures as CSV, a Markdown table and a picture. Broken off and started again
with the same options, it goes on where it was: training continues from its checkpoint, rows of the CSV are kept.
"""
