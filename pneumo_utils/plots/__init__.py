"""Figures, all of one family. Only report, the audit's page, notebooks and command line import this room."""
