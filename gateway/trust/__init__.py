"""Keys, certificates, statements, sealing: the only room that imports `cryptography`."""
