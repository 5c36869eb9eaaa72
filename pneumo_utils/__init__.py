"""Pneumonia detection from chest X-rays, for teaching and never for diagnosis.

The rooms, in the order in which an X-ray walks through them: `data`, `models`, `training`, `evaluation`,
`plots`, `report`, `audit`, `guard`, `app`, `cli`. A room imports from the rooms before it, never from one
after it. Importing the package loads nothing heavy and has no side effects.
"""

__version__ = "0.1.0"
