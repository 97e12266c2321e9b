"""The commands of the science: ``cptdn score``, ``nomogram``, ``train``, ``phantom`` and others.

Imports of numpy, torch and matplotlib are inside the commands, so that ``cptdn --help`` starts at once.
"""
