"""Arbitration: cases about the custody of tickets, and the rulings that end them."""
