"""Generated code of `hotline.custody.v1`; see proto/README.md."""
