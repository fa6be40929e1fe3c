"""Delivery: signed bytes from node to node, with receipts; it never looks inside a ticket."""
