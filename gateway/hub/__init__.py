"""The national hub: takes the provinces' reports and answers for its analysts."""
