"""Simulated city platforms and a simulated dispatcher for demonstrations and tests.

They stand where a city's people and systems stand: the platform knows only its folders, the
dispatcher only the RPCs of its node. Neither knows what is expected of a ticket.
"""
