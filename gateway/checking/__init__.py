"""What is wrong with rules before anybody is routed by them (docs/checking.md)."""
