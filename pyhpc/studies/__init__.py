"""Studies: from a job file and raw data to predictions, scores and a report.

:mod:`~pyhpc.studies.job` reads and checks a job file; :mod:`~pyhpc.studies.prepare` makes its
table, folds and list of fits; :mod:`~pyhpc.studies.fits` does what is missing;
:mod:`~pyhpc.studies.results` puts the predictions together.
"""
