"""What every room may use: ids, time, errors and the code tables of the standard."""
