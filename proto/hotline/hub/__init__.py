"""Generated code of `hotline.hub`; see proto/README.md."""
