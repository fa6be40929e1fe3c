"""What one authority has of a case, in one signed file that verifies offline."""
