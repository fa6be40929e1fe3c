"""Data classes, redaction, who may see whom, and the encryption of ticket content at rest."""
