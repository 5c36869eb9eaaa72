"""Figures, all of one family. Only report, app, notebooks and command line import this room."""
