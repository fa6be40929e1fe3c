"""Simulated city platforms, dispatchers and a panel for demonstrations and tests.

They stand where people and systems of cities and of the arbiter stand: a platform knows only its
folders, people only the RPCs of their node. None knows what is expected of a ticket.
"""
