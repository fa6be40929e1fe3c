"""Generated code of `hotline.ticket.v1`; see proto/README.md."""
