"""Generated code of `hotline.operation`; see proto/README.md."""
