"""Lubiao (路标), the gateway of the 12345 hotlines: one room per capability, see docs/."""
