"""Generated code of `hotline.error.v1`; see proto/README.md."""
