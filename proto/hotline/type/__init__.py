"""Generated code of `hotline.type`; see proto/README.md."""
