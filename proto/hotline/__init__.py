"""Generated code of `hotline`; see proto/README.md."""
