"""Generated code of `hotline.ticket`; see proto/README.md."""
