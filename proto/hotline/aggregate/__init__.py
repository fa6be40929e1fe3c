"""Generated code of `hotline.aggregate`; see proto/README.md."""
