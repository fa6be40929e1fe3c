"""Generated code of `hotline.custody`; see proto/README.md."""
