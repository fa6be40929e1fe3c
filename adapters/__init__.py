"""Adapters: what connects a city's existing platform to its gateway without replacing it.

An adapter maps, it does not decide. It imports the standard (`hotline`) and `gateway.kernel`,
nothing else of the gateway, and is always the side that dials.
"""
