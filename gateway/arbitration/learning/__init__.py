"""What rulings teach: draft rules, repeat disputes, advice to the panel."""
