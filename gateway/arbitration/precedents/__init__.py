"""Rulings that hold for the cases that follow."""
