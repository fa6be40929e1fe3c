"""Generated code of `hotline.error`; see proto/README.md."""
