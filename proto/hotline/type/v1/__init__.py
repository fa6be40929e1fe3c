"""Generated code of `hotline.type.v1`; see proto/README.md."""
